//! The response of an HTTP server to a relayed call: one message, however it is framed.
//!
//! All bytes are kept until it is certain that they are that, so that the slow lane can have them if they are not.

use crate::head::{body_behind, span_in};
use tidegate_codec::Span;
use tidegate_codec::http::{self, ChunkDecoder};
use tidegate_codec::sse::SseDecoder;

/// Of a response head, as in the slow lane.
const HEAD_BYTES: usize = 64 * 1024;
/// Of chunks, beside their payload.
const FRAMING_BYTES: usize = 64 * 1024;
/// A buffer larger than this is given back after its response.
const KEEP_BYTES: usize = 16 * 1024;

/// Where the message of a complete response is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In what came just now, from here to its end.
    Data(usize),
    /// In `Response::raw`, from here to its end.
    Raw(usize),
    /// It is all of `Response::body`.
    Body,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// There is more to come.
    More,
    /// A message. `ended`: and with it the response.
    Message { place: Place, ended: bool },
    /// After the message, nothing but the end of the response.
    Ended,
    /// This is not for the relay.
    Odd,
}

#[derive(Debug)]
enum Stage {
    Head,
    Sized {
        start: usize,
        end: usize,
        events: bool,
        /// Of the length.
        digits: Span,
    },
    Chunked(Box<Chunked>),
}

#[derive(Debug)]
struct Chunked {
    chunks: ChunkDecoder,
    /// Bytes of `raw` that it was given.
    fed: usize,
    /// For an event stream.
    events: Option<SseDecoder>,
}

/// The head of a response that was understood: one that differs only in the digits of its length means the same.
#[derive(Debug, Default)]
pub(crate) struct KnownHead {
    before: Vec<u8>,
    after: Vec<u8>,
}

/// One response, as it arrives.
#[derive(Debug)]
pub(crate) struct Response {
    /// All that came of it, unless it came at once.
    pub(crate) raw: Vec<u8>,
    pub(crate) body: Vec<u8>,
    stage: Stage,
    answered: bool,
}

impl Response {
    pub(crate) const fn new() -> Self {
        Self {
            raw: Vec::new(),
            body: Vec::new(),
            stage: Stage::Head,
            answered: false,
        }
    }

    /// For the next one.
    pub(crate) fn clear(&mut self) {
        for buffer in [&mut self.raw, &mut self.body] {
            if buffer.capacity() > KEEP_BYTES {
                *buffer = Vec::new();
            } else {
                buffer.clear();
            }
        }
        self.stage = Stage::Head;
        self.answered = false;
    }

    /// Bytes held of it.
    pub(crate) fn held(&self) -> usize {
        self.raw.len() + self.body.len()
    }

    /// What follows of it. `known`: the head of one before it. `most_bytes`: a longer message is the slow lane's.
    pub(crate) fn feed(&mut self, data: &[u8], known: &mut KnownHead, most_bytes: usize) -> Step {
        if self.raw.is_empty() && matches!(self.stage, Stage::Head) {
            if !known.before.is_empty()
                && let Some(body) = body_behind(&known.before, &known.after, data)
                && body.len() <= most_bytes
            {
                return Step::Message {
                    place: Place::Data(data.len() - body.len()),
                    ended: true,
                };
            }
            match staged(data, most_bytes) {
                Ok(Some(Stage::Sized {
                    start,
                    end,
                    events: false,
                    digits,
                })) if end == data.len() => {
                    known.before.clear();
                    known.before.extend_from_slice(&data[..digits.start]);
                    known.after.clear();
                    known.after.extend_from_slice(&data[digits.end..start]);
                    return Step::Message {
                        place: Place::Data(start),
                        ended: true,
                    };
                }
                Ok(Some(stage)) => self.stage = stage,
                Ok(None) => {}
                Err(()) => {
                    self.raw.extend_from_slice(data);
                    return Step::Odd;
                }
            }
        }
        if let Stage::Sized { end, .. } = self.stage {
            self.raw.reserve_exact(end.saturating_sub(self.raw.len()));
        }
        self.raw.extend_from_slice(data);
        if self.raw.len() > most_bytes.saturating_mul(2).saturating_add(FRAMING_BYTES) {
            return Step::Odd;
        }
        if matches!(self.stage, Stage::Head) {
            match staged(&self.raw, most_bytes) {
                Ok(Some(stage)) => self.stage = stage,
                Ok(None) => return Step::More,
                Err(()) => return Step::Odd,
            }
        }
        match &self.stage {
            Stage::Head => Step::More,
            Stage::Sized { end, .. } if self.raw.len() < *end => Step::More,
            Stage::Sized { end, .. } if self.raw.len() > *end => Step::Odd,
            Stage::Sized { start, events, .. } => {
                if !events {
                    return Step::Message {
                        place: Place::Raw(*start),
                        ended: true,
                    };
                }
                let mut decoder = SseDecoder::new(most_bytes);
                let start = *start;
                match sole(&mut decoder, &self.raw[start..], &mut self.body) {
                    Ok(true) => Step::Message {
                        place: Place::Body,
                        ended: true,
                    },
                    // The stream ended without an answer, or says more than one thing.
                    Ok(false) | Err(()) => Step::Odd,
                }
            }
            Stage::Chunked(_) => self.chunk(),
        }
    }

