//! Runs the stages of a query over values. What can be lent is not copied; what is copied or made is paid for.
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cmp::Ordering;

use json::Value;

use crate::budget::Budget;
use crate::order::{compare, spelt};
use crate::parse::{Function, Operand, Relation, Stage, Step, Test};

type Found<'a> = Vec<Cow<'a, Value>>;

pub fn run(stages: &[Stage], value: &Value, budget: &Budget) -> Result<Vec<Value>, String> {
    let mut values: Found<'_> = alloc::vec![Cow::Borrowed(value)];
    for stage in stages {
        values = apply(stage, values, budget)?;
    }
    values
        .into_iter()
        .map(|value| match value {
            Cow::Borrowed(value) => budget.copy(value),
            Cow::Owned(value) => Ok(value),
        })
        .collect()
}

fn apply<'a>(stage: &Stage, values: Found<'a>, budget: &Budget) -> Result<Found<'a>, String> {
    match stage {
        Stage::Limit(count) => Ok(values.into_iter().take(*count).collect()),
        Stage::Collect => {
            let items = values
                .into_iter()
                .map(|value| owned(value, budget))
                .collect::<Result<_, _>>()?;
            Ok(alloc::vec![Cow::Owned(Value::Array(items))])
        }
        Stage::Select(test) => Ok(values
            .into_iter()
            .filter(|value| holds(test, value))
            .collect()),
        Stage::Path(steps) => {
            let mut out = Vec::new();
            for value in values {
                match value {
                    Cow::Borrowed(value) => follow(steps, value, budget, &mut |found| {
                        out.push(Cow::Borrowed(found));
                    })?,
                    Cow::Owned(value) => {
                        let mut found = Vec::new();
                        follow(steps, &value, budget, &mut |one| {
                            found.push(budget.copy(one));
                        })?;
                        for one in found {
                            out.push(Cow::Owned(one?));
                        }
                    }
                }
            }
            Ok(out)
        }
        Stage::Object(members) => each(&values, |value| {
            budget.spend(members.len())?;
            let members = members
                .iter()
                .map(|(name, path)| Ok((name.clone(), budget.copy(single(path, value))?)));
            members.collect::<Result<_, String>>().map(Value::Object)
        }),
        Stage::Array(paths) => each(&values, |value| {
            let mut items = Vec::new();
            for path in paths {
                let mut fault = Ok(());
                follow(path, value, budget, &mut |found| match budget.copy(found) {
                    Ok(copy) => items.push(copy),
                    Err(over) => fault = Err(over),
                })?;
                fault?;
            }
            Ok(Value::Array(items))
        }),
        Stage::SortBy(path) => each(&values, |value| {
            let mut items = items_of(value, "sort_by")?;
            items.sort_by(|a, b| compare(single(path, a), single(path, b)));
            copies(items, budget)
        }),
        Stage::GroupBy(path) => each(&values, |value| {
            group(items_of(value, "group_by")?, path, budget)
        }),
        Stage::Call(function) => each(&values, |value| call(*function, value, budget)),
    }
}

fn owned(value: Cow<'_, Value>, budget: &Budget) -> Result<Value, String> {
    match value {
        Cow::Borrowed(value) => budget.copy(value),
        Cow::Owned(value) => Ok(value),
    }
}

fn each<'a>(
    values: &Found<'_>,
    mut made: impl FnMut(&Value) -> Result<Value, String>,
) -> Result<Found<'a>, String> {
    values
        .iter()
        .map(|value| made(value).map(Cow::Owned))
        .collect()
}

const NOTHING: Value = Value::Null;

/// Where a path without `[]` and `..` leads; null where it leads nowhere. A slice is of no use here, and null.
fn single<'v>(steps: &[Step], value: &'v Value) -> &'v Value {
    steps.iter().fold(value, |value, step| match step {
        Step::Member(name) => value.get(name).unwrap_or(&NOTHING),
        Step::Index(place) => value
            .items()
            .and_then(|items| items.get(from_either_end(*place, items.len())?))
            .unwrap_or(&NOTHING),
        _ => &NOTHING,
    })
}

