//! The first level of an array or an object, as spans into the whole buffer.
//!
//! Each call validates the value it is given (grammar, UTF-8; nesting costs a bit a level and has no bound
//! here), so that bytes that were never scanned are refused instead of misread.

use crate::Span;
use crate::error::{Error, Kind, Result};
use crate::json::{Cursor, Fault, Key, decode_string, unescape, utf8};
use std::borrow::Cow;

/// The elements of the JSON array at `range`.
///
/// # Errors
/// `Parse` when it is not an array, `InvalidUtf8`.
pub fn array_spans(buf: &[u8], range: Span) -> Result<Vec<Span>> {
    let mut spans = Vec::new();
    walk(buf, range, b'[', "an array", |cursor| {
        cursor.elements(|cursor| {
            let start = cursor.pos;
            cursor.value(usize::MAX)?;
            spans.push(Span::new(start, cursor.pos));
            Ok(())
        })
    })?;
    Ok(spans)
}

/// The members of the JSON object at `range`: decoded key, span of the value.
///
/// # Errors
/// `Parse` when it is not an object or a key holds a lone surrogate, `InvalidUtf8`.
pub fn member_spans(buf: &[u8], range: Span) -> Result<Vec<(Cow<'_, str>, Span)>> {
    let mut members = Vec::new();
    let text = walk(buf, range, b'{', "an object", |cursor| {
        cursor.members(|cursor, key| {
            let start = cursor.pos;
            cursor.value(usize::MAX)?;
            members.push((key, Span::new(start, cursor.pos)));
            Ok(())
        })
    })?;
    members
        .into_iter()
        .map(|(key, value)| {
            // `text` starts at the range; so must the token's place in it.
            let token = Span::new(key.token.start - range.start, key.token.end - range.start);
            Ok((decode_string(text, token)?, value))
        })
        .collect()
}

/// The value of the member `wanted` of the JSON object at `range`.
///
/// # Errors
/// `Parse` when it is not an object, `InvalidUtf8`, `DuplicateKey` when the member is there twice: readers
/// of JSON differ in which one they take.
pub fn find_member(buf: &[u8], wanted: &str, range: Span) -> Result<Option<Span>> {
    let mut value = None;
    let mut twice = None;
    walk(buf, range, b'{', "an object", |cursor| {
        cursor.members(|cursor, key| {
            let start = cursor.pos;
            cursor.value(usize::MAX)?;
            if is(buf, key, wanted) && value.replace(Span::new(start, cursor.pos)).is_some() {
                twice.get_or_insert(key.token.start);
            }
            Ok(())
        })
    })?;
    match twice {
        Some(at) => Err(Error::new(
            Kind::DuplicateKey,
            format!("the object has a key twice at byte {at}"),
        )),
        None => Ok(value),
    }
}

/// Whether the key, unescaped, is `wanted`.
pub(super) fn is(buf: &[u8], key: Key, wanted: &str) -> bool {
    let inner = key.inner(buf);
    if key.escaped {
        *unescape(inner) == *wanted.as_bytes()
    } else {
        inner == wanted.as_bytes()
    }
}

/// Walks the one value in `range`, which must start with `opening`. Returns the text of the range.
pub(super) fn walk<'a>(
    buf: &'a [u8],
    range: Span,
    opening: u8,
    expected: &str,
    step: impl FnOnce(&mut Cursor<'a>) -> std::result::Result<(), Fault>,
) -> Result<&'a str> {
    if range.start > range.end || range.end > buf.len() {
        return Err(Error::new(
            Kind::Value,
            format!(
                "the range {}..{} is not inside the {} bytes",
                range.start,
                range.end,
                buf.len()
            ),
        ));
    }
    let text = utf8(buf, range)?;
    let mut cursor = Cursor::new(&buf[..range.end], range.start);
    cursor.space();
    if cursor.peek() != Some(opening) {
        return Err(Error::new(
            Kind::Parse,
            format!("{expected} was expected at byte {}", cursor.pos),
        ));
    }
    step(&mut cursor)
        .and_then(|()| cursor.end())
        .map_err(|fault| cursor.error(fault))?;
    Ok(text)
}
