//! Everything tidegate knows about bytes on a wire: frames, JSON envelopes, HTTP heads, content codings.
//!
//! Bytes in, offsets or bytes out. No Python, no I/O, no clock, no `unsafe`. A body that need not be
//! understood is never turned into values: it is validated where it lies and handed on as spans.
//! `rust/pybind` is the only caller; `tests/codec/twins.py` says the same things slowly.

pub mod coding;
pub mod error;
pub mod http;
pub mod json;
pub mod lines;
pub mod msgpack;
pub mod sse;

pub use error::{Error, Kind, Result};

/// A half-open range of byte offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The range `[start, end)`.
    #[must_use]
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The bytes of `buf` in this range. The span must come from the same buffer.
    #[must_use]
    pub fn of<'a>(&self, buf: &'a [u8]) -> &'a [u8] {
        &buf[self.start..self.end]
    }
}
