//! `MessagePack` to JSON.

use super::layout::{Part, layout};
use super::{JSON_TEXT, write_float};
use crate::Span;
use crate::error::{Error, Kind, Result};
use crate::json::{Cursor, Shape, utf8, write_string};

/// One `MessagePack` item as JSON without white space.
///
/// # Errors
/// `Parse` for what is no `MessagePack` or has no JSON, `InvalidUtf8`.
pub fn msgpack_to_json(buf: &[u8]) -> Result<Vec<u8>> {
    let mut reader = Reader { buf, at: 0 };
    let mut out = Vec::with_capacity(buf.len() + buf.len() / 4);
    let mut open: Vec<Open> = Vec::new();
    loop {
        let key = open
            .last_mut()
            .is_some_and(|open| open.start_item(&mut out));
        match reader.item(&mut out, key)? {
            Some(container) => open.push(container),
            None if open.is_empty() => break,
            None => {}
        }
        while open.last().is_some_and(Open::is_complete) {
            out.extend(open.pop().map(|open| open.closing()));
        }
        if open.is_empty() {
            break;
        }
    }
    if reader.at < buf.len() {
        return Err(not_msgpack(reader.at, "something follows the item"));
    }
    Ok(out)
}

/// A container being read, in one word: depth is bounded by memory only.
struct Open(u64);

impl Open {
    const MAP: u64 = 1 << 63;
    const STARTED: u64 = 1 << 62;

    const fn left(&self) -> u64 {
        self.0 & !(Self::MAP | Self::STARTED)
    }

    const fn is_map(&self) -> bool {
        self.0 & Self::MAP != 0
    }

    const fn is_complete(&self) -> bool {
        self.left() == 0
    }

    const fn closing(&self) -> u8 {
        if self.is_map() { b'}' } else { b']' }
    }

    /// Writes what stands between two items. True when the next one is a key.
    fn start_item(&mut self, out: &mut Vec<u8>) -> bool {
        let key = self.is_map() && self.left().is_multiple_of(2);
        if self.is_map() && !key {
            out.push(b':');
        } else if self.0 & Self::STARTED != 0 {
            out.push(b',');
        }
        self.0 = (self.0 | Self::STARTED) - 1;
        key
    }
}

struct Reader<'a> {
    buf: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Writes the next item, or the opening bracket of a container, which is returned.
    fn item(&mut self, out: &mut Vec<u8>, key: bool) -> Result<Option<Open>> {
        let start = self.at;
        let marker = self.bytes(1)?[0];
        let Some(layout) = layout(marker) else {
            return Err(not_msgpack(start, "an item that JSON does not have"));
        };
        let number = unsigned(self.bytes(layout.number_bytes as u64)?) + layout.base;
        let is_text = matches!(marker, 0xa0..=0xbf | 0xd9..=0xdb | 0xc7..=0xc9 | 0xd4..=0xd8);
        if key && !is_text {
            return Err(not_msgpack(start, "a key that is not a string"));
        }
        match layout.part {
            Part::Items => {
                out.push(b'[');
                return Ok(Some(Open(number)));
            }
            Part::Pairs => {
                out.push(b'{');
                return Ok(Some(Open((number * 2) | Open::MAP)));
            }
            Part::Bytes => {}
        }
        let payload = self.bytes(number)?;
        match marker {
            0x00..=0x7f => write_integer(out, i128::from(marker)),
            0xe0.. => write_integer(out, i128::from(marker.cast_signed())),
            0xa0..=0xbf | 0xd9..=0xdb => {
                write_string(
                    out,
                    utf8(self.buf, Span::new(self.at - payload.len(), self.at))?,
                );
            }
            0xc0 => out.extend_from_slice(b"null"),
            0xc2 => out.extend_from_slice(b"false"),
            0xc3 => out.extend_from_slice(b"true"),
            0xca | 0xcb => self.float(out, payload)?,
            0xcc..=0xcf => write_integer(out, i128::from(unsigned(payload))),
            0xd0..=0xd3 => write_integer(out, i128::from(signed(payload))),
            _ => self.json_text(out, payload, key)?,
        }
        Ok(None)
    }

    fn float(&self, out: &mut Vec<u8>, payload: &[u8]) -> Result<()> {
        let value = match *payload {
            [a, b, c, d] => f64::from(f32::from_be_bytes([a, b, c, d])),
            _ => f64::from_bits(unsigned(payload)),
        };
        if !value.is_finite() {
            return Err(not_msgpack(self.at, "a number that JSON does not have"));
        }
        write_float(out, value);
        Ok(())
    }

    /// Extension type 1: a number, or a string where a key is wanted too.
    fn json_text(&self, out: &mut Vec<u8>, payload: &[u8], key: bool) -> Result<()> {
        let [JSON_TEXT, text @ ..] = payload else {
            return Err(not_msgpack(self.at, "an extension that is not JSON text"));
        };
        utf8(self.buf, Span::new(self.at - text.len(), self.at))?;
        let mut cursor = Cursor::new(text, 0);
        let shape = cursor.value(0).ok().filter(|_| cursor.pos == text.len());
        let number = matches!(shape, Some(Shape::Integer | Shape::Float));
        if !shape.is_some_and(Shape::is_string) && (key || !number) {
            return Err(not_msgpack(self.at, "a JSON text that is not a scalar"));
        }
        out.extend_from_slice(text);
        Ok(())
    }

    fn bytes(&mut self, count: u64) -> Result<&'a [u8]> {
        let end = usize::try_from(count)
            .ok()
            .and_then(|count| self.at.checked_add(count));
        let Some(part) = end.and_then(|end| self.buf.get(self.at..end)) else {
            return Err(not_msgpack(self.buf.len(), "the end inside an item"));
        };
        self.at += part.len();
        Ok(part)
    }
}

fn unsigned(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}

fn signed(bytes: &[u8]) -> i64 {
    let unused = 64 - 8 * bytes.len();
    (unsigned(bytes) << unused).cast_signed() >> unused
}

fn write_integer(out: &mut Vec<u8>, value: i128) {
    out.extend_from_slice(value.to_string().as_bytes());
}

#[cold]
fn not_msgpack(at: usize, what: &str) -> Error {
    Error::new(
        Kind::Parse,
        format!("not a MessagePack message: {what} at byte {at}"),
    )
}
