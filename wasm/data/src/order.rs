//! One order of all JSON values: null, false, true, numbers, texts, arrays, objects.
use alloc::string::String;
use core::cmp::Ordering;

use json::{Value, quote};

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(false) => 1,
        Value::Bool(true) => 2,
        Value::Number(_) => 3,
        Value::String(_) => 4,
        Value::Array(_) => 5,
        Value::Object(_) => 6,
    }
}

pub fn compare(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => match (left.number(), right.number()) {
            (Some(x), Some(y)) => x.total_cmp(&y),
            _ => a.cmp(b),
        },
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Array(_), Value::Array(_)) | (Value::Object(_), Value::Object(_)) => {
            spelt(left).cmp(&spelt(right))
        }
        _ => rank(left).cmp(&rank(right)),
    }
}

/// A text that is the same for values that are equal: members by name, numbers by what they are.
pub fn spelt(value: &Value) -> String {
    let mut out = String::new();
    spell(value, &mut out);
    out
}

fn spell(value: &Value, out: &mut String) {
    match value {
        Value::Number(number) => match value.number() {
            // Adding zero makes one zero of both.
            Some(float) => Value::from_number(float + 0.0).write(out),
            None => out.push_str(number),
        },
        Value::Array(items) => {
            out.push('[');
            for item in items {
                spell(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut sorted: alloc::vec::Vec<_> = members.iter().collect();
            sorted.sort_by(|a, b| a.0.cmp(&b.0));
            out.push('{');
            for (key, item) in sorted {
                quote(key, out);
                out.push(':');
                spell(item, out);
                out.push(',');
            }
            out.push('}');
        }
        other => other.write(out),
    }
}
