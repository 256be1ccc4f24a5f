//! `MessagePack` messages one after the other on a stream: the framing is in the items themselves.

use super::decode::msgpack_to_json;
use super::layout::{Part, layout};
use crate::error::{Error, Kind, Result};

/// A pending buffer larger than this is given back after its message.
const KEEP_BYTES: usize = 64 * 1024;

/// Where inside an item the stream is.
#[derive(Debug, Clone, Copy)]
enum Within {
    /// Before a marker.
    Between,
    /// In the number after one.
    Number {
        missing: usize,
        so_far: u64,
        base: u64,
        part: Part,
    },
    /// In the bytes of a string, a number or an extension.
    Payload { missing: u64 },
}

/// Cuts a stream into messages and turns each into JSON. A byte is walked over once, however it arrives.
#[derive(Debug)]
pub struct MsgpackSplitter {
    max_bytes: usize,
    max_depth: usize,
    pending: Vec<u8>,
    /// Items missing in each open container.
    open: Vec<u64>,
    within: Within,
    /// Bytes of the present message so far.
    length: usize,
    failure: Option<Error>,
}

impl MsgpackSplitter {
    /// `max_bytes` bounds a message, as it comes and as JSON; `max_depth` its open containers.
    #[must_use]
    pub const fn new(max_bytes: usize, max_depth: usize) -> Self {
        Self {
            max_bytes,
            max_depth,
            pending: Vec::new(),
            open: Vec::new(),
            within: Within::Between,
            length: 0,
            failure: None,
        }
    }

    /// Calls `on` with the JSON of each message that ends in `data`; with `None` once for each message over the
    /// limit, which is walked over to its end.
    ///
    /// # Errors
    /// `Parse` or `DepthExceeded`, then and from then on: after garbage nobody knows where a message starts.
    pub fn feed(&mut self, data: &[u8], mut on: impl FnMut(Option<Vec<u8>>)) -> Result<()> {
        if self.failure.is_none() {
            self.failure = self.advance(data, &mut on).err();
        }
        self.failure.clone().map_or(Ok(()), Err)
    }

    /// Bytes held of a message that has not ended.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.pending.len()
    }

    fn advance(&mut self, data: &[u8], on: &mut impl FnMut(Option<Vec<u8>>)) -> Result<()> {
        let mut from = 0;
        let mut at = 0;
        while at < data.len() {
            let before = at;
            at += self.step(&data[at..])?;
            let was_over = self.length > self.max_bytes;
            self.length += at - before;
            let is_over = self.length > self.max_bytes;
            if is_over && !was_over {
                self.pending = Vec::new();
                on(None);
            }
            if matches!(self.within, Within::Between) && self.open.is_empty() {
                if !is_over {
                    self.message(&data[from..at], on)?;
                }
                self.length = 0;
                from = at;
            }
        }
        if self.length <= self.max_bytes {
            self.pending.extend_from_slice(&data[from..]);
        }
        Ok(())
    }

    fn message(&mut self, end: &[u8], on: &mut impl FnMut(Option<Vec<u8>>)) -> Result<()> {
        let json = if self.pending.is_empty() {
            msgpack_to_json(end)
        } else {
            self.pending.extend_from_slice(end);
            let json = msgpack_to_json(&self.pending);
            if self.pending.capacity() > KEEP_BYTES {
                self.pending = Vec::new();
            }
            self.pending.clear();
            json
        }?;
        on(Some(json).filter(|json| json.len() <= self.max_bytes));
        Ok(())
    }

    /// Takes one step on `data`, which is not empty. Returns how many bytes it was.
    fn step(&mut self, data: &[u8]) -> Result<usize> {
        match self.within {
            Within::Between => {
                let marker = data[0];
                let Some(layout) = layout(marker) else {
                    return Err(garbage("an item that JSON does not have"));
                };
                if self.open.is_empty() && layout.part == Part::Bytes {
                    return Err(garbage("neither a map nor an array"));
                }
                if layout.number_bytes > 0 {
                    self.within = Within::Number {
                        missing: layout.number_bytes,
                        so_far: 0,
                        base: layout.base,
                        part: layout.part,
                    };
                } else {
                    self.begin(layout.part, layout.base)?;
                }
                Ok(1)
            }
            Within::Number {
                missing,
                so_far,
                base,
                part,
            } => {
                let so_far = so_far << 8 | u64::from(data[0]);
                if missing > 1 {
                    let missing = missing - 1;
                    self.within = Within::Number {
                        missing,
                        so_far,
                        base,
                        part,
                    };
                } else {
                    self.begin(part, so_far + base)?;
                }
                Ok(1)
            }
            Within::Payload { missing } => {
                let take =
                    usize::try_from(missing).map_or(data.len(), |missing| missing.min(data.len()));
                self.payload(missing - take as u64);
                Ok(take)
            }
        }
    }

    fn begin(&mut self, part: Part, number: u64) -> Result<()> {
        if part == Part::Bytes {
            self.payload(number);
            return Ok(());
        }
        if self.open.len() == self.max_depth {
            return Err(Error::new(
                Kind::DepthExceeded,
                format!(
                    "the message is nested deeper than the limit of {} levels",
                    self.max_depth
                ),
            ));
        }
        self.within = Within::Between;
        self.open.push(if part == Part::Pairs {
            number * 2
        } else {
            number
        });
        if number == 0 {
            self.open.pop();
            self.end_item();
        }
        Ok(())
    }

    fn payload(&mut self, missing: u64) {
        if missing > 0 {
            self.within = Within::Payload { missing };
        } else {
            self.within = Within::Between;
            self.end_item();
        }
    }

    /// An item is complete, and with it every container that it was the last of.
    fn end_item(&mut self) {
        while let Some(left) = self.open.last_mut() {
            *left -= 1;
            if *left > 0 {
                return;
            }
            self.open.pop();
        }
    }
}

#[cold]
fn garbage(what: &str) -> Error {
    Error::new(Kind::Parse, format!("not a MessagePack message: {what}"))
}
