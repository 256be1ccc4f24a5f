//! The last accepted value of an argument, and how fast the next one may differ from it.
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use json::{Value, quote};

use crate::Surroundings;
use crate::settings::{Bounds, Rule};

const PREFIX: &str = "last:";
/// A key's most, less room for its prefix.
const LONGEST: usize = 240;

/// What the store holds for a key.
pub fn read(around: &dyn Surroundings, key: &str) -> Result<Option<Value>, String> {
    match around
        .get(key)
        .map_err(|why| format!("the last values cannot be read: {why}"))?
    {
        None => Ok(None),
        Some(text) => Value::parse(&text)
            .map(Some)
            .map_err(|_| String::from("the last values cannot be read: they are damaged")),
    }
}

/// Time that has passed at the least. The clock may have started anew in between, then all it shows has passed since.
pub fn elapsed_ms(since: u64, now: u64) -> u64 {
    if now >= since { now - since } else { now }
}

/// What is written once everything is accepted.
#[derive(Default)]
pub struct Writes(pub Vec<(String, String)>);

impl Writes {
    /// All of them or, as far as the store allows, none.
    pub fn commit(&self, around: &dyn Surroundings) -> Result<(), String> {
        let mut before = Vec::new();
        for (key, value) in &self.0 {
            let written = around.get(key).and_then(|old| {
                before.push((key, old));
                around.set(key, value)
            });
            if let Err(why) = written {
                undo(around, before);
                return Err(format!("the last values cannot be written: {why}"));
            }
        }
        Ok(())
    }
}

fn undo(around: &dyn Surroundings, before: Vec<(&String, Option<String>)>) {
    for (key, old) in before.into_iter().rev() {
        // Nothing more can be done: the call is refused either way.
        let _ = match old {
            Some(old) => around.set(key, &old),
            None => around.delete(key),
        };
    }
}

fn entry(number: f64, now: u64) -> String {
    format!(
        "{{\"value\":{},\"ms\":\"{now}\"}}",
        Value::from_number(number).to_text()
    )
}

fn key(bounds: &Bounds, pointer: &str, arguments: &Value) -> Result<String, String> {
    let mut key = format!("{PREFIX}{}|{pointer}|", bounds.history);
    if let Some(steps) = &bounds.per {
        match arguments.at(steps) {
            Some(Value::String(text)) => quote(text, &mut key),
            Some(Value::Number(number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                key.push_str(number);
            }
            _ => {
                return Err(format!(
                    "`{pointer}` belongs to what another argument names, and that is no text or whole number"
                ));
            }
        }
    }
    if key.len() > LONGEST {
        Err(format!(
            "the name under which the last `{pointer}` is kept would be too long"
        ))
    } else {
        Ok(key)
    }
}

/// Checks the change against the last value; what is to be written when the call is accepted goes to `writes`.
pub fn check(
    bounds: &Bounds,
    pointer: &str,
    number: f64,
    arguments: &Value,
    around: &dyn Surroundings,
    writes: &mut Writes,
) -> Result<(), String> {
    if !bounds.changes() {
        return Ok(());
    }
    let key = key(bounds, pointer, arguments)?;
    let now = around.monotonic_ms();
    let last = read(around, &key)?;
    let value = match &last {
        None => bounds.initial,
        Some(last) => Some(
            last.get("value")
                .and_then(Value::number)
                .ok_or("the last values cannot be read: they are damaged")?,
        ),
    };
    if let Some(value) = value {
        let change = (number - value).abs();
        if let Some(step) = bounds.max_step.filter(|step| change > *step) {
            return Err(format!(
                "`{pointer}` would change from {value} to {number}, by more than {step} at once"
            ));
        }
        if let (Some(rate), Some(last)) = (bounds.max_rate, &last) {
            let since = last
                .get("ms")
                .and_then(Value::text)
                .and_then(|ms| ms.parse().ok())
                .ok_or("the last values cannot be read: they are damaged")?;
            #[allow(clippy::cast_precision_loss)] // nothing lasts 2^53 ms
            let seconds = elapsed_ms(since, now) as f64 / 1000.0;
            if change > rate * seconds {
                return Err(format!(
                    "`{pointer}` would change from {value} to {number} within {seconds} s, faster than {rate} a second"
                ));
            }
        }
    }
    writes.0.push((key, entry(number, now)));
    Ok(())
}

/// What was set is no longer so where the rule says what a stop makes of it.
pub fn stopped(rule: &Rule, around: &dyn Surroundings) -> Result<(), String> {
    for bounds in &rule.arguments {
        let Some(at_stop) = bounds.at_stop.filter(|_| bounds.changes()) else {
            continue;
        };
        for key in around.keys(&format!("{PREFIX}{}|", bounds.history))? {
            around.set(&key, &entry(at_stop, around.monotonic_ms()))?;
        }
    }
    Ok(())
}
