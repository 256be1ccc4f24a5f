//! One pass over JSON text, validating it and reporting where things lie.
//!
//! The cursor never recurses: open containers are one bit each on a stack of words, so nesting can
//! exhaust its bound but not the thread's stack. It looks at ASCII structure only; whoever starts it
//! has checked that the bytes are UTF-8.

use super::skip::{plain_end, space_end};
use crate::Span;
use crate::error::{Error, Kind};

/// Why the cursor stopped. The place is `Cursor::pos`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The text ended inside a value.
    Ended,
    /// A byte that cannot start a value.
    Value,
    /// An object member does not start with a string.
    Key,
    /// No colon after a key.
    Colon,
    /// Neither a comma nor the closing bracket after a value.
    Separator,
    /// A control character inside a string.
    Control,
    /// An escape that JSON does not have.
    Escape,
    /// A number that JSON does not have.
    Number,
    /// Bytes after the value.
    Trailing,
    /// More open containers than allowed.
    Depth,
}

/// What a value is, as far as its first byte and its spelling say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"` without a backslash.
    Plain,
    /// `"…"` with at least one backslash.
    Escaped,
    /// A number without fraction and exponent.
    Integer,
    /// A number with one of them.
    Float,
    /// `true` or `false`
    Bool,
    /// `null`
    Null,
}

impl Shape {
    /// A string of either spelling.
    #[must_use]
    pub const fn is_string(self) -> bool {
        matches!(self, Self::Plain | Self::Escaped)
    }
}

/// A member's key as it is spelt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The whole token, quotes included.
    pub token: Span,
    /// Whether it holds a backslash.
    pub escaped: bool,
}

impl Key {
    /// The bytes between the quotes, as spelt.
    #[must_use]
    pub fn inner<'a>(&self, buf: &'a [u8]) -> &'a [u8] {
        &buf[self.token.start + 1..self.token.end - 1]
    }
}

/// Is told what a cursor steps over.
pub trait Visit {
    /// An object or an array begins.
    fn open(&mut self, object: bool);
    /// A member begins; its value comes next.
    fn key(&mut self, key: Key);
    /// A value that holds no other.
    fn scalar(&mut self, shape: Shape, token: Span);
    /// The container opened last and not yet closed ends.
    fn close(&mut self, object: bool);
}

/// Listens to nothing.
struct Over;

impl Visit for Over {
    fn open(&mut self, _: bool) {}
    fn key(&mut self, _: Key) {}
    fn scalar(&mut self, _: Shape, _: Span) {}
    fn close(&mut self, _: bool) {}
}

/// A place in a JSON text.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    buf: &'a [u8],
    /// Offset of the next byte; after a fault, of the byte at fault.
    pub pos: usize,
}

/// Which of the open containers are objects, innermost first; one bit each.
struct Open {
    word: u64,
    len: usize,
    older: Vec<u64>,
}

impl Open {
    const fn new() -> Self {
        Self {
            word: 0,
            len: 0,
            older: Vec::new(),
        }
    }

    fn push(&mut self, object: bool) {
        if self.len.is_multiple_of(64) && self.len > 0 {
            self.older.push(self.word);
        }
        self.word = (self.word << 1) | u64::from(object);
        self.len += 1;
    }

    fn pop(&mut self) {
        self.word >>= 1;
        self.len -= 1;
        if self.len.is_multiple_of(64)
            && let Some(word) = self.older.pop()
        {
            self.word = word;
        }
    }

    const fn in_object(&self) -> bool {
        self.word & 1 == 1
    }
}

impl<'a> Cursor<'a> {
    /// Starts at `pos`; nothing beyond `buf` is looked at.
    #[must_use]
    pub const fn new(buf: &'a [u8], pos: usize) -> Self {
        Self { buf, pos }
    }

