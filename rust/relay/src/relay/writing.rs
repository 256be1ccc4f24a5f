//! Writes put together: of parts of what came in, and of bytes between them.

use super::Relay;
use std::ops::Range;
use tidegate_codec::Span;

/// A buffer that is larger is given back when what it held is written.
const KEPT_BYTES: usize = 64 * 1024;

/// Whom a write is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// A client.
    Client(usize),
    /// A server.
    Upstream(usize),
    /// A connection to a server over HTTP.
    Channel(usize),
}

/// A part of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Of the message that came in.
    Input(Range<usize>),
    /// Of `Relay::scratch`.
    Scratch(Range<usize>),
    /// Of `Relay::gathered`.
    Gathered(Range<usize>),
}

/// Where the message of an answer lies: in the input, or in what a response gathered because it came in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// It begins there in the input.
    Data(usize),
    /// It begins there in what will be `Relay::gathered`.
    Gathered(usize),
}

/// Puts a write together.
pub(super) struct Out<'a> {
    pub(super) pieces: &'a mut Vec<Piece>,
    pub(super) scratch: &'a mut Vec<u8>,
    /// Where the message begins in the input.
    pub(super) start: usize,
    /// The message is none of the input, but what a channel has gathered.
    pub(super) gathered: bool,
}

impl<'a> Out<'a> {
    pub(super) fn new(pieces: &'a mut Vec<Piece>, scratch: &'a mut Vec<u8>, start: usize) -> Self {
        pieces.clear();
        scratch.clear();
        Self {
            pieces,
            scratch,
            start,
            gathered: false,
        }
    }

    pub(super) fn input(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        let range = self.start + range.start..self.start + range.end;
        self.pieces.push(if self.gathered {
            Piece::Gathered(range)
        } else {
            Piece::Input(range)
        });
    }

    /// A message of the input with these ranges replaced, which are in order.
    pub(super) fn edited(&mut self, edits: &[(Span, &[u8])], length: usize) {
        let mut at = 0;
        for (span, with) in edits {
            self.input(at..span.start);
            self.bytes(with);
            at = span.end;
        }
        self.input(at..length);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let from = self.scratch.len();
        self.scratch.extend_from_slice(bytes);
        let to = self.scratch.len();
        match self.pieces.last_mut() {
            Some(Piece::Scratch(last)) if last.end == from => last.end = to,
            _ if from < to => self.pieces.push(Piece::Scratch(from..to)),
            _ => {}
        }
    }
}

impl Relay {
    /// The last write was made. What was large in it is given back.
    pub fn written(&mut self) {
        if self.gathered.capacity() > KEPT_BYTES {
            self.gathered = Vec::new();
        }
        if self.scratch.capacity() > KEPT_BYTES {
            self.scratch = Vec::new();
        }
    }
}

/// How long a message of `length` is once these ranges are replaced.
pub(super) fn length_with(edits: &[(Span, &[u8])], length: usize) -> usize {
    edits.iter().fold(length, |length, (span, with)| {
        length - (span.end - span.start) + with.len()
    })
}

/// A number in decimal, without an allocation.
pub(super) struct Decimal {
    digits: [u8; 20],
    start: usize,
}

impl Decimal {
    pub(super) fn new(mut value: u64) -> Self {
        let mut digits = [0; 20];
        let mut start = 20;
        loop {
            start -= 1;
            digits[start] = b'0' + u8::try_from(value % 10).unwrap_or(0);
            value /= 10;
            if value == 0 {
                return Self { digits, start };
            }
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.digits[self.start..]
    }
}
