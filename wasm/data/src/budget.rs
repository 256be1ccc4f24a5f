use alloc::string::String;
use core::cell::Cell;

use json::Value;

/// So many values may be made on the way: a short query can ask for copies of copies.
pub const MOST_VALUES: usize = 1_000_000;

/// What is left of it.
pub struct Budget(Cell<usize>);

impl Budget {
    pub fn new(values: usize) -> Self {
        Budget(Cell::new(values))
    }

    pub fn spend(&self, values: usize) -> Result<(), String> {
        let left = self
            .0
            .get()
            .checked_sub(values)
            .ok_or_else(|| alloc::format!("the query makes more than {MOST_VALUES} values"))?;
        self.0.set(left);
        Ok(())
    }

    /// A copy, paid for.
    pub fn copy(&self, value: &Value) -> Result<Value, String> {
        self.pay(value)?;
        Ok(value.clone())
    }

    fn pay(&self, value: &Value) -> Result<(), String> {
        self.spend(1)?;
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| self.pay(item)),
            Value::Object(members) => members.iter().try_for_each(|(_, item)| self.pay(item)),
            // Long texts count by their length: what a copy costs is bytes.
            Value::String(text) => self.spend(text.len() / 64),
            _ => Ok(()),
        }
    }
}
