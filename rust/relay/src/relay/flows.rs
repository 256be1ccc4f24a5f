//! Decisions noted, found, counted and forgotten.
//!
//! The key of a flow: the context (of a stream, or of an HTTP head), the class of `_meta`, the method, the name.

use super::Relay;
use crate::choice::Choice;
use crate::flow::{Decision, Flow, Recent};
use crate::head::Head;
use crate::meta;
use crate::request::{Method, Request};
use crate::tally::{Counted, Total};
use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;

/// Of what is remembered of heads, `_meta` and flows, together. When there is more, all of it is forgotten.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// What a flow is counted as.
const FLOW_BYTES: usize = 3000;
/// What a head is counted as, beside its bytes.
const HEAD_BYTES: usize = 200;
/// Fewer flows and heads are never looked through for those that are of no use any more.
pub(super) const LEAST_SWEPT: usize = 64;

/// What a flow would be noted under, while the slow lane decides.
#[derive(Debug)]
pub(super) struct Candidate {
    client: usize,
    context: Context,
    /// Of its `_meta`, as of `meta::words`.
    words: Vec<u8>,
    method: Method,
    name: String,
    message: Vec<u8>,
}

/// How a message came: one part of what a flow is noted under.
#[derive(Debug)]
pub(super) enum Context {
    Stream(u64),
    Head(Rc<Head>),
    /// One that is not remembered yet: what stands before and behind the digits of its length.
    NewHead {
        before: Box<[u8]>,
        after: Box<[u8]>,
    },
}

/// The present message, once what the slow lane decided about it has become a flow.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) client: usize,
    pub(super) head: Option<Rc<Head>>,
    pub(super) flow: Rc<Flow>,
    pub(super) choice: Rc<Choice>,
    pub(super) message: Vec<u8>,
}

impl Relay {
    /// Whether the slow lane's decision about the present message could become a flow.
    #[must_use]
    pub const fn has_candidate(&self) -> bool {
        self.candidate.is_some()
    }

    /// Keeps what is needed to note the decision that the slow lane is about to take.
    pub(super) fn propose(
        &mut self,
        client: usize,
        context: Context,
        found: &Request<'_>,
        message: &[u8],
    ) {
        let words = match found.meta {
            None => Vec::new(),
            Some(span) => match meta::words(span.of(message)) {
                Some(words) => words,
                None => return,
            },
        };
        self.candidate = Some(Candidate {
            client,
            context,
            words,
            method: found.method,
            name: found.name_text.to_string(),
            message: message.to_vec(),
        });
    }

    /// The slow lane is done with the present message.
    pub fn drop_candidate(&mut self) {
        self.candidate = None;
        self.decided = None;
    }

    /// Notes what the slow lane decided about `message`. False: that is not what it was shown.
    pub fn install(&mut self, message: &[u8], decision: Decision) -> bool {
        let Some(candidate) = self.candidate.take() else {
            return false;
        };
        if candidate.message != message {
            return false;
        }
        if self.flows.len() + self.heads.len() >= self.sweep_at {
            self.sweep();
        }
        if self.held_bytes + self.classes.bytes > MOST_BYTES {
            self.void();
        }
        let class = self.classes.note(&candidate.words);
        let (context, head) = match candidate.context {
            Context::Stream(context) => (context, None),
            Context::Head(head) => (head.context, Some(head)),
            Context::NewHead { before, after } => {
                let head = self.note_head(before, after);
                (head.context, Some(head))
            }
        };
        flow_key(
            &mut self.key,
            context,
            class,
            candidate.method,
            &candidate.name,
        );
        let is_tool = candidate.method == Method::ToolsCall;
        let flow = Flow::new(decision, is_tool, self.freed.clone());
        let choice = Rc::new(Choice::new(flow.clone()));
        let key = self.key.as_slice();
        self.held_bytes += bytes_of(key, &choice);
        if let Some(before) = self.flows.insert(key.into(), choice.clone()) {
            self.held_bytes -= bytes_of(key, &before);
        }
        self.installed += 1;
        self.decided = Some(Decided {
            client: candidate.client,
            head,
            flow,
            choice,
            message: candidate.message,
        });
        true
    }

    /// Notes that calls like the present one, which was just installed, may be given to another replica, too.
    pub fn share(&mut self, decision: Decision) -> bool {
        let Some(decided) = &self.decided else {
            return false;
        };
        let flow = Flow::new(decision, decided.flow.is_tool, self.freed.clone());
        self.held_bytes += FLOW_BYTES;
        decided.choice.add(flow);
        true
    }

    fn note_head(&mut self, before: Box<[u8]>, after: Box<[u8]>) -> Rc<Head> {
        self.contexts += 1;
        let key: Box<[u8]> = [&*before, &*after].concat().into();
        self.held_bytes += HEAD_BYTES + 2 * key.len();
        let head = Rc::new(Head {
            context: self.contexts,
            generation: self.generation,
            before,
            after,
            memo: RefCell::default(),
            recent: RefCell::default(),
        });
        self.heads.insert(key, head.clone());
        head
    }

