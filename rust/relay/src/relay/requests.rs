//! What a client says, and the flow that there is for it. A miss is shown to the slow lane with a candidate.

use super::flows::Context;
use super::{Relay, SlowLane};
use crate::head::{self, Head};
use crate::meta;
use crate::request;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

/// With so many heads, further ones are remembered only when they come a second time: some clients send another one with each
/// request, and must not push out what others have.
const MANY_HEADS: usize = 256;
/// Heads that came once are known by a hash, so many of them.
const SEEN: usize = 4096;

/// Longer requests are put together by the slow lane, unless they come at once.
const HELD_BYTES: usize = 64 * 1024;

/// What became of bytes from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// `Relay::pieces` has what its server is to get.
    Relayed,
    /// The slow lane is to have them.
    Slow,
    /// Over HTTP: the client has a call in flight, which must be taken over first; then as `Slow`.
    Busy,
    /// Over HTTP: a request of so many bytes begins here, and the rest of it is yet to come. Once it is whole it is to be
    /// asked about again.
    Part(usize),
}

/// A request, and how it came.
pub(super) struct Arrival<'a> {
    pub(super) client: usize,
    pub(super) head: Option<Rc<Head>>,
    pub(super) data: &'a [u8],
    /// Where the message begins in it.
    pub(super) start: usize,
    pub(super) now_s: f64,
}

impl Relay {
    /// What a client over HTTP sent: at once, or with all of the same request that came before.
    pub fn http(&mut self, client: usize, data: &[u8], now_s: f64, slow: &impl SlowLane) -> Asked {
        self.candidate = None;
        let Some(from) = self.clients.get(client) else {
            return Asked::Slow;
        };
        if !from.pending.is_empty() {
            return Asked::Busy;
        }
        let known = from
            .head
            .clone()
            .filter(|head| head.generation == self.generation)
            .and_then(|head| head.ends(data).map(|ends| (ends, head)));
        let (start, end, known, cut) = if let Some(((start, end), head)) = known {
            (start, end, Some(head), None)
        } else {
            let Some(cut) = head::cut(data, self.limits.header_bytes) else {
                return Asked::Slow;
            };
            (cut.head_end, cut.end, None, Some(cut))
        };
        // More digits than when the head was understood make it longer.
        if start > self.limits.header_bytes
            || end - start > self.limits.body_bytes
            || data.len() > end
        {
            return Asked::Slow;
        }
        if data.len() < end {
            return if end <= HELD_BYTES {
                Asked::Part(end)
            } else {
                Asked::Slow
            };
        }
        let head = known.or_else(|| self.known_head(data, cut?));
        let body = &data[start..];
        let found = match &head {
            Some(head) => {
                let memo = head.memo.borrow();
                request::read(body, self.limits.depth, memo.known(self.generation))
            }
            None => request::read(body, self.limits.depth, b""),
        };
        let Some(found) = found else {
            return Asked::Slow;
        };
        if let Some(head) = &head {
            let class = match found.meta {
                None => Some(meta::NONE),
                Some(span) => {
                    let mut memo = head.memo.borrow_mut();
                    memo.class(span.of(body), &self.classes, self.generation)
                }
            };
            if let Some(choice) =
                class.and_then(|class| self.choice(head.context, class, &found, &head.recent))
            {
                let arrival = Arrival {
                    client,
                    head: Some(head.clone()),
                    data,
                    start,
                    now_s,
                };
                return self.send(&choice, arrival, &found, slow);
            }
        }
        if head.is_none() && self.heads.len() >= MANY_HEADS && !self.seen_before() {
            return Asked::Slow;
        }
        let context = match (head, cut) {
            (Some(head), _) => Context::Head(head),
            (None, Some(cut)) => Context::NewHead {
                before: data[..cut.digits.start].into(),
                after: data[cut.digits.end..cut.head_end].into(),
            },
            (None, None) => return Asked::Slow,
        };
        self.propose(client, context, &found, body);
        Asked::Slow
    }

    /// One message of a client on a stream.
    pub fn message(
        &mut self,
        client: usize,
        message: &[u8],
        now_s: f64,
        slow: &impl SlowLane,
    ) -> Asked {
        self.candidate = None;
        let Some(from) = self.clients.get_mut(client) else {
            return Asked::Slow;
        };
        let known = from.memo.known(self.generation);
        let Some(found) = request::read(message, self.limits.depth, known) else {
            return Asked::Slow;
        };
        let context = from.context;
        let class = match found.meta {
            None => Some(meta::NONE),
            Some(span) => from
                .memo
                .class(span.of(message), &self.classes, self.generation),
        };
        let recent = from.recent.clone();
        if let Some(choice) = class.and_then(|class| self.choice(context, class, &found, &recent)) {
            let arrival = Arrival {
                client,
                head: None,
                data: message,
                start: 0,
                now_s,
            };
            return self.send(&choice, arrival, &found, slow);
        }
        self.propose(client, Context::Stream(context), &found, message);
        Asked::Slow
    }

    fn known_head(&mut self, data: &[u8], cut: head::Cut) -> Option<Rc<Head>> {
        let key = &mut self.key;
        key.clear();
        key.extend_from_slice(&data[..cut.digits.start]);
        key.extend_from_slice(&data[cut.digits.end..cut.head_end]);
        // What is between the two is the place of the digits, which heads of one key may differ in.
        self.heads
            .get(key.as_slice())
            .filter(|head| head.before.len() == cut.digits.start)
            .cloned()
    }

    /// Whether the head that `known_head` did not find came before, not too long ago.
    fn seen_before(&mut self) -> bool {
        let mut hasher = DefaultHasher::new();
        self.key.hash(&mut hasher);
        let hash = hasher.finish();
        if self.seen.is_empty() {
            self.seen = vec![0; SEEN];
        }
        let at = usize::try_from(hash % SEEN as u64).unwrap_or(0);
        std::mem::replace(&mut self.seen[at], hash) == hash
    }
}