    fn chunk(&mut self) -> Step {
        let Stage::Chunked(chunked) = &mut self.stage else {
            return Step::Odd;
        };
        let Chunked {
            chunks,
            fed,
            events,
        } = &mut **chunked;
        let Ok(payload) = chunks.feed(&self.raw[*fed..]) else {
            return Step::Odd;
        };
        *fed = self.raw.len();
        let ended = chunks.done();
        if ended && !chunks.rest().is_empty() {
            return Step::Odd;
        }
        let Some(events) = events else {
            self.body.extend_from_slice(&payload);
            return if ended {
                Step::Message {
                    place: Place::Body,
                    ended,
                }
            } else {
                Step::More
            };
        };
        match sole(events, &payload, &mut self.body) {
            Err(()) => Step::Odd,
            Ok(true) => {
                self.answered = true;
                Step::Message {
                    place: Place::Body,
                    ended,
                }
            }
            Ok(false) if ended && self.answered => Step::Ended,
            Ok(false) if ended => Step::Odd,
            Ok(false) => Step::More,
        }
    }
}

/// Whether there is a message among the events that end in `data`; it is put into `body`. `Err` where there are several.
fn sole(decoder: &mut SseDecoder, data: &[u8], body: &mut Vec<u8>) -> Result<bool, ()> {
    let mut found = 0;
    let fed = decoder.feed(data, |event| {
        // One without data opens the stream: there is an id in it to resume from.
        if !event.data.is_empty() {
            found += 1;
            body.clear();
            body.extend_from_slice(&event.data);
        }
    });
    match (fed, found) {
        (Ok(()), 0) => Ok(false),
        (Ok(()), 1) => Ok(true),
        _ => Err(()),
    }
}

/// What follows the head, once that is whole. `Err` for a response that is not for the relay.
fn staged(data: &[u8], most_bytes: usize) -> Result<Option<Stage>, ()> {
    let Some(head) = http::parse_response_head(data, HEAD_BYTES).map_err(|_| ())? else {
        return Ok(None);
    };
    let fields = &head.fields;
    let mut kind: Option<&[u8]> = None;
    let mut digits = None;
    for (name, value) in &fields.headers {
        match name.as_str() {
            // Twice the same is one to the parser, but would not be to whoever knows only one of them.
            "content-length" if digits.is_some() => return Err(()),
            "content-length" => digits = Some(span_in(data, value)),
            "content-type" if kind.is_some() => return Err(()),
            "content-type" => kind = Some(value),
            "content-encoding" => return Err(()),
            _ => {}
        }
    }
    let begins = |kind: &[u8], with: &[u8]| {
        kind.get(..with.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(with))
    };
    let kind = kind.ok_or(())?;
    let events = begins(kind, b"text/event-stream");
    if head.status != 200
        || !fields.keep_alive
        || fields.minor != 1
        || !(events || begins(kind, b"application/json"))
    {
        return Err(());
    }
    let start = fields.head_len;
    if fields.chunked {
        return Ok(Some(Stage::Chunked(Box::new(Chunked {
            chunks: ChunkDecoder::new(most_bytes),
            fed: start,
            events: events.then(|| SseDecoder::new(most_bytes)),
        }))));
    }
    match fields.content_length.map(usize::try_from) {
        Some(Ok(length)) if length > 0 && length <= most_bytes => Ok(Some(Stage::Sized {
            start,
            end: start + length,
            events,
            digits: digits.ok_or(())?,
        })),
        _ => Err(()),
    }
}