    /// The text under the cursor.
    #[must_use]
    pub const fn buf(&self) -> &'a [u8] {
        self.buf
    }

    /// The next byte.
    #[inline]
    #[must_use]
    pub fn peek(&self) -> Option<u8> {
        self.buf.get(self.pos).copied()
    }

    /// Steps over white space.
    #[inline]
    pub fn space(&mut self) {
        if let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.pos = space_end(self.buf, self.pos + 1);
        }
    }

    /// Steps over white space up to the end; anything else is a fault.
    ///
    /// # Errors
    /// `Trailing`.
    pub fn end(&mut self) -> Result<(), Fault> {
        self.space();
        if self.pos == self.buf.len() {
            Ok(())
        } else {
            Err(Fault::Trailing)
        }
    }

    /// Steps over one value, at most `room` containers deep. No white space before it.
    ///
    /// # Errors
    /// Any fault, with `pos` at its place.
    #[inline]
    pub fn value(&mut self, room: usize) -> Result<Shape, Fault> {
        match self.peek() {
            Some(b'{') => self.container(room, &mut Over).map(|()| Shape::Object),
            Some(b'[') => self.container(room, &mut Over).map(|()| Shape::Array),
            _ => self.scalar(),
        }
    }

    /// Steps over an object and calls `on` with the cursor at each member's value, which it must step over.
    ///
    /// # Errors
    /// Any fault of the grammar, or what `on` returns.
    #[inline]
    pub fn members(
        &mut self,
        mut on: impl FnMut(&mut Self, Key) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.pos += 1;
        self.space();
        if self.peek() == Some(b'}') {
            self.pos += 1;
            return Ok(());
        }
        loop {
            let key = self.key()?;
            on(self, key)?;
            self.space();
            match self.peek() {
                Some(b',') => self.pos += 1,
                Some(b'}') => {
                    self.pos += 1;
                    return Ok(());
                }
                other => return Err(other.map_or(Fault::Ended, |_| Fault::Separator)),
            }
            self.space();
        }
    }

    /// Steps over an array and calls `on` with the cursor at each element, which it must step over.
    ///
    /// # Errors
    /// Any fault of the grammar, or what `on` returns.
    pub fn elements(
        &mut self,
        mut on: impl FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.pos += 1;
        self.space();
        if self.peek() == Some(b']') {
            self.pos += 1;
            return Ok(());
        }
        loop {
            on(self)?;
            self.space();
            match self.peek() {
                Some(b',') => self.pos += 1,
                Some(b']') => {
                    self.pos += 1;
                    return Ok(());
                }
                other => return Err(other.map_or(Fault::Ended, |_| Fault::Separator)),
            }
            self.space();
        }
    }

    /// Steps over a key, its colon and the white space up to the value.
    #[inline]
    fn key(&mut self) -> Result<Key, Fault> {
        let start = self.pos;
        match self.peek() {
            Some(b'"') => {}
            other => return Err(other.map_or(Fault::Ended, |_| Fault::Key)),
        }
        let escaped = self.string()?;
        let token = Span::new(start, self.pos);
        self.space();
        match self.peek() {
            Some(b':') => self.pos += 1,
            other => return Err(other.map_or(Fault::Ended, |_| Fault::Colon)),
        }
        self.space();
        Ok(Key { token, escaped })
    }

    /// Steps over one value like `value` and tells `visit` about everything in it, in the order of the text.
    ///
    /// # Errors
    /// As for `value`.
    pub fn visit(&mut self, room: usize, visit: &mut impl Visit) -> Result<(), Fault> {
        if let Some(b'{' | b'[') = self.peek() {
            return self.container(room, visit);
        }
        let start = self.pos;
        let shape = self.scalar()?;
        visit.scalar(shape, Span::new(start, self.pos));
        Ok(())
    }

    #[inline]
    fn container(&mut self, room: usize, visit: &mut impl Visit) -> Result<(), Fault> {
        let mut open = Open::new();
        loop {
            // At an opening bracket.
            if open.len == room {
                return Err(Fault::Depth);
            }
            let object = self.buf[self.pos] == b'{';
            open.push(object);
            visit.open(object);
            self.pos += 1;
            self.space();
            let closes = if object { b'}' } else { b']' };
            if self.peek() == Some(closes) {
                self.pos += 1;
                open.pop();
                visit.close(object);
                if open.len == 0 || self.close(&mut open, visit)? {
                    return Ok(());
                }
            }
            // At a member or an element.
            loop {
                if open.in_object() {
                    let key = self.key()?;
                    visit.key(key);
                }
                if let Some(b'{' | b'[') = self.peek() {
                    break;
                }
                let start = self.pos;
                let shape = self.scalar()?;
                visit.scalar(shape, Span::new(start, self.pos));
                if self.close(&mut open, visit)? {
                    return Ok(());
                }
            }
        }
    }

    /// After a value: steps over closing brackets up to and over the next comma. True when all are closed.
    #[inline]
    fn close(&mut self, open: &mut Open, visit: &mut impl Visit) -> Result<bool, Fault> {
        loop {
            self.space();
            match self.peek() {
                Some(b',') => {
                    self.pos += 1;
                    self.space();
                    return Ok(false);
                }
                Some(b'}') if open.in_object() => {}
                Some(b']') if !open.in_object() => {}
                other => return Err(other.map_or(Fault::Ended, |_| Fault::Separator)),
            }
            self.pos += 1;
            visit.close(open.in_object());
            open.pop();
            if open.len == 0 {
                return Ok(true);
            }
        }
    }

    #[inline]
    fn scalar(&mut self) -> Result<Shape, Fault> {
        match self.peek() {
            Some(b'"') => Ok(if self.string()? {
                Shape::Escaped
            } else {
                Shape::Plain
            }),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true", Shape::Bool),
            Some(b'f') => self.word(b"false", Shape::Bool),
            Some(b'n') => self.word(b"null", Shape::Null),
            other => Err(other.map_or(Fault::Ended, |_| Fault::Value)),
        }
    }

    fn word(&mut self, word: &[u8], shape: Shape) -> Result<Shape, Fault> {
        if self.buf[self.pos..].starts_with(word) {
            self.pos += word.len();
            Ok(shape)
        } else {
            Err(Fault::Value)
        }
    }

    fn number(&mut self) -> Result<Shape, Fault> {
        let mut shape = Shape::Integer;
        if self.peek() == Some(b'-') {
            self.pos += 1;
        }
        if self.peek() == Some(b'0') {
            self.pos += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.pos += 1;
            self.digits()?;
            shape = Shape::Float;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.pos += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.pos += 1;
            }
            self.digits()?;
            shape = Shape::Float;
        }
        // `01` and `1x` are found out by whoever wants a separator here; `-` and `1.` were just now.
        Ok(shape)
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.pos;
        while let Some(b'0'..=b'9') = self.peek() {
            self.pos += 1;
        }
        if self.pos > start {
            Ok(())
        } else if self.pos == self.buf.len() {
            Err(Fault::Ended)
        } else {
            Err(Fault::Number)
        }
    }

    /// Steps over a string token. True when it holds an escape.
    #[inline]
    fn string(&mut self) -> Result<bool, Fault> {
        let end = plain_end(self.buf, self.pos + 1);
        if self.buf.get(end) == Some(&b'"') {
            self.pos = end + 1;
            return Ok(false);
        }
        self.pos = end;
        self.string_with_escapes().map(|()| true)
    }

    /// Goes on at the first byte of a string that is not plain.
    fn string_with_escapes(&mut self) -> Result<(), Fault> {
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(Fault::Control),
                None => return Err(Fault::Ended),
            }
            self.pos = plain_end(self.buf, self.pos);
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        match self.buf.get(self.pos + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.pos += 2;
                Ok(())
            }
            Some(b'u') => match self.buf.get(self.pos + 2..self.pos + 6) {
                Some(hex) if hex.iter().all(u8::is_ascii_hexdigit) => {
                    self.pos += 6;
                    Ok(())
                }
                Some(_) => Err(Fault::Escape),
                None => Err(Fault::Ended),
            },
            Some(_) => Err(Fault::Escape),
            None => Err(Fault::Ended),
        }
    }

    /// The error for a fault at the present place.
    #[cold]
    #[must_use]
    pub fn error(&self, fault: Fault) -> Error {
        let at = self.pos;
        let (kind, message) = match fault {
            Fault::Ended => (
                Kind::Parse,
                format!("not JSON: the text ends inside a value at byte {at}"),
            ),
            Fault::Value => (
                Kind::Parse,
                format!("not JSON: no value can start at byte {at}"),
            ),
            Fault::Key => (
                Kind::Parse,
                format!("not JSON: a string key was expected at byte {at}"),
            ),
            Fault::Colon => (
                Kind::Parse,
                format!("not JSON: a colon was expected at byte {at}"),
            ),
            Fault::Separator => (
                Kind::Parse,
                format!("not JSON: a comma or the closing bracket was expected at byte {at}"),
            ),
            Fault::Control => (
                Kind::Parse,
                format!("not JSON: a control character stands in a string at byte {at}"),
            ),
            Fault::Escape => (
                Kind::Parse,
                format!("not JSON: an unknown escape at byte {at}"),
            ),
            Fault::Number => (
                Kind::Parse,
                format!("not JSON: a digit was expected at byte {at}"),
            ),
            Fault::Trailing => (
                Kind::Parse,
                format!("not JSON: something follows the value at byte {at}"),
            ),
            Fault::Depth => (
                Kind::DepthExceeded,
                format!("the JSON is nested deeper than allowed at byte {at}"),
            ),
        };
        Error::new(kind, message)
    }
}