fn from_either_end(place: i64, count: usize) -> Option<usize> {
    let count = i64::try_from(count).ok()?;
    usize::try_from(if place < 0 { place + count } else { place }).ok()
}

fn follow<'v>(
    steps: &[Step],
    value: &'v Value,
    budget: &Budget,
    found: &mut dyn FnMut(&'v Value),
) -> Result<(), String> {
    budget.spend(1)?;
    let Some((step, rest)) = steps.split_first() else {
        found(value);
        return Ok(());
    };
    match step {
        Step::Member(name) => match value {
            // What has no such member is passed over where several are looked at, by `select` or the next stage.
            Value::Object(_) => follow(rest, value.get(name).unwrap_or(&NOTHING), budget, found),
            Value::Null => follow(rest, &NOTHING, budget, found),
            other => Err(format!("`.{name}` was asked of {}", kind(other))),
        },
        Step::Index(place) => match value {
            Value::Array(items) => {
                let item = from_either_end(*place, items.len()).and_then(|place| items.get(place));
                follow(rest, item.unwrap_or(&NOTHING), budget, found)
            }
            Value::Null => follow(rest, &NOTHING, budget, found),
            other => Err(format!("`[{place}]` was asked of {}", kind(other))),
        },
        Step::Slice(from, to) => match value {
            Value::Array(items) => {
                let end = |place: &Option<i64>, default| match place {
                    Some(place) => from_either_end(*place, items.len())
                        .unwrap_or(0)
                        .min(items.len()),
                    None => default,
                };
                let (from, to) = (end(from, 0), end(to, items.len()));
                items
                    .get(from..to)
                    .unwrap_or_default()
                    .iter()
                    .try_for_each(|item| follow(rest, item, budget, found))
            }
            Value::Null => Ok(()),
            other => Err(format!("a slice was asked of {}", kind(other))),
        },
        Step::Each => match value {
            Value::Array(items) => items
                .iter()
                .try_for_each(|item| follow(rest, item, budget, found)),
            Value::Object(members) => members
                .iter()
                .try_for_each(|(_, item)| follow(rest, item, budget, found)),
            other => Err(format!("`[]` was asked of {}", kind(other))),
        },
        Step::Descend => descend(rest, value, budget, found),
    }
}

