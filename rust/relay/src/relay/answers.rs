//! What servers answer, passed on to whoever asked.

use super::Relay;
use super::writing::{Decimal, Out, Source, To, length_with};
use crate::flow::{Coding, Flow};
use crate::tally::{Ended, Outcome};
use memchr::memmem::Finder;
use std::rc::Rc;
use std::sync::LazyLock;
use tidegate_codec::{Span, coding, json};

/// As in the slow lane: longer answers are not looked at for `isError`.
const JUDGED_BYTES: usize = 64 * 1024;
/// Buffers of requests that are kept for the next ones, and how large they may be.
const SPARE: usize = 64;
const SPARE_BYTES: usize = 4096;

static IS_ERROR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"isError\""));

/// What became of a message from a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// `Relay::pieces` has what the client is to get.
    Relayed,
    /// It answers this call (a number for `take`), but not in a way that may simply be passed on.
    Promote(usize),
    /// An answer, and none to a relayed call.
    Foreign,
    /// No answer: it may concern any call that is in flight there.
    Other,
}

impl Relay {
    /// One message of a server on a stream.
    pub fn answer(&mut self, upstream: usize, message: &[u8], now_s: f64) -> Answer {
        let Ok(found) = json::scan(message, self.limits.depth) else {
            return Answer::Other;
        };
        match found.kind {
            json::MessageKind::Result | json::MessageKind::Error => {}
            _ => return Answer::Other,
        }
        let Some(id) = found.id else {
            return Answer::Other;
        };
        let call = number(id.of(message)).and_then(|number| {
            let upstream = self.upstreams.get(upstream)?;
            upstream.pending.get(number)
        });
        let Some(call) = call else {
            return Answer::Foreign;
        };
        self.reply(call, message, &found, Source::Data(0), now_s)
    }

    pub(super) fn reply(
        &mut self,
        call: usize,
        message: &[u8],
        found: &json::Envelope<'_>,
        source: Source,
        now_s: f64,
    ) -> Answer {
        let (Some(id), Some(pending)) = (found.id, self.pending.get(call)) else {
            return Answer::Other;
        };
        let flow = pending.flow.clone();
        let decision = &flow.decision;
        let Some(result) = found
            .result
            .filter(|span| message.get(span.start) == Some(&b'{'))
        else {
            return Answer::Promote(call);
        };
        let kind = found.result_type.map(|kind| kind.of(message));
        let over_http = pending.head.is_some();
        if !over_http && memchr::memchr2(b'\n', b'\r', message).is_some() {
            return Answer::Promote(call);
        }
        let Ok(changed) = decision.answers.edit(result.of(message), kind) else {
            return Answer::Promote(call);
        };
        let failed = flow.is_tool && is_error(message, result);
        let own_id = pending.id.of(&pending.message);
        let (at, with) = match &changed {
            Some(changed) => (result, &changed[..]),
            None => (Span::new(message.len(), message.len()), &[][..]),
        };
        let mut edits = [(id, own_id), (at, with)];
        edits.sort_by_key(|(span, _)| span.start);
        self.to = To::Client(pending.client);
        let (Source::Data(start) | Source::Gathered(start)) = source;
        let mut out = Out::new(&mut self.pieces, &mut self.scratch, start);
        out.gathered = matches!(source, Source::Gathered(_));
        if over_http {
            let length = length_with(&edits, message.len());
            let (least, most) = decision.compressed_bytes;
            let coded = decision.coding != Coding::None && length >= least && length <= most;
            out.bytes(&decision.reply_head);
            if coded {
                let body = edited(message, &edits, length);
                let Ok(body) = coding::compress(decision.coding.name(), &body, 3) else {
                    return Answer::Promote(call);
                };
                out.bytes(b"content-encoding: ");
                out.bytes(decision.coding.name().as_bytes());
                out.bytes(b"\r\nvary: accept-encoding\r\ncontent-length: ");
                out.bytes(Decimal::new(body.len() as u64).as_bytes());
                out.bytes(b"\r\n\r\n");
                out.bytes(&body);
            } else {
                out.bytes(b"content-length: ");
                out.bytes(Decimal::new(length as u64).as_bytes());
                out.bytes(b"\r\n\r\n");
                out.edited(&edits, message.len());
            }
        } else {
            out.edited(&edits, message.len());
            out.bytes(b"\n");
        }
        let outcome = if failed {
            Outcome::ToolError
        } else {
            Outcome::Ok
        };
        let began_s = pending.began_s;
        self.count(&flow, outcome, began_s, now_s);
        self.answered_by = decision.upstream;
        if let Some(done) = self.forget(call) {
            self.keep_buffer(done.message);
        }
        Answer::Relayed
    }

    /// For a request to come, unless there are enough of them or it is large.
    fn keep_buffer(&mut self, mut buffer: Vec<u8>) {
        if self.spare.len() < SPARE && buffer.capacity() <= SPARE_BYTES {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    fn count(&mut self, flow: &Rc<Flow>, outcome: Outcome, began_s: f64, now_s: f64) {
        flow.tally
            .borrow_mut()
            .add(&self.bounds_s, outcome, began_s, now_s);
        if !flow.counted.replace(true) {
            self.counted.push(flow.clone());
        }
        if self.journal.kept {
            let tag = flow.decision.tag;
            self.journal.add(
                flow,
                Ended {
                    tag,
                    outcome,
                    began_s,
                    ended_s: now_s,
                },
            );
        }
        self.relayed += 1;
    }
}

/// Whether the result says that the tool itself failed.
fn is_error(message: &[u8], result: Span) -> bool {
    message.len() <= JUDGED_BYTES
        && IS_ERROR.find(message).is_some()
        && json::find_member(message, "isError", result)
            .ok()
            .flatten()
            .is_some_and(|span| span.of(message) == b"true")
}

/// `message` with these ranges replaced, which are in order: `length` bytes.
fn edited(message: &[u8], edits: &[(Span, &[u8])], length: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(length);
    let mut at = 0;
    for (span, with) in edits {
        body.extend_from_slice(&message[at..span.start]);
        body.extend_from_slice(with);
        at = span.end;
    }
    body.extend_from_slice(&message[at..]);
    body
}

/// A positive integer as the relay writes it.
pub(super) fn number(token: &[u8]) -> Option<u64> {
    let plain = !token.is_empty()
        && token.len() <= 19
        && token[0] != b'0'
        && token.iter().all(u8::is_ascii_digit);
    plain.then(|| {
        token
            .iter()
            .fold(0, |value, digit| value * 10 + u64::from(digit - b'0'))
    })
}
