//! Runs `query_csv`: where, group, order, offset and limit, in this order.
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cmp::Ordering;

use json::Value;

use crate::arguments::Arguments;
use crate::csv::{Table, typed};
use crate::order::compare;

/// A cell's column and what it is compared with.
struct Condition {
    column: usize,
    operator: Operator,
    against: Vec<Value>,
}

#[derive(Clone, Copy, PartialEq)]
enum Operator {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Contains,
    StartsWith,
    EndsWith,
    In,
    Empty,
    NotEmpty,
}

const OPERATORS: [(&str, Operator); 12] = [
    ("=", Operator::Equal),
    ("!=", Operator::Unequal),
    ("<", Operator::Less),
    ("<=", Operator::LessOrEqual),
    (">", Operator::Greater),
    (">=", Operator::GreaterOrEqual),
    ("contains", Operator::Contains),
    ("starts_with", Operator::StartsWith),
    ("ends_with", Operator::EndsWith),
    ("in", Operator::In),
    ("empty", Operator::Empty),
    ("not_empty", Operator::NotEmpty),
];

#[derive(Clone, Copy)]
enum Fold {
    Count,
    Sum,
    Mean,
    Min,
    Max,
    First,
    Last,
    Distinct,
}

const FOLDS: [(&str, Fold); 8] = [
    ("count", Fold::Count),
    ("sum", Fold::Sum),
    ("mean", Fold::Mean),
    ("min", Fold::Min),
    ("max", Fold::Max),
    ("first", Fold::First),
    ("last", Fold::Last),
    ("distinct", Fold::Distinct),
];

fn named<T: Copy>(table: &[(&str, T)], name: &str, what: &str) -> Result<T, String> {
    table
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, found)| *found)
        .ok_or_else(|| {
            let known: Vec<&str> = table.iter().map(|(known, _)| *known).collect();
            format!(
                "there is no {what} `{name}`: there are {}",
                known.join(", ")
            )
        })
}

fn column(columns: &[String], name: &str) -> Result<usize, String> {
    columns
        .iter()
        .position(|column| column == name)
        .ok_or_else(|| {
            let known: Vec<&str> = columns.iter().take(50).map(String::as_str).collect();
            format!(
                "there is no column `{name}`: there are {}",
                known.join(", ")
            )
        })
}

impl Condition {
    fn read(value: &Value, columns: &[String]) -> Result<Condition, String> {
        let given = Arguments::within(value, "where")?;
        let operator = named(
            &OPERATORS,
            given.optional_text("op")?.unwrap_or("="),
            "operator",
        )?;
        let needs_value = !matches!(operator, Operator::Empty | Operator::NotEmpty);
        let against = match given.get("value") {
            Some(Value::Array(items)) if operator == Operator::In => items.clone(),
            Some(Value::Array(_) | Value::Object(_)) => {
                return Err(
                    "`value` of a condition is a text or a number, and an array only for `in`"
                        .to_string(),
                );
            }
            Some(one) => alloc::vec![one.clone()],
            None if needs_value => return Err("a condition needs a `value`".to_string()),
            None => Vec::new(),
        };
        Ok(Condition {
            column: column(columns, given.text("column")?)?,
            operator,
            against,
        })
    }

    fn holds(&self, row: &[String]) -> bool {
        let cell = row.get(self.column).map_or("", String::as_str);
        let first = || self.against.first().map(as_text).unwrap_or_default();
        match self.operator {
            Operator::Empty => cell.is_empty(),
            Operator::NotEmpty => !cell.is_empty(),
            Operator::Contains => cell.to_lowercase().contains(&first().to_lowercase()),
            Operator::StartsWith => cell.starts_with(&first()),
            Operator::EndsWith => cell.ends_with(&first()),
            Operator::Equal | Operator::In => self
                .against
                .iter()
                .any(|value| order(cell, value) == Ordering::Equal),
            Operator::Unequal => self
                .against
                .iter()
                .all(|value| order(cell, value) != Ordering::Equal),
            // An empty cell is neither smaller nor larger than anything.
            _ if cell.is_empty() => false,
            Operator::Less => self
                .against
                .iter()
                .all(|value| order(cell, value) == Ordering::Less),
            Operator::LessOrEqual => self
                .against
                .iter()
                .all(|value| order(cell, value) != Ordering::Greater),
            Operator::Greater => self
                .against
                .iter()
                .all(|value| order(cell, value) == Ordering::Greater),
            Operator::GreaterOrEqual => self
                .against
                .iter()
                .all(|value| order(cell, value) != Ordering::Less),
        }
    }
}

fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_text(),
    }
}

/// As numbers where both are, else as texts.
fn order(cell: &str, value: &Value) -> Ordering {
    let text = as_text(value);
    match (typed(cell).number(), typed(&text).number()) {
        (Some(a), Some(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
        _ => cell.cmp(&text),
    }
}

/// A column of the answer.
struct Wanted {
    name: String,
    source: Option<usize>,
    fold: Option<Fold>,
}

impl Wanted {
    fn read(value: &Value, columns: &[String]) -> Result<Wanted, String> {
        if let Some(name) = value.text() {
            return Ok(Wanted {
                name: name.to_string(),
                source: Some(column(columns, name)?),
                fold: None,
            });
        }
        let given = Arguments::within(value, "select")?;
        let source = given.optional_text("column")?;
        let folding = given.optional_text("aggregate")?;
        let fold = folding
            .map(|name| named(&FOLDS, name, "aggregate"))
            .transpose()?;
        if source.is_none() && !matches!(fold, Some(Fold::Count)) {
            return Err("what is selected has a `column`, unless it is `count`".to_string());
        }
        let name = match (given.optional_text("as")?, folding, source) {
            (Some(name), _, _) => name.to_string(),
            (None, Some(folding), Some(source)) => format!("{folding}_{source}"),
            (None, folding, source) => source.or(folding).unwrap_or_default().to_string(),
        };
        Ok(Wanted {
            name,
            source: source.map(|name| column(columns, name)).transpose()?,
            fold,
        })
    }

    fn value(&self, rows: &[&Vec<String>]) -> Value {
        let cells = || {
            rows.iter().filter_map(|row| {
                self.source
                    .map(|source| row.get(source).map_or("", String::as_str))
            })
        };
        let given = || cells().filter(|cell| !cell.is_empty()).map(typed);
        let numbers = || given().filter_map(|value| value.number());
        match self.fold.unwrap_or(Fold::First) {
            Fold::Count if self.source.is_none() => Value::Number(rows.len().to_string()),
            Fold::Count => Value::Number(given().count().to_string()),
            Fold::Sum => Value::from_number(numbers().sum()),
            #[allow(clippy::cast_precision_loss)] // nobody has 2^53 rows
            Fold::Mean => Value::from_number(numbers().sum::<f64>() / numbers().count() as f64),
            Fold::Min => given().min_by(compare).unwrap_or(Value::Null),
            Fold::Max => given().max_by(compare).unwrap_or(Value::Null),
            Fold::First => cells().next().map_or(Value::Null, typed),
            Fold::Last => cells().next_back().map_or(Value::Null, typed),
            Fold::Distinct => {
                let seen: alloc::collections::BTreeSet<&str> =
                    cells().filter(|cell| !cell.is_empty()).collect();
                Value::Number(seen.len().to_string())
            }
        }
    }
}

pub fn query(table: &Table, arguments: &Arguments) -> Result<Value, String> {
    let columns = &table.columns;
    let conditions = arguments
        .items("where")?
        .iter()
        .map(|each| Condition::read(each, columns))
        .collect::<Result<Vec<_>, _>>()?;
    let groups = arguments
        .texts("group_by")?
        .into_iter()
        .map(|name| column(columns, name))
        .collect::<Result<Vec<_>, _>>()?;
    let mut wanted = arguments
        .items("select")?
        .iter()
        .map(|each| Wanted::read(each, columns))
        .collect::<Result<Vec<_>, _>>()?;
    if wanted.is_empty() {
        let all = if groups.is_empty() {
            (0..columns.len()).collect()
        } else {
            groups.clone()
        };
        wanted = all
            .into_iter()
            .map(|source| Wanted {
                name: columns[source].clone(),
                source: Some(source),
                fold: None,
            })
            .collect();
        if !groups.is_empty() {
            wanted.push(Wanted {
                name: "count".to_string(),
                source: None,
                fold: Some(Fold::Count),
            });
        }
    }
    let matching: Vec<&Vec<String>> = table
        .rows
        .iter()
        .filter(|row| conditions.iter().all(|condition| condition.holds(row)))
        .collect();
    let matched = matching.len();
    let folding = !groups.is_empty() || wanted.iter().any(|each| each.fold.is_some());
    let names: Vec<String> = wanted.iter().map(|each| each.name.clone()).collect();
    // What the rows are ordered by: what is selected and, where rows stay rows, any other column.
    let orders = orders(arguments, &names, if folding { &[] } else { columns })?;
    let mut rows: Vec<(Vec<Value>, Option<&Vec<String>>)> = if folding {
        grouped(matching, &groups)
            .iter()
            .map(|rows| (wanted.iter().map(|each| each.value(rows)).collect(), None))
            .collect()
    } else {
        matching
            .into_iter()
            .map(|row| {
                (
                    wanted.iter().map(|each| each.value(&[row])).collect(),
                    Some(row),
                )
            })
            .collect()
    };
    rows.sort_by(|a, b| {
        orders.iter().fold(Ordering::Equal, |so_far, by| {
            so_far.then_with(|| {
                let order = compare(&by.value(a), &by.value(b));
                if by.descending {
                    order.reverse()
                } else {
                    order
                }
            })
        })
    });
    let rows: Vec<Value> = rows
        .into_iter()
        .skip(arguments.count("offset", 0)?)
        .take(arguments.count("limit", usize::MAX)?)
        .map(|(values, _)| Value::Object(names.iter().cloned().zip(values).collect()))
        .collect();
    Ok(Value::Object(alloc::vec![
        ("matched".to_string(), Value::Number(matched.to_string())),
        ("count".to_string(), Value::Number(rows.len().to_string())),
        ("rows".to_string(), Value::Array(rows)),
    ]))
}

/// The rows that are alike in these columns, in the order in which each kind first comes; all of them where there is no column.
fn grouped<'t>(rows: Vec<&'t Vec<String>>, groups: &[usize]) -> Vec<Vec<&'t Vec<String>>> {
    if groups.is_empty() {
        return alloc::vec![rows];
    }
    let mut places = alloc::collections::BTreeMap::new();
    let mut found: Vec<Vec<&Vec<String>>> = Vec::new();
    for row in rows {
        let key: Vec<&str> = groups
            .iter()
            .map(|source| row.get(*source).map_or("", String::as_str))
            .collect();
        let place = *places.entry(key).or_insert(found.len());
        if place == found.len() {
            found.push(Vec::new());
        }
        found[place].push(row);
    }
    found
}

