//! JSON to `MessagePack`.

use super::{JSON_TEXT, write_float};
use crate::Span;
use crate::error::{Error, Kind, Result};
use crate::json::{Cursor, Key, Shape, Visit, unescape, utf8};

/// One JSON text as `MessagePack`, each item in its shortest form.
///
/// # Errors
/// `Parse`, `InvalidUtf8`; `TooLarge` for a string or container beyond 2^32.
pub fn json_to_msgpack(buf: &[u8]) -> Result<Vec<u8>> {
    utf8(buf, Span::new(0, buf.len()))?;
    // A container starts with the number of its items, which the text tells only at its end: count first.
    let mut count = Count::default();
    walk(buf, &mut count)?;
    let mut write = Write {
        buf,
        out: Vec::with_capacity(buf.len()),
        sizes: count.sizes.into_iter(),
        too_large: false,
    };
    walk(buf, &mut write)?;
    if write.too_large {
        return Err(Error::new(
            Kind::TooLarge,
            "a string or container is over 2^32",
        ));
    }
    Ok(write.out)
}

fn walk(buf: &[u8], visit: &mut impl Visit) -> Result<()> {
    let mut cursor = Cursor::new(buf, 0);
    cursor.space();
    cursor
        .visit(usize::MAX, visit)
        .and_then(|()| cursor.end())
        .map_err(|fault| cursor.error(fault))
}

/// Counts the items of each container, in the order in which they open.
#[derive(Default)]
struct Count {
    sizes: Vec<usize>,
    /// Indices of the open ones.
    open: Vec<usize>,
}

impl Count {
    fn item(&mut self) {
        if let Some(&parent) = self.open.last() {
            self.sizes[parent] += 1;
        }
    }
}

impl Visit for Count {
    fn open(&mut self, _: bool) {
        self.item();
        self.open.push(self.sizes.len());
        self.sizes.push(0);
    }

    fn key(&mut self, _: Key) {}

    fn scalar(&mut self, _: Shape, _: Span) {
        self.item();
    }

    fn close(&mut self, _: bool) {
        self.open.pop();
    }
}

struct Write<'a> {
    buf: &'a [u8],
    out: Vec<u8>,
    sizes: std::vec::IntoIter<usize>,
    too_large: bool,
}

impl Write<'_> {
    fn string(&mut self, token: Span) {
        let characters = unescape(&self.buf[token.start + 1..token.end - 1]);
        if simdutf8::basic::from_utf8(&characters).is_err() {
            return self.json_text(token);
        }
        match u32::try_from(characters.len()) {
            Ok(size @ 0..0x20) => self.out.push(0xa0 | low_byte(size)),
            Ok(size) => self.sized(size, [0xd9, 0xda, 0xdb]),
            Err(_) => self.too_large = true,
        }
        self.out.extend_from_slice(&characters);
    }

    fn number(&mut self, shape: Shape, token: Span) {
        let spelt = token.of(self.buf);
        let text = std::str::from_utf8(spelt).unwrap_or_default();
        if shape == Shape::Integer && text != "-0" {
            if let Ok(value) = text.parse::<u64>() {
                return self.unsigned(value);
            }
            if let Ok(value) = text.parse::<i64>() {
                return self.negative(value);
            }
        } else if let Ok(value) = text.parse::<f64>()
            && value.is_finite()
        {
            let start = self.out.len();
            write_float(&mut self.out, value);
            let exact = &self.out[start..] == spelt;
            self.out.truncate(start);
            if exact {
                self.out.push(0xcb);
                self.out.extend_from_slice(&value.to_be_bytes());
                return;
            }
        }
        self.json_text(token);
    }

    fn unsigned(&mut self, value: u64) {
        if let Ok(byte) = u8::try_from(value) {
            if byte > 0x7f {
                self.out.push(0xcc);
            }
            self.out.push(byte);
        } else if let Ok(value) = u16::try_from(value) {
            self.marked(0xcd, &value.to_be_bytes());
        } else if let Ok(value) = u32::try_from(value) {
            self.marked(0xce, &value.to_be_bytes());
        } else {
            self.marked(0xcf, &value.to_be_bytes());
        }
    }

    fn negative(&mut self, value: i64) {
        if let Ok(small) = i8::try_from(value) {
            if small < -32 {
                self.out.push(0xd0);
            }
            self.out.extend_from_slice(&small.to_be_bytes());
        } else if let Ok(value) = i16::try_from(value) {
            self.marked(0xd1, &value.to_be_bytes());
        } else if let Ok(value) = i32::try_from(value) {
            self.marked(0xd2, &value.to_be_bytes());
        } else {
            self.marked(0xd3, &value.to_be_bytes());
        }
    }

    fn json_text(&mut self, token: Span) {
        let text = token.of(self.buf);
        match u32::try_from(text.len()) {
            Ok(size @ (1 | 2 | 4 | 8 | 16)) => {
                self.out.push(0xd4 + low_byte(size.trailing_zeros()));
            }
            Ok(size) => self.sized(size, [0xc7, 0xc8, 0xc9]),
            Err(_) => self.too_large = true,
        }
        self.out.push(JSON_TEXT);
        self.out.extend_from_slice(text);
    }

    /// The marker for a size of one, two or four bytes, and the size.
    fn sized(&mut self, size: u32, markers: [u8; 3]) {
        if let Ok(size) = u8::try_from(size) {
            self.marked(markers[0], &[size]);
        } else if let Ok(size) = u16::try_from(size) {
            self.marked(markers[1], &size.to_be_bytes());
        } else {
            self.marked(markers[2], &size.to_be_bytes());
        }
    }

    fn marked(&mut self, marker: u8, bytes: &[u8]) {
        self.out.push(marker);
        self.out.extend_from_slice(bytes);
    }
}

impl Visit for Write<'_> {
    fn open(&mut self, object: bool) {
        let (small, markers) = if object {
            (0x80, [0xde, 0xdf])
        } else {
            (0x90, [0xdc, 0xdd])
        };
        match u32::try_from(self.sizes.next().unwrap_or(0)) {
            Ok(size @ 0..0x10) => self.out.push(small | low_byte(size)),
            Ok(size) => match u16::try_from(size) {
                Ok(size) => self.marked(markers[0], &size.to_be_bytes()),
                Err(_) => self.marked(markers[1], &size.to_be_bytes()),
            },
            Err(_) => self.too_large = true,
        }
    }

    fn key(&mut self, key: Key) {
        self.string(key.token);
    }

    fn scalar(&mut self, shape: Shape, token: Span) {
        match shape {
            Shape::Plain | Shape::Escaped => self.string(token),
            Shape::Integer | Shape::Float => self.number(shape, token),
            Shape::Bool if self.buf[token.start] == b't' => self.out.push(0xc3),
            Shape::Bool => self.out.push(0xc2),
            _ => self.out.push(0xc0),
        }
    }

    fn close(&mut self, _: bool) {}
}

const fn low_byte(value: u32) -> u8 {
    value.to_le_bytes()[0]
}
