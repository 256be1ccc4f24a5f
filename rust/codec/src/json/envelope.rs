//! What the gateway needs to know of a JSON-RPC 2.0 message, in one pass, as spans.
//!
//! The whole text is validated; what lies in `arguments`, in the result or in unknown members is stepped
//! over and never understood. Refusals rank: not UTF-8, then the first fault of grammar or depth, then
//! duplicate keys, then the JSON-RPC shape, then a `method` or `name` that no text can hold.

use crate::Span;
use crate::error::{Error, Kind, Result};
use crate::json::key_set::KeySet;
use crate::json::{Cursor, Fault, Key, Shape, decode_string, unescape, utf8};
use std::borrow::Cow;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// `method` and `id`.
    Request = 1,
    /// `method` alone.
    Notification = 2,
    /// `id` and `result`.
    Result = 3,
    /// `error`, and mostly an `id`.
    Error = 4,
    /// A top-level array; its elements are not looked at as messages.
    Batch = 5,
}

/// One message, as offsets into its bytes. Token spans of strings include the quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// What it is.
    pub kind: MessageKind,
    /// A string or an integer; absent when null.
    pub id: Option<Span>,
    /// The token of `method`.
    pub method: Option<Span>,
    /// Its characters.
    pub method_text: Option<Cow<'a, str>>,
    /// The object `params`.
    pub params: Option<Span>,
    /// The token of `params.name` if that is a string, else of `params.uri` if that is one.
    pub name: Option<Span>,
    /// Its characters.
    pub name_text: Option<Cow<'a, str>>,
    /// The object `params._meta`, or `result._meta`.
    pub meta: Option<Span>,
    /// `params.arguments`, whatever it is.
    pub arguments: Option<Span>,
    /// `result`, whatever it is.
    pub result: Option<Span>,
    /// The object `error`.
    pub error: Option<Span>,
    /// `params._meta.progressToken`; on a notification `params.progressToken` first.
    pub progress_token: Option<Span>,
    /// The token of `result.resultType` if that is a string.
    pub result_type: Option<Span>,
    /// Its characters.
    pub result_type_text: Option<Cow<'a, str>>,
}

/// A value met in the pass.
#[derive(Clone, Copy)]
struct Found {
    shape: Shape,
    span: Span,
}

/// What the pass notes; judged when it is over.
#[derive(Default)]
struct Seen<'k> {
    /// The bytes of `params._meta` as they are expected.
    known_meta: &'k [u8],
    jsonrpc: Option<Found>,
    id: Option<Found>,
    id_twice: bool,
    method: Option<Found>,
    params: Option<Found>,
    result: Option<Found>,
    error: Option<Found>,
    name: Option<Found>,
    uri: Option<Found>,
    arguments: Option<Found>,
    params_meta: Option<Found>,
    meta_token: Option<Found>,
    params_token: Option<Found>,
    result_meta: Option<Found>,
    result_type: Option<Found>,
    /// Place of the first duplicate and the object it is in.
    duplicate: Option<(usize, &'static str)>,
}

/// Reads one message of at most `max_depth` nested containers.
///
/// # Errors
/// `InvalidUtf8`, `Parse`, `DepthExceeded`, `DuplicateKey`, `InvalidRequest`; the last three with the id if it
/// could be read.
pub fn scan(buf: &[u8], max_depth: usize) -> Result<Envelope<'_>> {
    scan_knowing(buf, max_depth, b"")
}

/// As `scan`, for a message whose `params._meta` is likely to be `known`: the very bytes of one that was scanned before,
/// under the same `max_depth`, and had no `progressToken`. Where it is, it is not looked at again.
///
/// # Errors
/// Those of `scan`.
pub fn scan_knowing<'a>(buf: &'a [u8], max_depth: usize, known: &[u8]) -> Result<Envelope<'a>> {
    let text = utf8(buf, Span::new(0, buf.len()))?;
    let mut cursor = Cursor::new(buf, 0);
    let mut seen = Seen {
        known_meta: known,
        ..Seen::default()
    };
    cursor.space();
    let first = cursor.peek();
    let walked = if first == Some(b'{') {
        seen.top(&mut cursor, max_depth).and_then(|()| cursor.end())
    } else {
        cursor.value(max_depth).and_then(|_| cursor.end())
    };
    if let Err(fault) = walked {
        let error = cursor.error(fault);
        return Err(if error.kind == Kind::DepthExceeded {
            Error {
                message: format!("{}: the limit is {max_depth} levels", error.message),
                id: seen.usable_id(),
                ..error
            }
        } else {
            error
        });
    }
    match first {
        Some(b'{') => seen.judge(text),
        Some(b'[') => Ok(Envelope::empty(MessageKind::Batch)),
        _ => Err(Error::new(
            Kind::InvalidRequest,
            "not JSON-RPC: the message is not an object",
        )),
    }
}

/// Opens a container: the room left inside it.
fn inside(room: usize) -> std::result::Result<usize, Fault> {
    room.checked_sub(1).ok_or(Fault::Depth)
}