struct By {
    /// Of what is selected, or else of the row.
    selected: Option<usize>,
    source: usize,
    descending: bool,
}

impl By {
    fn value(&self, row: &(Vec<Value>, Option<&Vec<String>>)) -> Value {
        match self.selected {
            Some(place) => row.0[place].clone(),
            None => row
                .1
                .and_then(|cells| cells.get(self.source))
                .map_or(Value::Null, |cell| typed(cell)),
        }
    }
}

fn orders(
    arguments: &Arguments,
    selected: &[String],
    columns: &[String],
) -> Result<Vec<By>, String> {
    let read = |value: &Value| {
        let given = if let Some(name) = value.text() {
            (name.to_string(), false)
        } else {
            let given = Arguments::within(value, "order_by")?;
            (
                given.text("column")?.to_string(),
                given.flag("descending", false)?,
            )
        };
        let place = selected.iter().position(|name| *name == given.0);
        let known = if columns.is_empty() {
            selected
        } else {
            columns
        };
        let source = if place.is_some() {
            0
        } else {
            column(known, &given.0)?
        };
        Ok(By {
            selected: place,
            source,
            descending: given.1,
        })
    };
    arguments.items("order_by")?.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "room,temp,unit,note\nkitchen,21.5,C,\ncellar,9,C,damp\nkitchen,23,C,\nattic,,C,\"no, sensor\"\ncellar,8.5,C,damp\n";

    fn ask(arguments: &str) -> Result<String, String> {
        let table = crate::csv::read(LOG, ',', true)?;
        query(&table, &Arguments::parse(arguments)?)
            .map(|answer| answer.get("rows").unwrap().to_text())
    }

    #[test]
    fn a_query_gives_what_it_says() {
        for (arguments, rows) in [
            (
                r#"{"select":["room","temp"],"where":[{"column":"temp","op":">","value":9}],"order_by":[{"column":"temp","descending":true}]}"#,
                r#"[{"room":"kitchen","temp":23},{"room":"kitchen","temp":21.5}]"#,
            ),
            (
                r#"{"select":["temp"],"where":[{"column":"temp","op":"<","value":"21"}]}"#,
                r#"[{"temp":9},{"temp":8.5}]"#,
            ),
            (
                r#"{"select":["room"],"where":[{"column":"temp","op":"empty"}]}"#,
                r#"[{"room":"attic"}]"#,
            ),
            (
                r#"{"select":["room"],"where":[{"column":"room","op":"in","value":["attic","cellar"]},{"column":"note","op":"contains","value":"DAMP"}],"limit":1}"#,
                r#"[{"room":"cellar"}]"#,
            ),
            (
                r#"{"select":["room",{"column":"temp","aggregate":"mean","as":"t"},{"aggregate":"count"}],"group_by":["room"],"order_by":["t"]}"#,
                r#"[{"room":"attic","t":null,"count":1},{"room":"cellar","t":8.75,"count":2},{"room":"kitchen","t":22.25,"count":2}]"#,
            ),
            (
                r#"{"select":[{"column":"temp","aggregate":"max"},{"column":"temp","aggregate":"count"},{"column":"room","aggregate":"distinct"}]}"#,
                r#"[{"max_temp":23,"count_temp":4,"distinct_room":3}]"#,
            ),
            (r#"{"group_by":["unit"]}"#, r#"[{"unit":"C","count":5}]"#),
            (
                r#"{"select":["note"],"order_by":["temp"],"offset":1,"limit":1}"#,
                r#"[{"note":"damp"}]"#,
            ),
            (
                r#"{"select":["room"],"where":[{"column":"room","value":"nowhere"}]}"#,
                "[]",
            ),
        ] {
            assert_eq!(ask(arguments).as_deref(), Ok(rows), "{arguments}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        assert_eq!(
            ask(r#"{"select":["x"]}"#).unwrap_err(),
            "there is no column `x`: there are room, temp, unit, note"
        );
        assert!(
            ask(r#"{"where":[{"column":"temp","op":"like","value":1}]}"#)
                .unwrap_err()
                .starts_with("there is no operator `like`")
        );
        for arguments in [
            r#"{"where":{}}"#,
            r#"{"where":[1]}"#,
            r#"{"limit":-1}"#,
            r#"{"order_by":[[]]}"#,
            r#"{"select":[{}]}"#,
            r#"{"where":[{"column":"temp","op":"<"}]}"#,
            r#"{"where":[{"column":"temp","value":{}}]}"#,
        ] {
            assert!(ask(arguments).is_err(), "{arguments}");
        }
    }
}
