//! Calls in flight, and how they become the slow lane's.

use super::Relay;
use super::flows::Decided;
use super::writing::Decimal;
use crate::flow::{Flow, Scope};
use crate::head::Head;
use crate::request;
use std::rc::Rc;
use tidegate_codec::Span;

/// A call that was sent and not answered yet, with all that is needed to hand it over.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) client: usize,
    pub(super) flow: Rc<Flow>,
    pub(super) head: Option<Rc<Head>>,
    /// As the client sent it.
    pub(super) message: Vec<u8>,
    /// The client's id in it.
    pub(super) id: Span,
    pub(super) upstream_id: u64,
    pub(super) began_s: f64,
    pub(super) channel: Option<usize>,
}

/// A call that the relay gives up, with all that is needed to go on with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// The decision's.
    pub tag: usize,
    /// Who waits for the answer.
    pub client: usize,
    /// The request as it came: over HTTP with its head.
    pub request: Vec<u8>,
    /// Where the message begins in it.
    pub message: usize,
    /// Who has been asked.
    pub upstream: usize,
    /// Under which id.
    pub upstream_id: u64,
    /// When the request came.
    pub began_s: f64,
    /// Over HTTP: the connection that it was sent on.
    pub channel: Option<usize>,
    /// What came on that connection in answer.
    pub raw: Vec<u8>,
}

impl Relay {
    /// A call is on its way.
    pub(super) fn expect(&mut self, pending: Pending) {
        let (client, upstream_id) = (pending.client, pending.upstream_id);
        let channel = pending.channel;
        let scope = pending.flow.decision.scope.clone();
        let to = pending.flow.decision.upstream;
        let at = self.pending.insert(pending);
        if let Some(upstream) = self.upstreams.get_mut(to) {
            upstream.pending.insert(upstream_id, at);
        }
        if let Some(from) = self.clients.get_mut(client) {
            from.pending.push(at);
        }
        if let Some(scope) = scope {
            scope.pending.borrow_mut().push(at);
        }
        if let Some(channel) = channel {
            self.occupy(channel, at);
        }
    }

    /// The call is no more the relay's.
    pub(super) fn forget(&mut self, call: usize) -> Option<Pending> {
        let pending = self.pending.remove(call)?;
        if let Some(upstream) = self.upstreams.get_mut(pending.flow.decision.upstream) {
            upstream.pending.remove(pending.upstream_id);
        }
        if let Some(client) = self.clients.get_mut(pending.client) {
            client.pending.retain(|&other| other != call);
        }
        if let Some(scope) = &pending.flow.decision.scope {
            scope.pending.borrow_mut().retain(|&other| other != call);
        }
        Some(pending)
    }

    /// Relayed calls in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.pending.len()
    }

    /// The calls of one client.
    #[must_use]
    pub fn calls_of(&self, client: usize) -> Vec<usize> {
        self.clients
            .get(client)
            .map(|client| client.pending.clone())
            .unwrap_or_default()
    }

    /// The calls on one connection to a server, in the order in which they came.
    #[must_use]
    pub fn calls_at(&self, upstream: usize) -> Vec<usize> {
        let Some(upstream) = self.upstreams.get(upstream) else {
            return Vec::new();
        };
        upstream.pending.calls()
    }

    /// The calls in one scope.
    #[must_use]
    pub fn calls_in(&self, scope: &Scope) -> Vec<usize> {
        scope.pending.borrow().clone()
    }

    /// All calls that came before `before_s`.
    #[must_use]
    pub fn calls_before(&self, before_s: f64) -> Vec<usize> {
        let mut calls: Vec<_> = self
            .pending
            .keys()
            .filter_map(|call| {
                let pending = self.pending.get(call)?;
                (pending.began_s < before_s).then_some((
                    pending.flow.decision.upstream,
                    pending.upstream_id,
                    call,
                ))
            })
            .collect();
        calls.sort_unstable();
        calls.into_iter().map(|(_, _, call)| call).collect()
    }

    /// Gives a call up: it is the slow lane's from here on.
    pub fn take(&mut self, call: usize) -> Option<Taken> {
        let pending = self.forget(call)?;
        let (request, message) = match &pending.head {
            None => (pending.message, 0),
            Some(head) => {
                let mut request = head.before.to_vec();
                request.extend_from_slice(Decimal::new(pending.message.len() as u64).as_bytes());
                request.extend_from_slice(&head.after);
                let start = request.len();
                request.extend_from_slice(&pending.message);
                (request, start)
            }
        };
        let raw = pending
            .channel
            .map_or_else(Vec::new, |channel| self.take_raw(channel));
        Some(Taken {
            tag: pending.flow.decision.tag,
            client: pending.client,
            request,
            message,
            upstream: pending.flow.decision.upstream,
            upstream_id: pending.upstream_id,
            began_s: pending.began_s,
            channel: pending.channel,
            raw,
        })
    }

    /// The present message, whose decision has just been installed and which the slow lane has sent under this id, is
    /// the relay's from now on: the inverse of `take`. For tests, in which first calls then go the relay's way too.
    /// Over HTTP it was sent on `channel`, and nothing has come of its response yet.
    pub fn adopt(&mut self, upstream_id: u64, began_s: f64, channel: Option<usize>) -> bool {
        let Some(Decided {
            client,
            head,
            flow,
            message,
            ..
        }) = self.decided.take()
        else {
            return false;
        };
        let Some(id) = request::read(&message, self.limits.depth, b"").map(|found| found.id) else {
            return false;
        };
        if head.is_some()
            && let Some(from) = self.clients.get_mut(client)
        {
            from.head.clone_from(&head);
        }
        self.expect(Pending {
            client,
            flow,
            head,
            message,
            id,
            upstream_id,
            began_s,
            channel,
        });
        true
    }
}