type Walked<T = ()> = std::result::Result<T, Fault>;

/// The key's characters.
fn spelt(buf: &[u8], key: Key) -> Cow<'_, [u8]> {
    if key.escaped {
        unescape(key.inner(buf))
    } else {
        Cow::Borrowed(key.inner(buf))
    }
}

/// Steps over a value with `walk`.
#[inline]
fn found(
    cursor: &mut Cursor<'_>,
    walk: impl FnOnce(&mut Cursor<'_>) -> Walked<Shape>,
) -> Walked<Option<Found>> {
    let start = cursor.pos;
    let shape = walk(cursor)?;
    Ok(Some(Found {
        shape,
        span: Span::new(start, cursor.pos),
    }))
}

impl Seen<'_> {
    fn top(&mut self, cursor: &mut Cursor<'_>, room: usize) -> Walked {
        let room = inside(room)?;
        let mut keys = KeySet::new();
        cursor.members(|cursor, key| {
            let buf = cursor.buf();
            let name = spelt(buf, key);
            if !keys.insert(buf, key) {
                self.note_duplicate(key, "the message");
                self.id_twice |= &*name == b"id";
            }
            match &*name {
                b"jsonrpc" => self.jsonrpc = found(cursor, |c| c.value(room))?,
                b"id" => self.id = found(cursor, |c| c.value(room))?,
                b"method" => self.method = found(cursor, |c| c.value(room))?,
                b"params" => self.params = found(cursor, |c| self.params(c, room))?,
                b"result" => self.result = found(cursor, |c| self.result(c, room))?,
                b"error" => self.error = found(cursor, |c| self.error(c, room))?,
                _ => {
                    cursor.value(room)?;
                }
            }
            Ok(())
        })
    }

    fn params(&mut self, cursor: &mut Cursor<'_>, room: usize) -> Walked<Shape> {
        if cursor.peek() != Some(b'{') {
            return cursor.value(room);
        }
        let room = inside(room)?;
        let mut keys = KeySet::new();
        cursor.members(|cursor, key| {
            let buf = cursor.buf();
            if !keys.insert(buf, key) {
                self.note_duplicate(key, "`params`");
            }
            match &*spelt(buf, key) {
                b"name" => self.name = found(cursor, |c| c.value(room))?,
                b"uri" => self.uri = found(cursor, |c| c.value(room))?,
                b"arguments" => self.arguments = found(cursor, |c| c.value(room))?,
                b"progressToken" => self.params_token = found(cursor, |c| c.value(room))?,
                b"_meta" => {
                    self.params_meta = match self.known(cursor) {
                        None => found(cursor, |c| self.params_meta(c, room))?,
                        known => known,
                    }
                }
                _ => {
                    cursor.value(room)?;
                }
            }
            Ok(())
        })?;
        Ok(Shape::Object)
    }

    /// Steps over the `_meta` that is known. It is one whole object, so nothing can follow that belongs to it.
    fn known(&self, cursor: &mut Cursor<'_>) -> Option<Found> {
        let start = cursor.pos;
        if self.known_meta.is_empty() || !cursor.buf()[start..].starts_with(self.known_meta) {
            return None;
        }
        cursor.pos += self.known_meta.len();
        Some(Found {
            shape: Shape::Object,
            span: Span::new(start, cursor.pos),
        })
    }

    fn params_meta(&mut self, cursor: &mut Cursor<'_>, room: usize) -> Walked<Shape> {
        if cursor.peek() != Some(b'{') {
            return cursor.value(room);
        }
        let room = inside(room)?;
        let mut keys = KeySet::new();
        cursor.members(|cursor, key| {
            let buf = cursor.buf();
            if !keys.insert(buf, key) {
                self.note_duplicate(key, "`params._meta`");
            }
            if &*spelt(buf, key) == b"progressToken" {
                self.meta_token = found(cursor, |c| c.value(room))?;
            } else {
                cursor.value(room)?;
            }
            Ok(())
        })?;
        Ok(Shape::Object)
    }

    fn result(&mut self, cursor: &mut Cursor<'_>, room: usize) -> Walked<Shape> {
        if cursor.peek() != Some(b'{') {
            return cursor.value(room);
        }
        let room = inside(room)?;
        let mut keys = KeySet::new();
        cursor.members(|cursor, key| {
            let buf = cursor.buf();
            if !keys.insert(buf, key) {
                self.note_duplicate(key, "`result`");
            }
            match &*spelt(buf, key) {
                b"_meta" => self.result_meta = found(cursor, |c| c.value(room))?,
                b"resultType" => self.result_type = found(cursor, |c| c.value(room))?,
                _ => {
                    cursor.value(room)?;
                }
            }
            Ok(())
        })?;
        Ok(Shape::Object)
    }

    fn error(&mut self, cursor: &mut Cursor<'_>, room: usize) -> Walked<Shape> {
        if cursor.peek() != Some(b'{') {
            return cursor.value(room);
        }
        let room = inside(room)?;
        let mut keys = KeySet::new();
        cursor.members(|cursor, key| {
            if !keys.insert(cursor.buf(), key) {
                self.note_duplicate(key, "`error`");
            }
            cursor.value(room).map(|_| ())
        })?;
        Ok(Shape::Object)
    }

    #[cold]
    fn note_duplicate(&mut self, key: Key, object: &'static str) {
        self.duplicate.get_or_insert((key.token.start, object));
    }

    /// The id if there is exactly one and it is one that a request may have.
    fn usable_id(&self) -> Option<Span> {
        self.id
            .filter(|id| !self.id_twice && (id.shape.is_string() || id.shape == Shape::Integer))
            .map(|id| id.span)
    }

    fn judge<'a>(&self, text: &'a str) -> Result<Envelope<'a>> {
        let id = self.usable_id();
        if let Some((at, object)) = self.duplicate {
            let message = format!("{object} has a key twice at byte {at}");
            return Err(Error::new(Kind::DuplicateKey, message).with_id(id));
        }
        let kind = self.classify(text, id).map_err(|message| {
            Error::new(Kind::InvalidRequest, format!("not JSON-RPC: {message}")).with_id(id)
        })?;
        self.envelope(kind, id, text)
    }

    fn classify(
        &self,
        text: &str,
        id: Option<Span>,
    ) -> std::result::Result<MessageKind, &'static str> {
        let is_2_0 = |found: &Found| {
            found.shape.is_string()
                && &*unescape(&text.as_bytes()[found.span.start + 1..found.span.end - 1]) == b"2.0"
        };
        if !self.jsonrpc.as_ref().is_some_and(is_2_0) {
            return Err("`jsonrpc` must be `\"2.0\"`");
        }
        if self
            .params
            .is_some_and(|params| params.shape != Shape::Object)
        {
            return Err("`params` must be an object");
        }
        if self.error.is_some_and(|error| error.shape != Shape::Object) {
            return Err("`error` must be an object");
        }
        let is_odd = |meta: Found| !matches!(meta.shape, Shape::Object | Shape::Null);
        if self.params_meta.is_some_and(is_odd) || self.result_meta.is_some_and(is_odd) {
            return Err("`_meta` must be an object");
        }
        if let Some(method) = self.method {
            if !method.shape.is_string() {
                return Err("`method` must be a string");
            }
            if self.result.is_some() || self.error.is_some() {
                return Err("a message has either `method` or an answer");
            }
            return match (self.id, id) {
                (None, _) => Ok(MessageKind::Notification),
                (Some(_), Some(_)) => Ok(MessageKind::Request),
                (Some(_), None) => Err("`id` must be a string or an integer"),
            };
        }
        match (self.result.is_some(), self.error.is_some()) {
            (true, true) => Err("an answer has either `result` or `error`"),
            (false, false) => Err("neither `method` nor `result` nor `error`"),
            (true, false) if id.is_some() => Ok(MessageKind::Result),
            (false, true) if id.is_some() || self.id.is_none_or(|id| id.shape == Shape::Null) => {
                Ok(MessageKind::Error)
            }
            _ => Err("`id` must be a string or an integer"),
        }
    }

    fn envelope<'a>(
        &self,
        kind: MessageKind,
        id: Option<Span>,
        text: &'a str,
    ) -> Result<Envelope<'a>> {
        let string = |found: Option<Found>| found.filter(|f| f.shape.is_string());
        let object = |found: Option<Found>| found.filter(|f| f.shape == Shape::Object);
        let token = |found: Option<Found>| {
            found
                .filter(|f| f.shape.is_string() || matches!(f.shape, Shape::Integer | Shape::Float))
        };
        let span = |found: Option<Found>| found.map(|f| f.span);
        let decoded = |string: Option<Found>| {
            string
                .map(|f| match f.shape {
                    Shape::Plain => Ok(Cow::Borrowed(&text[f.span.start + 1..f.span.end - 1])),
                    _ => decode_string(text, f.span),
                })
                .transpose()
        };

        let name = string(self.name).or_else(|| string(self.uri));
        let result_type = string(self.result_type);
        let on_notification =
            token(self.params_token).filter(|_| kind == MessageKind::Notification);
        Ok(Envelope {
            kind,
            id,
            method: span(self.method),
            method_text: decoded(self.method)?,
            params: span(self.params),
            name: span(name),
            name_text: decoded(name)?,
            meta: span(object(self.params_meta).or_else(|| object(self.result_meta))),
            arguments: span(self.arguments),
            result: span(self.result),
            error: span(self.error),
            progress_token: span(on_notification.or_else(|| token(self.meta_token))),
            result_type: span(result_type),
            result_type_text: decoded(result_type)?,
        })
    }
}

impl Envelope<'_> {
    const fn empty(kind: MessageKind) -> Self {
        Self {
            kind,
            id: None,
            method: None,
            method_text: None,
            params: None,
            name: None,
            name_text: None,
            meta: None,
            arguments: None,
            result: None,
            error: None,
            progress_token: None,
            result_type: None,
            result_type_text: None,
        }
    }
}