    /// The flow for a request, or one for each replica. Those that are of no use any more are forgotten.
    pub(super) fn choice(
        &mut self,
        context: u64,
        class: u32,
        found: &Request<'_>,
        recent: &RefCell<Option<Recent>>,
    ) -> Option<Rc<Choice>> {
        if let Some(last) = &*recent.borrow()
            && last.generation == self.generation
            && last.class == class
            && last.method == found.method
            && *last.name == *found.name_text
            && last.choice.any(|flow| self.is_open(flow))
        {
            return Some(last.choice.clone());
        }
        flow_key(
            &mut self.key,
            context,
            class,
            found.method,
            &found.name_text,
        );
        let choice = self.flows.get(self.key.as_slice())?;
        if choice.any(|flow| self.is_open(flow)) {
            let choice = choice.clone();
            recent.replace(Some(Recent {
                generation: self.generation,
                class,
                method: found.method,
                name: (*found.name_text).into(),
                choice: choice.clone(),
            }));
            return Some(choice);
        }
        self.held_bytes -= bytes_of(&self.key, choice);
        self.flows.remove(self.key.as_slice());
        None
    }

    /// Forgets every flow. Calls in flight go on.
    pub fn void(&mut self) {
        self.candidate = None;
        // Clients remember what they said last, even if it led to no flow.
        self.generation += 1;
        if self.flows.is_empty() && self.heads.is_empty() {
            return;
        }
        self.voided += 1;
        self.flows.clear();
        self.heads.clear();
        self.classes.clear();
        self.held_bytes = 0;
        self.sweep_at = LEAST_SWEPT;
    }

    /// Forgets the flows whose scope or server is gone, and heads that lead to none.
    fn sweep(&mut self) {
        let flows = std::mem::take(&mut self.flows);
        self.flows = flows
            .into_iter()
            .filter(|(_, choice)| choice.any(|flow| self.is_open(flow)))
            .collect();
        let contexts: HashSet<_> = self.flows.keys().map(|key| context_of(key)).collect();
        self.heads
            .retain(|_, head| contexts.contains(&head.context));
        let flows = self.flows.iter().map(|(key, choice)| bytes_of(key, choice));
        let heads = self.heads.keys().map(|key| HEAD_BYTES + 2 * key.len());
        self.held_bytes = flows.chain(heads).sum();
        self.sweep_at = LEAST_SWEPT.max(2 * (self.flows.len() + self.heads.len()));
    }

    /// Flows that could be used.
    #[must_use]
    pub fn flows(&self) -> usize {
        self.open_flows().count()
    }

    /// The tag of each of them, and what it did.
    #[must_use]
    pub fn totals(&self) -> Vec<(usize, Total)> {
        self.open_flows()
            .map(|flow| (flow.decision.tag, flow.tally.borrow().total()))
            .collect()
    }

    fn open_flows(&self) -> impl Iterator<Item = Rc<Flow>> {
        self.flows
            .values()
            .flat_map(|choice| choice.flows())
            .filter(|flow| self.is_open(flow))
    }

    /// Neither its scope nor its server is gone.
    pub(super) fn is_open(&self, flow: &Flow) -> bool {
        flow.decision
            .scope
            .as_ref()
            .is_none_or(|scope| scope.open.get())
            && self
                .upstreams
                .get(flow.decision.upstream)
                .is_some_and(|upstream| upstream.open)
    }

    /// Tags that no flow has any more, since the last time: others may have them.
    #[must_use]
    pub fn freed(&mut self) -> Vec<usize> {
        std::mem::take(&mut *self.freed.borrow_mut())
    }

    /// What was counted since the last time, a flow at a time.
    pub fn counted(&mut self) -> Vec<Counted> {
        let flows = std::mem::take(&mut self.counted);
        flows
            .iter()
            .filter_map(|flow| {
                flow.counted.set(false);
                flow.tally.borrow_mut().take(flow.decision.tag)
            })
            .collect()
    }

    /// Tags of decisions that are still used: by a flow, by a call in flight, or by counts not asked for.
    #[must_use]
    pub fn tags(&self) -> Vec<usize> {
        let mut tags: Vec<_> = self
            .flows
            .values()
            .flat_map(|choice| choice.flows())
            .map(|flow| flow.decision.tag)
            .chain(self.counted.iter().map(|flow| flow.decision.tag))
            .chain(self.journal.tags())
            .chain(
                self.pending
                    .keys()
                    .filter_map(|call| Some(self.pending.get(call)?.flow.decision.tag)),
            )
            .collect();
        tags.sort_unstable();
        tags.dedup();
        tags
    }
}

/// What a choice is counted as.
fn bytes_of(key: &[u8], choice: &Choice) -> usize {
    choice.flows().len() * FLOW_BYTES + key.len()
}

/// The number that a key begins with.
fn context_of(key: &[u8]) -> u64 {
    key.first_chunk()
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn flow_key(key: &mut Vec<u8>, context: u64, class: u32, method: Method, name: &str) {
    key.clear();
    key.extend_from_slice(&context.to_le_bytes());
    key.extend_from_slice(&class.to_le_bytes());
    key.push(method as u8);
    key.extend_from_slice(name.as_bytes());
}
