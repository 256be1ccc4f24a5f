//! Where arguments are, and whether each is what its rule allows.
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use json::Value;

use crate::settings::{Bounds, Rule};

/// More digits than a 64-bit float tells apart: who reads such a number otherwise may see another one than we do.
const MOST_DIGITS: usize = 17;

/// The values that a pointer leads to, in which a step `*` means every element or member; each with its own pointer.
pub fn resolve<'v>(value: &'v Value, steps: &[String]) -> Vec<(String, &'v Value)> {
    let mut found = alloc::vec![(String::new(), value)];
    for step in steps {
        found = found
            .into_iter()
            .flat_map(|(pointer, value)| -> Vec<(String, &'v Value)> {
                match (step.as_str(), value) {
                    ("*", Value::Array(items)) => items
                        .iter()
                        .enumerate()
                        .map(|(place, item)| (format!("{pointer}/{place}"), item))
                        .collect(),
                    ("*", Value::Object(members)) => members
                        .iter()
                        .map(|(key, item)| (format!("{pointer}/{}", escaped(key)), item))
                        .collect(),
                    _ => {
                        let next = value.at(core::slice::from_ref(step));
                        next.map(|item| (format!("{pointer}/{}", escaped(step)), item))
                            .into_iter()
                            .collect()
                    }
                }
            })
            .collect();
    }
    found
}

fn escaped(step: &str) -> String {
    step.replace('~', "~0").replace('/', "~1")
}

/// The number, where its rule wants one.
pub fn check(bounds: &Bounds, pointer: &str, value: &Value) -> Result<Option<f64>, String> {
    if let Some(allowed) = &bounds.allowed
        && !allowed.iter().any(|one| same(one, value))
    {
        return Err(format!("`{pointer}` is none of the allowed values"));
    }
    if !bounds.numeric() {
        return Ok(None);
    }
    let number = exact_number(value).ok_or_else(|| {
        format!("`{pointer}` must be a number, and one that a 64-bit float can hold")
    })?;
    if bounds.integer && number % 1.0 != 0.0 {
        return Err(format!("`{pointer}` must be a whole number"));
    }
    if let Some(min) = bounds.min.filter(|min| number < *min) {
        return Err(format!(
            "`{pointer}` is {number}, below the least allowed, {min}"
        ));
    }
    if let Some(max) = bounds.max.filter(|max| number > *max) {
        return Err(format!(
            "`{pointer}` is {number}, above the most allowed, {max}"
        ));
    }
    Ok(Some(number))
}

fn exact_number(value: &Value) -> Option<f64> {
    let Value::Number(spelt) = value else {
        return None;
    };
    let mantissa = spelt.split(['e', 'E']).next()?;
    let digits = mantissa
        .trim_start_matches(['-', '0', '.'])
        .bytes()
        .filter(u8::is_ascii_digit)
        .count();
    value.number().filter(|_| digits <= MOST_DIGITS)
}

fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || exact_number(one).is_some_and(|a| exact_number(other) == Some(a))
        }
        _ => one == other,
    }
}

/// An argument that no rule knows, where they are to know all of them.
pub fn unknown(arguments: &Value, rules: &[&Rule]) -> Option<String> {
    let known: Vec<&[String]> = rules
        .iter()
        .flat_map(|rule| &rule.arguments)
        .map(|bounds| bounds.steps.as_slice())
        .collect();
    uncovered(arguments, &known, 0, &mut String::new())
}

fn uncovered(
    value: &Value,
    known: &[&[String]],
    depth: usize,
    pointer: &mut String,
) -> Option<String> {
    if depth > 0 && known.iter().any(|steps| steps.len() == depth) {
        return None;
    }
    let below: Vec<(String, &Value)> = match value {
        Value::Object(members) => members
            .iter()
            .map(|(key, item)| (key.clone(), item))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(place, item)| (place.to_string(), item))
            .collect(),
        _ => return (depth > 0).then(|| pointer.clone()),
    };
    for (step, item) in below {
        let closer: Vec<&[String]> = known
            .iter()
            .filter(|steps| {
                steps
                    .get(depth)
                    .is_some_and(|known| *known == step || known == "*")
            })
            .copied()
            .collect();
        let before = pointer.len();
        pointer.push('/');
        pointer.push_str(&escaped(&step));
        if closer.is_empty() {
            return Some(pointer.clone());
        }
        let found = uncovered(item, &closer, depth + 1, pointer);
        if found.is_some() {
            return found;
        }
        pointer.truncate(before);
    }
    None
}

/// A name that an object has twice: of two values, the server may take the other one.
pub fn repeated(value: &Value) -> Option<&str> {
    match value {
        Value::Array(items) => items.iter().find_map(repeated),
        Value::Object(members) => {
            let mut seen = alloc::collections::BTreeSet::new();
            members.iter().find_map(|(key, item)| {
                if seen.insert(key) {
                    repeated(item)
                } else {
                    Some(key.as_str())
                }
            })
        }
        _ => None,
    }
}
