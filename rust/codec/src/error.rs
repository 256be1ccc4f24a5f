//! What can be wrong with bytes. `rust/pybind` turns each kind into the class of the same name in
//! `tidegate.errors`; the tree, the codes and the statuses live there.

use crate::Span;
use std::fmt;

/// Which class of `tidegate.errors` this becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Not JSON (or not `MessagePack`).
    Parse,
    /// Not UTF-8.
    InvalidUtf8,
    /// More open containers than allowed.
    DepthExceeded,
    /// A key twice in an object where that would be ambiguous.
    DuplicateKey,
    /// JSON, but not JSON-RPC 2.0.
    InvalidRequest,
    /// A body, line or event over its bound.
    TooLarge,
    /// An HTTP head over its bound (status 431).
    HeadTooLarge,
    /// Not HTTP/1.1, or ambiguous.
    BadHttp,
    /// A content coding that does not decode.
    BadEncoding,
    /// The caller passed something it never should: `ValueError`.
    Value,
}

/// One refusal, with a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The class.
    pub kind: Kind,
    /// What is wrong and where, without the payload.
    pub message: String,
    /// Where the raw `id` token of the refused message lies, when it has a usable one.
    pub id: Option<Span>,
}

/// Shorthand of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error without an id.
    #[must_use]
    #[cold]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            id: None,
        }
    }

    /// The same error, answering the message whose id is at `id`.
    #[must_use]
    pub fn with_id(mut self, id: Option<Span>) -> Self {
        self.id = id;
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