/// Everything within the value; a name that follows is only looked for in objects that have it.
fn descend<'v>(
    rest: &[Step],
    value: &'v Value,
    budget: &Budget,
    found: &mut dyn FnMut(&'v Value),
) -> Result<(), String> {
    match rest.first() {
        Some(Step::Member(name)) if value.get(name).is_none() => budget.spend(1)?,
        _ => follow(rest, value, budget, found)?,
    }
    match value {
        Value::Array(items) => items
            .iter()
            .try_for_each(|item| descend(rest, item, budget, found)),
        Value::Object(members) => members
            .iter()
            .try_for_each(|(_, item)| descend(rest, item, budget, found)),
        _ => Ok(()),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn holds(test: &Test, value: &Value) -> bool {
    match test {
        Test::And(left, right) => holds(left, value) && holds(right, value),
        Test::Or(left, right) => holds(left, value) || holds(right, value),
        Test::Not(inner) => !holds(inner, value),
        Test::Holds(operand) => !matches!(meant(operand, value), Value::Null | Value::Bool(false)),
        Test::Compare(left, relation, right) => {
            relates(meant(left, value), *relation, meant(right, value))
        }
    }
}

fn meant<'v>(operand: &'v Operand, value: &'v Value) -> &'v Value {
    match operand {
        Operand::Path(steps) => single(steps, value),
        Operand::Literal(literal) => literal,
    }
}

/// Only numbers with numbers, and texts with texts, are smaller or larger; the rest is equal or not.
fn relates(left: &Value, relation: Relation, right: &Value) -> bool {
    let ordered = matches!(
        (left, right),
        (Value::Number(_), Value::Number(_)) | (Value::String(_), Value::String(_))
    );
    let order = || match (left.number(), right.number()) {
        (Some(a), Some(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
        _ => compare(left, right),
    };
    match relation {
        Relation::Equal => order() == Ordering::Equal,
        Relation::Unequal => order() != Ordering::Equal,
        Relation::Less => ordered && order() == Ordering::Less,
        Relation::LessOrEqual => ordered && order() != Ordering::Greater,
        Relation::Greater => ordered && order() == Ordering::Greater,
        Relation::GreaterOrEqual => ordered && order() != Ordering::Less,
        Relation::Contains => match (left, right) {
            (Value::String(text), Value::String(part)) => {
                text.to_lowercase().contains(&part.to_lowercase())
            }
            (Value::Array(items), part) => items
                .iter()
                .any(|item| compare(item, part) == Ordering::Equal),
            _ => false,
        },
    }
}

fn items_of<'v>(value: &'v Value, asked: &str) -> Result<Vec<&'v Value>, String> {
    match value {
        Value::Array(items) => Ok(items.iter().collect()),
        other => Err(format!(
            "`{asked}` was asked of {}: it needs an array, which `collect` makes of several values",
            kind(other)
        )),
    }
}

fn copies(items: Vec<&Value>, budget: &Budget) -> Result<Value, String> {
    items
        .into_iter()
        .map(|item| budget.copy(item))
        .collect::<Result<_, _>>()
        .map(Value::Array)
}

fn group(mut items: Vec<&Value>, path: &[Step], budget: &Budget) -> Result<Value, String> {
    items.sort_by(|a, b| compare(single(path, a), single(path, b)));
    let mut groups = Vec::new();
    for members in
        items.chunk_by(|a, b| compare(single(path, a), single(path, b)) == Ordering::Equal)
    {
        let key = budget.copy(single(path, members[0]))?;
        let members = copies(members.to_vec(), budget)?;
        groups.push(Value::Object(alloc::vec![
            ("key".to_string(), key),
            ("items".to_string(), members)
        ]));
    }
    Ok(Value::Array(groups))
}

#[allow(clippy::cast_precision_loss)] // nobody has 2^53 values
fn call(function: Function, value: &Value, budget: &Budget) -> Result<Value, String> {
    match function {
        Function::Length => match value {
            Value::Null => Ok(Value::from_number(0.0)),
            Value::String(text) => Ok(Value::Number(text.chars().count().to_string())),
            Value::Array(items) => Ok(Value::Number(items.len().to_string())),
            Value::Object(members) => Ok(Value::Number(members.len().to_string())),
            other => Err(format!("`length` was asked of {}", kind(other))),
        },
        Function::Keys => match value {
            Value::Object(members) => {
                budget.spend(members.len())?;
                Ok(Value::Array(
                    members
                        .iter()
                        .map(|(key, _)| Value::String(key.clone()))
                        .collect(),
                ))
            }
            other => Err(format!("`keys` was asked of {}", kind(other))),
        },
        Function::Values => match value {
            Value::Object(members) => {
                copies(members.iter().map(|(_, item)| item).collect(), budget)
            }
            other => Err(format!("`values` was asked of {}", kind(other))),
        },
        Function::Sum | Function::Mean => {
            let items = items_of(value, "sum and mean")?;
            let numbers: Vec<f64> = items.iter().filter_map(|item| item.number()).collect();
            if let Some(other) = items
                .iter()
                .find(|item| !matches!(item, Value::Number(_) | Value::Null))
            {
                return Err(format!("a sum was asked of {}", kind(other)));
            }
            let sum: f64 = numbers.iter().sum();
            let mean = if numbers.is_empty() {
                f64::NAN
            } else {
                sum / numbers.len() as f64
            };
            Ok(Value::from_number(if function == Function::Sum {
                sum
            } else {
                mean
            }))
        }
        Function::Min | Function::Max => {
            let items = items_of(value, "min and max")?;
            let found = items.into_iter().filter(|item| **item != Value::Null);
            let found = if function == Function::Min {
                found.min_by(|a, b| compare(a, b))
            } else {
                found.max_by(|a, b| compare(a, b))
            };
            budget.copy(found.unwrap_or(&NOTHING))
        }
        Function::First => budget.copy(items_of(value, "first")?.first().unwrap_or(&&NOTHING)),
        Function::Last => budget.copy(items_of(value, "last")?.last().unwrap_or(&&NOTHING)),
        Function::Sort => {
            let mut items = items_of(value, "sort")?;
            items.sort_by(|a, b| compare(a, b));
            copies(items, budget)
        }
        Function::Reverse => copies(
            items_of(value, "reverse")?.into_iter().rev().collect(),
            budget,
        ),
        Function::Unique => {
            let mut seen = alloc::collections::BTreeSet::new();
            copies(
                items_of(value, "unique")?
                    .into_iter()
                    .filter(|item| seen.insert(spelt(item)))
                    .collect(),
                budget,
            )
        }
        Function::Flatten => {
            let mut flat = Vec::new();
            for item in items_of(value, "flatten")? {
                match item {
                    Value::Array(inner) => flat.extend(inner.iter()),
                    other => flat.push(other),
                }
            }
            copies(flat, budget)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::MOST_VALUES;
    use crate::parse::parse;

    const SHOP: &str = r#"{"items":[{"name":"Bolt","price":1.50,"tags":["steel","m8"]},{"name":"nut","price":0.2,"stock":null},
        {"name":"Gear","price":12,"tags":[],"maker":{"city":"Ulm"}}],"a b":1}"#;

    fn ask(query: &str) -> Result<String, String> {
        let value = Value::parse(SHOP).unwrap();
        let found = run(&parse(query)?, &value, &Budget::new(MOST_VALUES))?;
        Ok(Value::Array(found).to_text())
    }

    #[test]
    fn a_query_gives_what_it_says() {
        for (query, answer) in [
            (".items[0].price", "[1.50]"),
            (".items[-1].maker.city", "[\"Ulm\"]"),
            (".items[].name", r#"["Bolt","nut","Gear"]"#),
            (".items[1:].name", r#"["nut","Gear"]"#),
            (".items[:-1].name", r#"["Bolt","nut"]"#),
            (".\"a b\"", "[1]"),
            (".[\"a b\"]", "[1]"),
            (".nothing.at.all", "[null]"),
            (
                ".items[] | select(.price > 1 and not (.name == \"Gear\")) | {name, cost: .price}",
                r#"[{"name":"Bolt","cost":1.50}]"#,
            ),
            (
                ".items[] | select(.name ~ \"U\" or .tags ~ \"m8\") | .name",
                r#"["Bolt","nut"]"#,
            ),
            (".items[] | select(.maker) | .name", "[\"Gear\"]"),
            (
                ".items[] | select(.tags[0] == \"steel\") | [.name, .price]",
                r#"[["Bolt",1.50]]"#,
            ),
            ("..city", "[\"Ulm\"]"),
            ("..tags[]", r#"["steel","m8"]"#),
            ("[.items[].price] | sum", "[13.7]"),
            (".items[].price | collect | mean", "[4.566666666666666]"),
            (
                ".items | sort_by(.price) | .[].name",
                r#"["nut","Bolt","Gear"]"#,
            ),
            (".items | length", "[3]"),
            (". | keys", r#"[["items","a b"]]"#),
            (".items[].price | limit(1)", "[1.50]"),
            (
                ".items | group_by(.maker.city) | .[] | {key, items: .items}| .key",
                "[null,\"Ulm\"]",
            ),
            ("[.items[].name] | max", "[\"nut\"]"),
            ("[.items[].tags[0:1]] | unique", "[[\"steel\"]]"),
        ] {
            assert_eq!(ask(query).as_deref(), Ok(answer), "{query}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        assert_eq!(
            ask(".items.name").unwrap_err(),
            "`.name` was asked of an array"
        );
        assert_eq!(
            ask(".items[] | sort").unwrap_err(),
            "`sort` was asked of an object: it needs an array, which `collect` makes of several values"
        );
        assert_eq!(
            ask(".items | sum").unwrap_err(),
            "a sum was asked of an object"
        );
    }

    #[test]
    fn copies_of_copies_are_not_made() {
        let doubling = alloc::format!(". {}", "| [., .] ".repeat(30));
        assert!(ask(&doubling).unwrap_err().contains("more than"));
        assert!(
            ask(&alloc::format!(".{}", "..".repeat(40)))
                .unwrap_err()
                .contains("more than")
        );
    }
}
