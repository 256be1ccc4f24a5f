use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::{Invalid, Kind, Reader, quote};

/// A value taken apart. Numbers are as they were spelt, members in their order.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Number(String),
    String(String),
    Array(Vec<Value>),
    Object(Vec<(String, Value)>),
}

impl Value {
    pub fn parse(text: &str) -> Result<Value, Invalid> {
        let mut reader = Reader::new(text);
        let value = Value::read(&mut reader)?;
        reader.end()?;
        Ok(value)
    }

    pub fn read(reader: &mut Reader<'_>) -> Result<Value, Invalid> {
        Ok(match reader.kind()? {
            Kind::Null => reader.literal("null").map(|()| Value::Null)?,
            Kind::Bool => Value::Bool(reader.bool()?),
            Kind::Number => Value::Number(reader.number()?.to_string()),
            Kind::String => Value::String(reader.string()?.into_owned()),
            Kind::Array => {
                let mut items = Vec::new();
                reader.array(|reader| Value::read(reader).map(|item| items.push(item)))?;
                Value::Array(items)
            }
            Kind::Object => {
                let mut members = Vec::new();
                reader.object(|reader, key| {
                    Value::read(reader).map(|value| members.push((key.into_owned(), value)))
                })?;
                Value::Object(members)
            }
        })
    }

    pub fn write(&self, out: &mut String) {
        match self {
            Value::Null => out.push_str("null"),
            Value::Bool(true) => out.push_str("true"),
            Value::Bool(false) => out.push_str("false"),
            Value::Number(number) => out.push_str(number),
            Value::String(text) => quote(text, out),
            Value::Array(items) => {
                out.push('[');
                for (place, item) in items.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Value::Object(members) => {
                out.push('{');
                for (place, (key, value)) in members.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    quote(key, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    /// The nearest 64-bit float; null where there is none that is finite.
    #[must_use]
    pub fn from_number(number: f64) -> Value {
        if !number.is_finite() {
            Value::Null
        } else if number == 0.0 || (1e-5..1e15).contains(&number.abs()) {
            Value::Number(alloc::format!("{number}"))
        } else {
            Value::Number(alloc::format!("{number:e}"))
        }
    }

    /// The member of that name; the last one where there are several.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Object(members) => members
                .iter()
                .rev()
                .find(|(name, _)| name == key)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// By JSON pointer (RFC 6901), already taken apart.
    #[must_use]
    pub fn at(&self, steps: &[String]) -> Option<&Value> {
        steps.iter().try_fold(self, |value, step| match value {
            Value::Object(_) => value.get(step),
            Value::Array(items) if step == "0" || !step.starts_with('0') => {
                items.get(step.parse::<usize>().ok()?)
            }
            _ => None,
        })
    }

    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    #[must_use]
    pub fn bool(&self) -> Option<bool> {
        match self {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// A number that a 64-bit float can hold.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Number(number) => number
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite()),
            _ => None,
        }
    }

    #[must_use]
    pub fn items(&self) -> Option<&[Value]> {
        match self {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }

    #[must_use]
    pub fn members(&self) -> Option<&[(String, Value)]> {
        match self {
            Value::Object(members) => Some(members),
            _ => None,
        }
    }
}

/// The steps of a JSON pointer (RFC 6901): `/a/0/b~1c` is `a`, `0`, `b/c`. Nothing for what is no pointer.
#[must_use]
pub fn pointer_steps(pointer: &str) -> Option<Vec<String>> {
    if pointer.is_empty() {
        return Some(Vec::new());
    }
    let steps = pointer.strip_prefix('/')?;
    Some(
        steps
            .split('/')
            .map(|step| step.replace("~1", "/").replace("~0", "~"))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_written_as_it_was() {
        let text = r#"{"b":[1.50,-0,1E5,12345678901234567890],"a":{"":null},"c":[true,false,"é\"\n"],"b":2}"#;
        assert_eq!(Value::parse(text).unwrap().to_text(), text);
    }

    #[test]
    fn a_pointer_leads_to_its_value() {
        let value = Value::parse(r#"{"a/b":[{"~":7}],"a":1}"#).unwrap();
        let at = |pointer| {
            value
                .at(&pointer_steps(pointer).unwrap())
                .map(Value::to_text)
        };
        assert_eq!(at("/a~1b/0/~0").as_deref(), Some("7"));
        assert_eq!(at("/a"), Some("1".to_string()));
        assert_eq!(
            (at("/a~1b/00/~0"), at("/a~1b/1"), at("/a/b"), at("/x")),
            (None, None, None, None)
        );
        assert_eq!(pointer_steps("a"), None);
    }

    #[test]
    fn a_number_out_of_range_is_none() {
        assert_eq!(Value::parse("1e999").unwrap().number(), None);
        assert_eq!(Value::parse("\"1\"").unwrap().number(), None);
        assert_eq!(Value::parse("-2.5").unwrap().number(), Some(-2.5));
    }

    #[test]
    fn a_float_is_written_as_json() {
        for (number, text) in [
            (3.0, "3"),
            (0.1, "0.1"),
            (1e300, "1e300"),
            (-1e-9, "-1e-9"),
            (f64::NAN, "null"),
        ] {
            assert_eq!(Value::from_number(number).to_text(), text);
        }
    }
}
