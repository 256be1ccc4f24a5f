//! A decision repeated: whether what may change from call to call allows it, and what its server is told.

use super::calls::Pending;
use super::requests::{Arrival, Asked};
use super::writing::{Decimal, Out, To, length_with};
use super::{Relay, SlowLane};
use crate::choice::Choice;
use crate::flow::{Decision, Flow};
use crate::request::Request;
use tidegate_codec::Span;

/// Calls of one scope that are looked through for an id that is in use.
const MOST_IN_SCOPE: usize = 64;

impl Relay {
    /// Repeats a decision, if everything that may change from call to call allows it.
    pub(super) fn send(
        &mut self,
        choice: &Choice,
        arrival: Arrival<'_>,
        found: &Request<'_>,
        slow: &impl SlowLane,
    ) -> Asked {
        let Arrival {
            client,
            head,
            data,
            start,
            now_s,
        } = arrival;
        let message = &data[start..];
        let load = |flow: &Flow| {
            let upstream = flow.decision.upstream;
            self.is_open(flow)
                .then(|| slow.load(upstream) + self.in_flight_at(upstream))
        };
        let Some(flow) = choice.next(load) else {
            return Asked::Slow;
        };
        let decision = &flow.decision;
        let channel = match &decision.request_head {
            None => None,
            Some(_) => match self.free_channel(decision, now_s) {
                Some(channel) => Some(channel),
                None => return Asked::Slow,
            },
        };
        let Ok(meta) = decision.meta.edit(message, found) else {
            return Asked::Slow;
        };
        if !self.allows(decision, found, message, now_s, slow) {
            return Asked::Slow;
        }
        let upstream_id = self.next_id(decision.upstream);
        let digits = Decimal::new(upstream_id);
        let name = decision.name.as_deref();
        let (meta_at, meta) = meta.unwrap_or((Span::new(message.len(), message.len()), Vec::new()));
        let mut edits: [(Span, &[u8]); 3] = [
            (found.id, digits.as_bytes()),
            (found.name, name.unwrap_or_else(|| found.name.of(message))),
            (meta_at, &meta),
        ];
        // What is inserted behind a name stays there.
        edits.sort_by_key(|(span, _)| span.start);
        self.write_request(decision, channel, &edits, data, start);
        let mut kept = self.spare.pop().unwrap_or_default();
        kept.extend_from_slice(message);
        if head.is_some()
            && let Some(from) = self.clients.get_mut(client)
        {
            from.head.clone_from(&head);
        }
        self.expect(Pending {
            client,
            flow,
            head,
            message: kept,
            id: found.id,
            upstream_id,
            began_s: now_s,
            channel,
        });
        Asked::Relayed
    }

    /// Whether everything that may change from call to call allows this one.
    fn allows(
        &self,
        decision: &Decision,
        found: &Request<'_>,
        message: &[u8],
        now_s: f64,
        slow: &impl SlowLane,
    ) -> bool {
        let relayed = self.in_flight_at(decision.upstream);
        if self.pending.len() + slow.in_flight() >= self.limits.in_flight
            || !slow.has_room(decision.upstream, relayed, decision.max_in_flight)
            || decision
                .odd_words
                .iter()
                .any(|word| word.find(message).is_some())
            || (decision.request_head.is_none() && memchr::memchr2(b'\n', b'\r', message).is_some())
        {
            return false;
        }
        if let Some(scope) = &decision.scope {
            let id = found.id.of(message);
            let pending = scope.pending.borrow();
            let taken = || {
                pending.iter().any(|&other| {
                    self.pending
                        .get(other)
                        .is_some_and(|other| other.id.of(&other.message) == id)
                })
            };
            if pending.len() >= MOST_IN_SCOPE || taken() || slow.uses(scope.tag, id) {
                return false;
            }
        }
        // Last, because it is spent by asking. One that is refused here is refused again by the slow lane, in words.
        decision
            .bucket
            .as_ref()
            .is_none_or(|bucket| bucket.borrow_mut().take(now_s))
    }

    /// The request as its server is to have it.
    fn write_request(
        &mut self,
        decision: &Decision,
        channel: Option<usize>,
        edits: &[(Span, &[u8])],
        data: &[u8],
        start: usize,
    ) {
        let message = &data[start..];
        let mut out = Out::new(&mut self.pieces, &mut self.scratch, start);
        if let (Some(channel), Some(head)) = (channel, &decision.request_head) {
            self.to = To::Channel(channel);
            let length = length_with(edits, message.len());
            out.bytes(head);
            out.bytes(Decimal::new(length as u64).as_bytes());
            out.bytes(b"\r\n\r\n");
        } else {
            self.to = To::Upstream(decision.upstream);
        }
        out.edited(edits, message.len());
        if channel.is_none() {
            out.bytes(b"\n");
        }
    }
}
