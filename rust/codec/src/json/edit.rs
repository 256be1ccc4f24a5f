//! Changing raw JSON without rewriting what is not changed.

use crate::Span;
use crate::error::{Error, Kind, Result};
use crate::json::members::{is, walk};
use crate::json::{Cursor, Key, utf8, write_string};

/// Replaces ranges of `buf`. They are sorted and do not overlap; an empty one inserts.
///
/// # Errors
/// `Value` when they are not, or lie outside.
pub fn splice(buf: &[u8], edits: &[(Span, &[u8])]) -> Result<Vec<u8>> {
    let mut at = 0;
    let mut size = buf.len();
    for (range, with) in edits {
        if range.start < at || range.end < range.start || range.end > buf.len() {
            return Err(Error::new(
                Kind::Value,
                format!(
                    "the edit {}..{} is out of order or outside",
                    range.start, range.end
                ),
            ));
        }
        at = range.end;
        size = size - (range.end - range.start) + with.len();
    }
    let mut out = Vec::with_capacity(size);
    let mut done = 0;
    for (range, with) in edits {
        out.extend_from_slice(&buf[done..range.start]);
        out.extend_from_slice(with);
        done = range.end;
    }
    out.extend_from_slice(&buf[done..]);
    Ok(out)
}

/// A member of the object under patch.
struct Member {
    key: Key,
    value: Span,
    /// Index into the changes.
    change: Option<usize>,
}

/// Sets members of the object `buf`: each key to its raw JSON value, or away for none.
///
/// A changed member keeps its place, a new one comes last; all other bytes stay, a removed member takes the
/// comma before it along (the first one, the comma after it).
///
/// # Errors
/// `Parse`, `InvalidUtf8` when `buf` is not an object; `DuplicateKey` when a key to be set is there twice
/// (removal takes all); `Value` when a key is changed twice or a value is not JSON.
pub fn patch_object(buf: &[u8], changes: &[(&str, Option<&[u8]>)]) -> Result<Vec<u8>> {
    for (at, (key, value)) in changes.iter().enumerate() {
        if changes[..at].iter().any(|(earlier, _)| earlier == key) {
            return Err(Error::new(Kind::Value, format!("`{key}` is changed twice")));
        }
        if let Some(value) = value {
            check_value(key, value)?;
        }
    }
    let mut members: Vec<Member> = Vec::new();
    let whole = Span::new(0, buf.len());
    walk(buf, whole, b'{', "an object", |cursor| {
        cursor.members(|cursor, key| {
            let start = cursor.pos;
            cursor.value(usize::MAX)?;
            let change = changes.iter().position(|(wanted, _)| is(buf, key, wanted));
            let value = Span::new(start, cursor.pos);
            members.push(Member { key, value, change });
            Ok(())
        })
    })?;

    let added: usize = changes
        .iter()
        .map(|(key, value)| key.len() + value.map_or(0, <[u8]>::len) + 8)
        .sum();
    let mut out = Vec::with_capacity(buf.len() + added);
    let mut used = vec![false; changes.len()];
    let (head, tail) = if let (Some(first), Some(last)) = (members.first(), members.last()) {
        (first.key.token.start, last.value.end)
    } else {
        let closing = memchr::memchr(b'{', buf).map_or(buf.len(), |at| at + 1);
        (closing, closing)
    };
    out.extend_from_slice(&buf[..head]);
    let mut first = true;
    let mut before = head;
    for member in &members {
        let separator = before..member.key.token.start;
        before = member.value.end;
        let value = match member.change {
            None => member.value.of(buf),
            Some(index) => {
                let Some(value) = changes[index].1 else {
                    continue;
                };
                if std::mem::replace(&mut used[index], true) {
                    let at = member.key.token.start;
                    let message = format!("the object has a key to be set twice at byte {at}");
                    return Err(Error::new(Kind::DuplicateKey, message));
                }
                value
            }
        };
        if !std::mem::take(&mut first) {
            out.extend_from_slice(&buf[separator]);
        }
        out.extend_from_slice(&buf[member.key.token.start..member.value.start]);
        out.extend_from_slice(value);
    }
    for ((key, value), used) in changes.iter().zip(used) {
        let Some(value) = value.filter(|_| !used) else {
            continue;
        };
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        write_string(&mut out, key);
        out.push(b':');
        out.extend_from_slice(value);
    }
    out.extend_from_slice(&buf[tail..]);
    Ok(out)
}

/// A value that is not one JSON text would break the object around it.
fn check_value(key: &str, value: &[u8]) -> Result<()> {
    let bad = |_| Error::new(Kind::Value, format!("the new value of `{key}` is not JSON"));
    utf8(value, Span::new(0, value.len())).map_err(bad)?;
    let mut cursor = Cursor::new(value, 0);
    cursor.space();
    cursor
        .value(usize::MAX)
        .and_then(|_| cursor.end())
        .map_err(|fault| bad(cursor.error(fault)))
}
