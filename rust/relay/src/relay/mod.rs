//! The state machine: clients, servers, flows between them, and the calls in flight.
//!
//! What it does, an idea a file: `clients` and `upstreams` are the two sides, `channels` the connections to servers over
//! HTTP. `requests` finds the flow for what a client says, `sending` repeats its decision; `answers` and `responses` take
//! what comes back. `flows` notes decisions and forgets them, `calls` knows those in flight and hands them over, and
//! `writing` puts together what is to be sent.

mod answers;
mod calls;
mod channels;
mod clients;
mod flows;
mod requests;
mod responses;
mod sending;
mod upstreams;
mod writing;

pub use answers::Answer;
pub use calls::Taken;
pub use requests::Asked;
pub use responses::Heard;
pub use writing::{Piece, To};

use crate::choice::Choice;
use crate::flow::Flow;
use crate::head::Head;
use crate::meta::Classes;
use crate::slab::Slab;
use crate::tally::Journal;
use calls::Pending;
use channels::{Channel, Pool};
use clients::Client;
use flows::{Candidate, Decided, LEAST_SWEPT};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use upstreams::Upstream;

/// Bounds, as the configuration has them.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Requests in the whole gateway.
    pub in_flight: usize,
    /// A head.
    pub header_bytes: usize,
    /// A body over HTTP.
    pub body_bytes: usize,
    /// A message of a server.
    pub result_bytes: usize,
    /// Nested containers in a message.
    pub depth: usize,
}

/// What the slow lane has in hand at this moment.
pub trait SlowLane {
    /// Requests in the whole gateway, without the relayed ones.
    fn in_flight(&self) -> usize;
    /// Requests of the slow lane in flight at `upstream`.
    fn load(&self, upstream: usize) -> usize;
    /// Whether `upstream` takes one more call at once, when it may have `most` and has `relayed` by the relay.
    fn has_room(&self, upstream: usize, relayed: usize, most: usize) -> bool;
    /// Whether a request of the slow lane in this scope has this id (raw JSON).
    fn uses(&self, scope: usize, id: &[u8]) -> bool;
}

/// All flows and relayed calls of one gateway.
#[derive(Debug)]
pub struct Relay {
    limits: Limits,
    /// Of the buckets that durations are counted in.
    bounds_s: Box<[f64]>,
    clients: Slab<Client>,
    upstreams: Slab<Upstream>,
    pools: Slab<Pool>,
    channels: Slab<Channel>,
    pending: Slab<Pending>,
    /// By `flow_key`.
    flows: HashMap<Box<[u8]>, Rc<Choice>>,
    /// By their bytes without the digits of the length.
    heads: HashMap<Box<[u8]>, Rc<Head>>,
    classes: Classes,
    /// Of flows and heads, as they are counted against `MOST_BYTES`.
    held_bytes: usize,
    /// Of flows and all that is remembered with them. Never 0.
    generation: u64,
    /// Contexts that were numbered so far: streams, and heads.
    contexts: u64,
    candidate: Option<Candidate>,
    decided: Option<Decided>,
    /// Flows that counted something since they were last asked.
    counted: Vec<Rc<Flow>>,
    /// Tags of flows that are gone.
    freed: Rc<RefCell<Vec<usize>>>,
    /// With so many flows and heads it is time to look for those that are of no use any more.
    sweep_at: usize,
    /// Hashes of heads that were seen once, each in its place.
    seen: Vec<u64>,
    /// Empty buffers for the requests of calls to come.
    spare: Vec<Vec<u8>>,
    /// The key that was looked for last: its buffer is used again.
    key: Vec<u8>,
    /// Whose answer was passed on last.
    pub answered_by: usize,
    /// Bytes of the last write that were not in the message.
    pub scratch: Vec<u8>,
    /// The message that the last write was made of, if it was none of the input.
    pub gathered: Vec<u8>,
    /// The parts of the last write, in order.
    pub pieces: Vec<Piece>,
    /// Whom the last write is for.
    pub to: To,
    /// Calls relayed so far.
    pub relayed: u64,
    /// Flows installed so far.
    pub installed: u64,
    /// How often all flows were voided.
    pub voided: u64,
    /// Calls that ended, one by one.
    pub journal: Journal,
}

impl Relay {
    /// `bounds_s`: of the buckets that durations are counted in, ascending.
    #[must_use]
    pub fn new(limits: Limits, bounds_s: &[f64]) -> Self {
        Self {
            limits,
            bounds_s: bounds_s.into(),
            clients: Slab::new(),
            upstreams: Slab::new(),
            pools: Slab::new(),
            channels: Slab::new(),
            pending: Slab::new(),
            flows: HashMap::new(),
            heads: HashMap::new(),
            classes: Classes::default(),
            held_bytes: 0,
            generation: 1,
            contexts: 0,
            candidate: None,
            decided: None,
            counted: Vec::new(),
            freed: Rc::default(),
            sweep_at: LEAST_SWEPT,
            seen: Vec::new(),
            spare: Vec::new(),
            key: Vec::new(),
            answered_by: 0,
            scratch: Vec::new(),
            gathered: Vec::new(),
            pieces: Vec::new(),
            to: To::Client(0),
            relayed: 0,
            installed: 0,
            voided: 0,
            journal: Journal::default(),
        }
    }

    /// Other bounds from now on.
    pub fn take_up(&mut self, limits: Limits) {
        self.limits = limits;
        self.void();
    }
}
