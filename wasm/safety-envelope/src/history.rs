//! The last values of arguments, as far as they are known, and how fast the next one may differ from them.
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use json::{Value, quote};

use crate::Surroundings;
use crate::interval::{Interval, Moment, Outcome};
use crate::settings::{Bounds, Rule};

const PREFIX: &str = "last:";
/// A key's most, less room for its prefix.
const LONGEST: usize = 240;
const DAMAGED: &str = "the last values cannot be read: they are damaged";

pub fn now(around: &dyn Surroundings) -> Moment {
    Moment {
        monotonic: around.monotonic_ms(),
        wall: around.now_ms(),
    }
}

/// What the store holds for a key.
pub fn read(around: &dyn Surroundings, key: &str) -> Result<Option<Value>, String> {
    match around
        .get(key)
        .map_err(|why| format!("the last values cannot be read: {why}"))?
    {
        None => Ok(None),
        Some(text) => Value::parse(&text)
            .map(Some)
            .map_err(|_| String::from(DAMAGED)),
    }
}

/// Time that has passed at the least. The clock may have started anew in between, then all it shows has passed since.
pub fn elapsed_ms(since: u64, now: u64) -> u64 {
    if now >= since { now - since } else { now }
}

fn interval(around: &dyn Surroundings, key: &str) -> Result<Interval, String> {
    match read(around, key)? {
        None => Ok(Interval::default()),
        Some(entry) => Interval::read(&entry).ok_or(String::from(DAMAGED)),
    }
}

/// What is written once everything is accepted.
#[derive(Default)]
pub struct Writes(pub Vec<(String, String)>);

/// What was there before it was written.
pub struct Written<'w>(Vec<(&'w String, Option<String>)>);

impl Writes {
    /// All of them or, as far as the store allows, none.
    pub fn commit(&self, around: &dyn Surroundings) -> Result<Written<'_>, String> {
        let mut before = Written(Vec::new());
        for (key, value) in &self.0 {
            let written = around.get(key).and_then(|old| {
                around.set(key, value)?;
                before.0.push((key, old));
                Ok(())
            });
            if let Err(why) = written {
                before.undo(around);
                return Err(format!("the last values cannot be written: {why}"));
            }
        }
        Ok(before)
    }
}

impl Written<'_> {
    pub fn undo(self, around: &dyn Surroundings) {
        for (key, old) in self.0.into_iter().rev() {
            // Nothing more can be done: the call is refused either way.
            let _ = match old {
                Some(old) => around.set(key, &old),
                None => around.delete(key),
            };
        }
    }
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

/// Checks the change against all that the value may be; what is to be written when the call is accepted goes to `writes`.
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
    let now = now(around);
    let mut interval = interval(around, &key)?;
    let (ends, since) = match interval.hull {
        Some(hull) => (Some((hull.lo, hull.hi)), Some(hull.ms)),
        None => (bounds.initial.map(|value| (value, value)), None),
    };
    if let Some((lo, hi)) = ends {
        if let Some(step) = bounds.max_step.filter(|step| hi - lo > *step) {
            return Err(format!(
                "`{pointer}` may be anything from {lo} to {hi} now, and change by no more than {step} at once: stop it, once nothing is under way"
            ));
        }
        // The farther one, so that the words say what is wrong.
        let value = if number - lo > hi - number { lo } else { hi };
        let change = (number - value).abs();
        if let Some(step) = bounds.max_step.filter(|step| change > *step) {
            return Err(format!(
                "`{pointer}` would change from {value} to {number}, by more than {step} at once"
            ));
        }
        if let (Some(rate), Some(since)) = (bounds.max_rate, since) {
            #[allow(clippy::cast_precision_loss)] // nothing lasts 2^53 ms
            let seconds = elapsed_ms(since, now.monotonic) as f64 / 1000.0;
            if change > rate * seconds {
                return Err(format!(
                    "`{pointer}` would change from {value} to {number} within {seconds} s, faster than {rate} a second"
                ));
            }
        }
    }
    interval.pass(number, bounds.initial, now);
    writes.0.push((key, interval.text()));
    Ok(())
}

/// The name under which a value is kept, where one is.
pub fn kept(bounds: &Bounds, pointer: &str, arguments: &Value) -> Option<String> {
    key(bounds, pointer, arguments)
        .ok()
        .filter(|_| bounds.changes())
}

/// A command that was let through has ended; these are its values, each under its name.
pub fn ended(
    values: BTreeMap<String, f64>,
    outcome: Outcome,
    around: &dyn Surroundings,
) -> Result<(), String> {
    for (key, value) in values {
        change(around, &key, |interval, now| {
            interval.end(value, outcome, now);
        })?;
    }
    Ok(())
}

fn change(
    around: &dyn Surroundings,
    key: &str,
    how: impl FnOnce(&mut Interval, Moment),
) -> Result<(), String> {
    let mut interval = interval(around, key)?;
    how(&mut interval, now(around));
    around.set(key, &interval.text())
}

/// What a stop of these rules' tools makes of the last values.
fn at_stop<'s>(
    rules: impl Iterator<Item = &'s Rule>,
    around: &dyn Surroundings,
) -> Result<BTreeMap<String, f64>, String> {
    let mut values = BTreeMap::new();
    for bounds in rules.flat_map(|rule| &rule.arguments) {
        let Some(at_stop) = bounds.at_stop.filter(|_| bounds.changes()) else {
            continue;
        };
        for key in around.keys(&format!("{PREFIX}{}|", bounds.history))? {
            values.insert(key, at_stop);
        }
    }
    Ok(values)
}

/// A stop is let through: a command that no step bounds.
pub fn stopping<'s>(
    rules: impl Iterator<Item = &'s Rule>,
    around: &dyn Surroundings,
) -> Result<(), String> {
    for (key, at) in at_stop(rules, around)? {
        change(around, &key, |interval, now| interval.pass(at, None, now))?;
    }
    Ok(())
}

pub fn stop_ended<'s>(
    rules: impl Iterator<Item = &'s Rule>,
    outcome: Outcome,
    around: &dyn Surroundings,
) -> Result<(), String> {
    ended(at_stop(rules, around)?, outcome, around)
}
