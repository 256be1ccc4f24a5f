//! CSV (RFC 4180): cells in quotes may hold the delimiter, line ends and doubled quotes.
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use json::Value;

pub struct Table {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// The records; empty lines are none.
fn records(text: &str, delimiter: char) -> Result<Vec<Vec<String>>, String> {
    let mut records = Vec::new();
    let mut record: Vec<String> = Vec::new();
    let mut chars = text
        .strip_prefix('\u{feff}')
        .unwrap_or(text)
        .chars()
        .peekable();
    let mut line = 1;
    while chars.peek().is_some() {
        let mut cell = String::new();
        let quoted = chars.next_if_eq(&'"').is_some();
        if quoted {
            let opened = line;
            loop {
                match chars.next() {
                    Some('"') if chars.next_if_eq(&'"').is_some() => cell.push('"'),
                    Some('"') => break,
                    Some(char) => {
                        line += usize::from(char == '\n');
                        cell.push(char);
                    }
                    None => {
                        return Err(format!("the quote opened in line {opened} is never closed"));
                    }
                }
            }
        }
        while let Some(char) =
            chars.next_if(|char| *char != delimiter && *char != '\n' && *char != '\r')
        {
            if quoted {
                return Err(format!("line {line}: something follows a closing quote"));
            }
            cell.push(char);
        }
        record.push(cell);
        match chars.next() {
            Some(char) if char == delimiter => {
                if chars.peek().is_none() {
                    record.push(String::new());
                }
            }
            end => {
                if end == Some('\r') {
                    chars.next_if_eq(&'\n');
                }
                line += 1;
                if record.len() > 1 || quoted || !record[0].is_empty() {
                    records.push(core::mem::take(&mut record));
                } else {
                    record.clear();
                }
            }
        }
    }
    if !record.is_empty() {
        records.push(record);
    }
    Ok(records)
}

/// The first record names the columns, or else they are `column_1` and so on. A name that comes again gets a number.
pub fn read(text: &str, delimiter: char, header: bool) -> Result<Table, String> {
    let mut rows = records(text, delimiter)?;
    let columns = if header && !rows.is_empty() {
        named_once(rows.remove(0))
    } else {
        let most = rows.iter().map(Vec::len).max().unwrap_or(0);
        (1..=most).map(|place| format!("column_{place}")).collect()
    };
    if let Some(place) = rows.iter().position(|row| row.len() > columns.len()) {
        return Err(format!(
            "record {} has {} cells for {} columns",
            place + 1,
            rows[place].len(),
            columns.len()
        ));
    }
    Ok(Table { columns, rows })
}

fn named_once(names: Vec<String>) -> Vec<String> {
    let mut seen = alloc::collections::BTreeMap::new();
    let mut unique = alloc::collections::BTreeSet::new();
    names
        .into_iter()
        .map(|name| {
            let times: &mut usize = seen.entry(name.clone()).or_default();
            loop {
                *times += 1;
                let name = if *times == 1 {
                    name.clone()
                } else {
                    format!("{name}_{times}")
                };
                if unique.insert(name.clone()) {
                    return name;
                }
            }
        })
        .collect()
}

/// A cell as JSON: null when empty, a number when it is spelt as JSON spells one and a float holds it, else a text.
pub fn typed(cell: &str) -> Value {
    if cell.is_empty() {
        return Value::Null;
    }
    let digits = cell.bytes().filter(u8::is_ascii_digit).count();
    if digits > 0
        && digits <= 15
        && cell
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
        && let Ok(number @ Value::Number(_)) = Value::parse(cell)
        && number.number().is_some()
    {
        return number;
    }
    Value::String(cell.to_string())
}

pub fn write_record<'a>(cells: impl Iterator<Item = &'a str>, delimiter: char, out: &mut String) {
    for (place, cell) in cells.enumerate() {
        if place > 0 {
            out.push(delimiter);
        }
        if cell.contains([delimiter, '"', '\n', '\r']) || (place == 0 && cell.is_empty()) {
            out.push('"');
            out.push_str(&cell.replace('"', "\"\""));
            out.push('"');
        } else {
            out.push_str(cell);
        }
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<Vec<String>> {
        records(text, ',').unwrap()
    }

    #[test]
    fn cells_are_read_as_the_standard_has_them() {
        assert_eq!(
            rows("a,b\r\n1,\"x,\"\"y\"\"\nz\"\n\n,\n"),
            [vec!["a", "b"], vec!["1", "x,\"y\"\nz"], vec!["", ""]]
        );
        assert_eq!(rows("a,\n\"\""), [vec!["a", ""], vec![""]]);
        assert_eq!(rows("a,"), [vec!["a", ""]]);
        assert_eq!(rows("\u{feff}a"), [vec!["a"]]);
        assert!(rows("").is_empty());
    }

    #[test]
    fn what_is_no_csv_is_told_by_its_line() {
        assert_eq!(
            records("a\n\"b", ',').unwrap_err(),
            "the quote opened in line 2 is never closed"
        );
        assert_eq!(
            records("\"a\"b", ',').unwrap_err(),
            "line 1: something follows a closing quote"
        );
        assert_eq!(
            read("a\n1,2", ',', true).err().unwrap(),
            "record 1 has 2 cells for 1 columns"
        );
    }

    #[test]
    fn columns_have_names_of_their_own() {
        assert_eq!(
            read("a,a_2,a,a\n", ',', true).unwrap().columns,
            ["a", "a_2", "a_3", "a_4"]
        );
        assert_eq!(
            read("1,2\n3,4", ',', false).unwrap().columns,
            ["column_1", "column_2"]
        );
    }

    #[test]
    fn only_what_is_spelt_as_a_number_is_one() {
        for (cell, json) in [
            ("1.50", "1.50"),
            ("007", "\"007\""),
            ("", "null"),
            ("-3e2", "-3e2"),
            ("1234567890123456", "\"1234567890123456\""),
            ("-", "\"-\""),
            ("1e9999", "\"1e9999\""),
        ] {
            assert_eq!(typed(cell).to_text(), json);
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let cells = ["", "a,b", "say \"x\"", "two\nlines", "plain"];
        let mut text = String::new();
        write_record(cells.into_iter(), ',', &mut text);
        assert_eq!(rows(&text), [cells.to_vec()]);
    }
}
