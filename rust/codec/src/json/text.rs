//! Strings: from their spelling to their characters and back.

use crate::Span;
use crate::error::{Error, Kind, Result};
use std::borrow::Cow;

/// The text of `buf[span]`, if it is UTF-8.
///
/// # Errors
/// `InvalidUtf8` with the offset in `buf` of the first byte that is not.
pub fn utf8(buf: &[u8], span: Span) -> Result<&str> {
    let part = span.of(buf);
    if let Ok(text) = simdutf8::basic::from_utf8(part) {
        return Ok(text);
    }
    let at = simdutf8::compat::from_utf8(part).map_or_else(|error| error.valid_up_to(), str::len);
    Err(Error::new(
        Kind::InvalidUtf8,
        format!("not UTF-8 at byte {}", span.start + at),
    ))
}

/// The characters of the inside of a valid string token, as bytes.
///
/// A surrogate without its partner becomes the three bytes UTF-8 would have for it, so that keys that
/// differ still differ; such bytes are not UTF-8.
#[must_use]
pub fn unescape(inner: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'\\', inner) else {
        return Cow::Borrowed(inner);
    };
    let mut out = Vec::with_capacity(inner.len());
    out.extend_from_slice(&inner[..first]);
    let mut rest = &inner[first..];
    while let [b'\\', escape, after @ ..] = rest {
        rest = after;
        match escape {
            b'b' => out.push(0x08),
            b'f' => out.push(0x0c),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let mut unit = hex4(rest);
                rest = rest.get(4..).unwrap_or_default();
                if (0xd800..0xdc00).contains(&unit)
                    && let [b'\\', b'u', low @ ..] = rest
                    && let low_unit @ 0xdc00..0xe000 = hex4(low)
                {
                    unit = 0x1_0000 + ((unit - 0xd800) << 10) + (low_unit - 0xdc00);
                    rest = low.get(4..).unwrap_or_default();
                }
                push_code_point(&mut out, unit);
            }
            other => out.push(*other),
        }
        let next = memchr::memchr(b'\\', rest).unwrap_or(rest.len());
        out.extend_from_slice(&rest[..next]);
        rest = &rest[next..];
    }
    Cow::Owned(out)
}

fn hex4(text: &[u8]) -> u32 {
    text.iter().take(4).fold(0, |sum, &digit| {
        sum << 4 | char::from(digit).to_digit(16).unwrap_or(0)
    })
}

fn push_code_point(out: &mut Vec<u8>, code: u32) {
    if let Some(character) = char::from_u32(code) {
        let mut utf8 = [0; 4];
        out.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
    } else {
        // A lone surrogate: always three bytes.
        let low_six = |bits: u32| 0x80 | u8::try_from(bits & 0x3f).unwrap_or(0);
        out.extend_from_slice(&[0xed, low_six(code >> 6), low_six(code)]);
    }
}

/// The characters of the valid string token `text[token]`, quotes included.
///
/// # Errors
/// `Parse` when it holds a surrogate without its partner, which no text can.
pub fn decode_string(text: &str, token: Span) -> Result<Cow<'_, str>> {
    let inner = &text[token.start + 1..token.end - 1];
    match unescape(inner.as_bytes()) {
        Cow::Borrowed(_) => Ok(Cow::Borrowed(inner)),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| {
            Error::new(
                Kind::Parse,
                format!(
                    "a lone surrogate is escaped in the string at byte {}",
                    token.start
                ),
            )
        }),
    }
}

/// Appends `text` as a JSON string token: the shortest spelling, non-ASCII as it is.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut done = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let short = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            0..0x20 => b'u',
            _ => continue,
        };
        out.extend_from_slice(&bytes[done..at]);
        out.extend_from_slice(&[b'\\', short]);
        if short == b'u' {
            let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
            out.extend_from_slice(&[b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
        }
        done = at + 1;
    }
    out.extend_from_slice(&bytes[done..]);
    out.push(b'"');
}
