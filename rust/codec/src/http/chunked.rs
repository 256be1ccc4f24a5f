//! The chunked transfer coding.

use crate::error::{Error, Kind, Result};
use crate::http::head::{is_token_byte, is_value_byte};

/// Bytes that chunk extensions, and again trailers, may take in one body. They carry nothing for us, and a
/// body made of them would be work without payload.
const OVERHEAD_BYTES: usize = 16 * 1024;

/// Digits of a chunk size: 2^60 bytes, far beyond any limit and far from overflow.
const SIZE_DIGITS: u32 = 15;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the digits of a size.
    Size {
        digits: u32,
        size: u64,
    },
    /// In the extension after it.
    Extension {
        size: u64,
    },
    /// A carriage return ended the size line.
    SizeEnd {
        size: u64,
    },
    Payload {
        left: u64,
    },
    /// The payload has ended: CR, then LF.
    PayloadCr,
    PayloadLf,
    /// In a trailer field, or at the start of one or of the last line.
    Trailer(Field),
    /// A carriage return ended a trailer line; `last` when the line was empty.
    TrailerLf {
        last: bool,
    },
    Done,
    Failed(Kind),
}

/// How far a trailer field has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Start,
    Name,
    Value,
}

/// Takes chunks apart as they arrive.
#[derive(Debug)]
pub struct ChunkDecoder {
    max_bytes: u64,
    state: State,
    /// Payload bytes announced so far.
    announced: u64,
    extensions: usize,
    trailers: usize,
    rest: Vec<u8>,
}

impl ChunkDecoder {
    /// `max_bytes` bounds the payload.
    #[must_use]
    pub fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes: u64::try_from(max_bytes).unwrap_or(u64::MAX),
            state: State::Size { digits: 0, size: 0 },
            announced: 0,
            extensions: 0,
            trailers: 0,
            rest: Vec::new(),
        }
    }

    /// The body is complete.
    #[must_use]
    pub fn done(&self) -> bool {
        self.state == State::Done
    }

    /// Bytes after the end of the body.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        &self.rest
    }

    /// The payload in `data`. Trailers are checked and dropped.
    ///
    /// # Errors
    /// `BadHttp`, `TooLarge`; from then on always the same.
    pub fn feed(&mut self, data: &[u8]) -> Result<Vec<u8>> {
        let mut payload = Vec::with_capacity(data.len());
        let outcome = self.advance(data, &mut payload);
        if let Err(error) = &outcome {
            self.state = State::Failed(error.kind);
        }
        outcome.map(|()| payload)
    }

    fn advance(&mut self, mut data: &[u8], payload: &mut Vec<u8>) -> Result<()> {
        while let [byte, after @ ..] = data {
            self.state = match (self.state, *byte) {
                (State::Payload { left }, _) => {
                    let take =
                        usize::try_from(left).map_or(data.len(), |left| left.min(data.len()));
                    payload.extend_from_slice(&data[..take]);
                    data = &data[take..];
                    let left = left - take as u64;
                    self.state = if left == 0 {
                        State::PayloadCr
                    } else {
                        State::Payload { left }
                    };
                    continue;
                }
                (State::Done, _) => {
                    self.rest.extend_from_slice(data);
                    return Ok(());
                }
                (State::Failed(kind), _) => return Err(self.refusal(kind)),
                (State::Size { digits, size }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F')
                    if digits < SIZE_DIGITS =>
                {
                    let digit = char::from(*byte).to_digit(16).unwrap_or(0);
                    State::Size {
                        digits: digits + 1,
                        size: size << 4 | u64::from(digit),
                    }
                }
                (State::Size { digits: 1.., size } | State::Extension { size }, b'\r') => {
                    State::SizeEnd { size }
                }
                (State::Size { digits: 1.., size }, b';') => self.extension(size)?,
                (State::Extension { size }, byte) if is_value_byte(byte) => self.extension(size)?,
                (State::SizeEnd { size: 0 } | State::TrailerLf { last: false }, b'\n') => {
                    State::Trailer(Field::Start)
                }
                (State::SizeEnd { size }, b'\n') => self.chunk(size)?,
                (State::PayloadCr, b'\r') => State::PayloadLf,
                (State::PayloadLf, b'\n') => State::Size { digits: 0, size: 0 },
                (State::Trailer(Field::Start), b'\r') => State::TrailerLf { last: true },
                (State::Trailer(Field::Value), b'\r') => State::TrailerLf { last: false },
                (State::Trailer(Field::Start | Field::Name), byte) if is_token_byte(byte) => {
                    self.trailer(Field::Name)?
                }
                (State::Trailer(Field::Name), b':') => self.trailer(Field::Value)?,
                (State::Trailer(Field::Value), byte) if is_value_byte(byte) => {
                    self.trailer(Field::Value)?
                }
                (State::TrailerLf { last: true }, b'\n') => State::Done,
                _ => return Err(self.refusal(Kind::BadHttp)),
            };
            data = after;
        }
        if let State::Failed(kind) = self.state {
            return Err(self.refusal(kind));
        }
        Ok(())
    }

    fn chunk(&mut self, size: u64) -> Result<State> {
        self.announced += size;
        if self.announced > self.max_bytes {
            return Err(self.refusal(Kind::TooLarge));
        }
        Ok(State::Payload { left: size })
    }

    fn extension(&mut self, size: u64) -> Result<State> {
        self.extensions += 1;
        if self.extensions > OVERHEAD_BYTES {
            return Err(self.refusal(Kind::BadHttp));
        }
        Ok(State::Extension { size })
    }

    fn trailer(&mut self, field: Field) -> Result<State> {
        self.trailers += 1;
        if self.trailers > OVERHEAD_BYTES {
            return Err(self.refusal(Kind::BadHttp));
        }
        Ok(State::Trailer(field))
    }

    #[cold]
    fn refusal(&self, kind: Kind) -> Error {
        let message = match kind {
            Kind::TooLarge => format!("the body is over the limit of {} bytes", self.max_bytes),
            _ => "the chunked body does not follow RFC 9112".to_owned(),
        };
        Error::new(kind, message)
    }
}
