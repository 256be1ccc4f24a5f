//! Among which replicas of a server a decision may be repeated, and which of them is next.
//!
//! The same rules as `pipeline/balance.py`: the slow lane gives what it decides for itself out by them, too. But where all
//! are full there is none in turn: whoever waits does so in the slow lane.

use crate::flow::Flow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// One flow, or one for each replica.
#[derive(Debug)]
pub(crate) struct Choice {
    flows: RefCell<Vec<Rc<Flow>>>,
    /// Whose turn it is.
    turn: Cell<usize>,
}

impl Choice {
    pub(crate) fn new(flow: Rc<Flow>) -> Self {
        Self {
            flows: RefCell::new(vec![flow]),
            // The slow lane has just had the first.
            turn: Cell::new(1),
        }
    }

    pub(crate) fn add(&self, flow: Rc<Flow>) {
        self.flows.borrow_mut().push(flow);
    }

    pub(crate) fn flows(&self) -> Vec<Rc<Flow>> {
        self.flows.borrow().clone()
    }

    pub(crate) fn any(&self, is: impl Fn(&Flow) -> bool) -> bool {
        self.flows.borrow().iter().any(|flow| is(flow))
    }

    /// The one that is next. `load`: its requests in flight; `None` if it cannot be used.
    pub(crate) fn next(&self, load: impl Fn(&Flow) -> Option<usize>) -> Option<Rc<Flow>> {
        let flows = self.flows.borrow();
        if let [only] = flows.as_slice() {
            return Some(only.clone());
        }
        let number = flows.len();
        let in_turn = flows.first()?.decision.in_turn;
        let mut best: Option<(usize, usize)> = None;
        for at in (0..number).map(|step| (self.turn.get() + step) % number) {
            let Some(load) = load(&flows[at]) else {
                continue;
            };
            if in_turn && load < flows[at].decision.max_in_flight {
                best = Some((load, at));
                break;
            }
            if !in_turn && best.is_none_or(|(least, _)| load < least) {
                best = Some((load, at));
            }
        }
        let (_, at) = best?;
        self.turn.set(at + 1);
        Some(flows[at].clone())
    }
}
