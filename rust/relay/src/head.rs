//! Request heads that differ in nothing but the length of what follows.
//!
//! A client on a kept-alive connection sends the same head again and again. One that was understood once, by the strict
//! parser, need not be parsed again: byte for byte the same, but for the digits of `Content-Length`, it means the same.

use crate::flow::Recent;
use crate::meta::Memo;
use std::cell::RefCell;
use tidegate_codec::{Span, http};

/// Longer heads are not remembered.
const MAX_BYTES: usize = 8192;
/// More digits are none of a body that is short enough.
const MAX_DIGITS: usize = 9;

/// A head without its length.
#[derive(Debug)]
pub(crate) struct Head {
    /// What its flows are kept under.
    pub(crate) context: u64,
    /// As of `Relay` when it was understood.
    pub(crate) generation: u64,
    /// Up to the digits.
    pub(crate) before: Box<[u8]>,
    /// From behind them to the end of the blank line.
    pub(crate) after: Box<[u8]>,
    /// Of what came last behind it.
    pub(crate) memo: RefCell<Memo>,
    pub(crate) recent: RefCell<Option<Recent>>,
}

/// Where the parts of one request are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    pub(crate) digits: Span,
    pub(crate) head_end: usize,
    /// Where its body ends, or will end.
    pub(crate) end: usize,
}

impl Head {
    /// Where this head and the request that it begins end, if `data` starts with it.
    pub(crate) fn ends(&self, data: &[u8]) -> Option<(usize, usize)> {
        ends(&self.before, &self.after, data)
    }
}

fn ends(before: &[u8], after: &[u8], data: &[u8]) -> Option<(usize, usize)> {
    let rest = data.strip_prefix(before)?;
    let (length, digits) = length(rest)?;
    let head_end = before.len() + digits + after.len();
    rest[digits..]
        .starts_with(after)
        .then_some((head_end, head_end + length))
}

/// The body of a whole message whose head is `before`, its length, and `after`; `None` for any other.
pub(crate) fn body_behind<'a>(before: &[u8], after: &[u8], data: &'a [u8]) -> Option<&'a [u8]> {
    let (head_end, end) = ends(before, after, data)?;
    (data.len() == end).then(|| &data[head_end..])
}

/// The number that `text` begins with, and its digits: one or more, no leading zero, not too many.
fn length(text: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    let mut digits = 0;
    while let Some(digit @ b'0'..=b'9') = text.get(digits) {
        value = value * 10 + usize::from(digit - b'0');
        digits += 1;
        if digits > MAX_DIGITS {
            return None;
        }
    }
    (digits > 0 && text[0] != b'0').then_some((value, digits))
}

/// Where `part` lies in `whole`, of which it is a slice.
pub(crate) fn span_in(whole: &[u8], part: &[u8]) -> Span {
    let start = part.as_ptr() as usize - whole.as_ptr() as usize;
    Span::new(start, start + part.len())
}

/// Where to cut one plain request whose head is here; `None` for any other.
pub(crate) fn cut(data: &[u8], max_bytes: usize) -> Option<Cut> {
    let head = http::parse_request_head(data, max_bytes).ok()??;
    let fields = &head.fields;
    let plain = head.method == "POST"
        && fields.minor == 1
        && fields.keep_alive
        && !fields.chunked
        && !fields.expect_continue
        && fields.head_len <= MAX_BYTES;
    if !plain {
        return None;
    }
    let mut digits = None;
    for (name, value) in &fields.headers {
        match name.as_str() {
            "content-length" if digits.is_some() => return None,
            "content-length" => digits = Some(span_in(data, value)),
            "content-encoding" | "upgrade" | "expect" => return None,
            _ => {}
        }
    }
    let digits = digits?;
    let (length, count) = length(digits.of(data))?;
    (count == digits.end - digits.start).then_some(Cut {
        digits,
        head_end: fields.head_len,
        end: fields.head_len + length,
    })
}
