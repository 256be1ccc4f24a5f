//! Takes a call's arguments apart; what is odd is told to the model that wrote them.
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use json::Value;

pub struct Arguments(Value);

impl Arguments {
    pub fn parse(text: &str) -> Result<Arguments, String> {
        match Value::parse(text) {
            Ok(value @ Value::Object(_)) => Ok(Arguments(value)),
            Ok(_) => Err("the arguments are no object".to_string()),
            Err(json::Invalid(at)) => Err(format!(
                "the arguments are no JSON, or nested too deeply, at byte {at}"
            )),
        }
    }

    /// An object within the arguments, to be taken apart in the same way.
    pub fn within(value: &Value, name: &str) -> Result<Arguments, String> {
        match value {
            Value::Object(_) => Ok(Arguments(value.clone())),
            _ => Err(format!("`{name}` holds objects")),
        }
    }

    /// None as well for null.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| **value != Value::Null)
    }

    pub fn take(&mut self, name: &str) -> Option<Value> {
        match &mut self.0 {
            Value::Object(members) => members
                .iter()
                .rposition(|(key, _)| key == name)
                .map(|place| members.swap_remove(place).1),
            _ => None,
        }
    }

    pub fn text(&self, name: &str) -> Result<&str, String> {
        self.optional_text(name)?
            .ok_or_else(|| format!("`{name}` is missing"))
    }

    pub fn optional_text(&self, name: &str) -> Result<Option<&str>, String> {
        self.get(name)
            .map(|value| value.text().ok_or_else(|| format!("`{name}` is a text")))
            .transpose()
    }

    pub fn flag(&self, name: &str, default: bool) -> Result<bool, String> {
        self.get(name).map_or(Ok(default), |value| {
            value
                .bool()
                .ok_or_else(|| format!("`{name}` is true or false"))
        })
    }

    pub fn count(&self, name: &str, default: usize) -> Result<usize, String> {
        match self.get(name) {
            None => Ok(default),
            Some(Value::Number(number)) => number
                .parse()
                .map_err(|_| format!("`{name}` is a whole number, not below 0")),
            Some(_) => Err(format!("`{name}` is a whole number, not below 0")),
        }
    }

    pub fn items(&self, name: &str) -> Result<&[Value], String> {
        self.get(name).map_or(Ok(&[]), |value| {
            value.items().ok_or_else(|| format!("`{name}` is an array"))
        })
    }

    pub fn texts(&self, name: &str) -> Result<Vec<&str>, String> {
        self.items(name)?
            .iter()
            .map(|item| {
                item.text()
                    .ok_or_else(|| format!("`{name}` is an array of texts"))
            })
            .collect()
    }

    pub fn delimiter(&self) -> Result<char, String> {
        let text = self.optional_text("delimiter")?.unwrap_or(",");
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(char), None) if !matches!(char, '"' | '\n' | '\r') => Ok(char),
            _ => Err("`delimiter` is one character, such as `,`, `;`, `|` or a tab".to_string()),
        }
    }
}
