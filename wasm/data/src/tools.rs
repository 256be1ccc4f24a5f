//! The four tools: arguments in, a result as MCP has it out.
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use json::Value;

use crate::arguments::Arguments;
use crate::budget::{Budget, MOST_VALUES};
use crate::{csv, parse, run, table};

/// # Errors
/// A text that the model is to read.
pub fn call(name: &str, arguments: &str) -> Result<String, String> {
    let arguments = Arguments::parse(arguments)?;
    let answer = match name {
        "query_json" => query_json(arguments),
        "query_csv" => query_csv(&arguments),
        "csv_to_json" => csv_to_json(&arguments),
        "json_to_csv" => json_to_csv(&arguments),
        _ => Err(format!("there is no tool `{name}`")),
    }?;
    let mut result = String::from("{\"structuredContent\":");
    answer.write(&mut result);
    result.push('}');
    Ok(result)
}

fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Object(
        members
            .into_iter()
            .map(|(key, value)| (key.to_string(), value))
            .collect(),
    )
}

fn count(count: usize) -> Value {
    Value::Number(count.to_string())
}

fn query_json(mut arguments: Arguments) -> Result<Value, String> {
    let stages = parse::parse(arguments.text("query")?)?;
    let data = match arguments.optional_text("text")? {
        Some(text) => Value::parse(text).map_err(|json::Invalid(at)| {
            format!("`text` is no JSON, or nested too deeply, at byte {at}")
        })?,
        None => arguments
            .take("data")
            .ok_or("`data` or `text` is missing")?,
    };
    let results = run::run(&stages, &data, &Budget::new(MOST_VALUES))?;
    Ok(object([
        ("count", count(results.len())),
        ("results", Value::Array(results)),
    ]))
}

fn read_csv(arguments: &Arguments) -> Result<csv::Table, String> {
    csv::read(
        arguments.text("csv")?,
        arguments.delimiter()?,
        arguments.flag("header", true)?,
    )
}

fn query_csv(arguments: &Arguments) -> Result<Value, String> {
    table::query(&read_csv(arguments)?, arguments)
}

fn csv_to_json(arguments: &Arguments) -> Result<Value, String> {
    let table = read_csv(arguments)?;
    let typed = arguments.flag("typed", true)?;
    let rows: Vec<Value> = table
        .rows
        .into_iter()
        .map(|row| {
            let mut cells = row.into_iter();
            let members = table.columns.iter().map(|column| {
                let cell = cells.next().unwrap_or_default();
                (
                    column.clone(),
                    if typed {
                        csv::typed(&cell)
                    } else {
                        Value::String(cell)
                    },
                )
            });
            Value::Object(members.collect())
        })
        .collect();
    Ok(object([
        ("count", count(rows.len())),
        ("rows", Value::Array(rows)),
    ]))
}

fn json_to_csv(arguments: &Arguments) -> Result<Value, String> {
    let rows = arguments.items("rows")?;
    let delimiter = arguments.delimiter()?;
    let mut columns = arguments.texts("columns")?;
    if columns.is_empty() {
        let mut seen = alloc::collections::BTreeSet::new();
        for (key, _) in rows.iter().filter_map(Value::members).flatten() {
            if seen.insert(key.as_str()) {
                columns.push(key);
            }
        }
    }
    let cell = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_text(),
    };
    let mut text = String::new();
    if !columns.is_empty() && arguments.flag("header", true)? {
        csv::write_record(columns.iter().copied(), delimiter, &mut text);
    }
    for (place, row) in rows.iter().enumerate() {
        let cells: Vec<String> = match row {
            Value::Object(_) => columns
                .iter()
                .map(|column| row.get(column).map(cell).unwrap_or_default())
                .collect(),
            Value::Array(items) => items.iter().map(cell).collect(),
            _ => return Err(format!("row {place} is neither an object nor an array")),
        };
        csv::write_record(cells.iter().map(String::as_str), delimiter, &mut text);
    }
    Ok(object([
        ("count", count(rows.len())),
        ("csv", Value::String(text)),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tool_answers() {
        for (name, arguments, answer) in [
            (
                "query_json",
                r#"{"data":{"a":[1,2]},"query":".a[]"}"#,
                r#"{"count":2,"results":[1,2]}"#,
            ),
            (
                "query_json",
                r#"{"text":"{\"a\":1e2}","query":".a"}"#,
                r#"{"count":1,"results":[1e2]}"#,
            ),
            (
                "query_csv",
                r#"{"csv":"a;b\n1;2\n","delimiter":";","select":["b"]}"#,
                r#"{"matched":1,"count":1,"rows":[{"b":2}]}"#,
            ),
            (
                "csv_to_json",
                r#"{"csv":"a,b\n1,\n","typed":false}"#,
                r#"{"count":1,"rows":[{"a":"1","b":""}]}"#,
            ),
            (
                "csv_to_json",
                r#"{"csv":"1,x","header":false}"#,
                r#"{"count":1,"rows":[{"column_1":1,"column_2":"x"}]}"#,
            ),
            (
                "json_to_csv",
                r#"{"rows":[{"a":1,"b":"x,y"},{"c":[1],"a":null}]}"#,
                r#"{"count":2,"csv":"a,b,c\n1,\"x,y\",\n\"\",,[1]\n"}"#,
            ),
            (
                "json_to_csv",
                r#"{"rows":[[1,true]]}"#,
                r#"{"count":1,"csv":"1,true\n"}"#,
            ),
        ] {
            assert_eq!(
                call(name, arguments),
                Ok(format!("{{\"structuredContent\":{answer}}}")),
                "{name} {arguments}"
            );
        }
    }

    #[test]
    fn odd_arguments_are_told_to_the_model() {
        for (name, arguments) in [
            ("query_json", "{}"),
            ("query_json", r#"{"query":".a"}"#),
            ("query_json", r#"{"query":1,"data":1}"#),
            ("query_json", r#"{"query":".","text":"{"}"#),
            ("query_csv", r#"{"csv":1}"#),
            ("csv_to_json", r#"{"csv":"a","delimiter":"\""}"#),
            ("json_to_csv", r#"{"rows":[1]}"#),
            ("json_to_csv", r#"{"rows":{}}"#),
            ("nothing", "{}"),
            ("query_json", "[]"),
            ("query_json", "{"),
            ("csv_to_json", r#"{"csv":"a\n1,2"}"#),
        ] {
            assert!(call(name, arguments).is_err(), "{name} {arguments}");
        }
    }
}
