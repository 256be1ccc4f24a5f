//! The relay once more, slow and obvious: what is in flight, what was decided, what must come of each message.

use super::asks::{Ask, BODY_BYTES, Extra, HttpAsk, Meta};
use std::collections::BTreeMap;

/// Requests in the whole gateway.
pub const MOST_IN_FLIGHT: usize = 6;
/// As in the relay: calls of one scope.
const MOST_IN_SCOPE: usize = 64;

/// What the slow lane decided.
#[derive(Clone)]
pub struct Decided {
    pub upstream: usize,
    pub name: Option<&'static str>,
    pub complete: bool,
    pub foreign: Option<&'static str>,
    pub coding: Option<&'static str>,
    pub compressed: (usize, usize),
    /// What the server is told in `_meta`, under `v`.
    pub told: Option<&'static str>,
    pub may_task: bool,
    pub most: usize,
    pub bucket: Option<usize>,
    pub scope: Option<usize>,
    pub is_tool: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Http,
    Stream,
}

pub struct Client {
    pub kind: Kind,
    /// No other client is or was this one.
    pub serial: usize,
}

pub struct Upstream {
    pub open: bool,
    pub next_id: u64,
    /// Over HTTP: of its connections.
    pub pool: Option<usize>,
}

/// What a connection to a server over HTTP is used for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Use {
    Slow,
    /// Nothing, since then.
    Idle(u64),
    /// A call, by server and id.
    Call(usize, u64),
    /// The end of a response of this server, since then.
    End(u64, usize),
}

/// Where to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Line,
    On(usize),
    Nowhere,
}

pub struct Channel {
    pub pool: usize,
    pub use_: Use,
    /// Of the present response.
    pub raw: Vec<u8>,
    /// What the server is about to say, and what it means.
    pub rest: Vec<(Vec<u8>, Part)>,
}

/// What has come with a piece of a response.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Nothing,
    /// One of `ANSWERS`; whether it ends the response.
    Answer(usize, bool),
    /// Something after the answer.
    Late,
    End,
    Odd,
}

#[derive(Clone)]
pub struct Call {
    pub client: usize,
    pub upstream: usize,
    pub upstream_id: u64,
    pub own_id: String,
    /// As it came, and where its message begins.
    pub request: Vec<u8>,
    pub start: usize,
    pub over_http: bool,
    pub tag: usize,
    pub channel: Option<usize>,
    /// In quarters of a second.
    pub began: u64,
}

/// Quarters of tokens, refilled a quarter of a second at a time.
pub struct Bucket {
    /// A quarter of a token for each quarter of a second.
    pub rate_per_s: u64,
    pub burst: u64,
    pub quarters: u64,
    pub seen: u64,
}

impl Bucket {
    pub fn take(&mut self, now: u64) -> bool {
        if self.rate_per_s == 0 {
            return true;
        }
        for _ in self.seen..now {
            self.quarters = (self.quarters + self.rate_per_s).min(self.burst * 4);
        }
        self.seen = now;
        if self.quarters < 4 {
            return false;
        }
        self.quarters -= 4;
        true
    }
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Head(usize),
    Stream(usize),
}

/// All that a decision depends on.
pub type Key = (Place, Option<&'static str>, u8, &'static str);

/// Decisions that a call may go by, one for each replica, and whose turn it is.
pub struct Choice {
    pub tags: Vec<usize>,
    pub turn: usize,
    /// Replicas get calls in turn; else the one with least to do.
    pub in_turn: bool,
}

/// What must become of a request.
pub enum Fate {
    Busy,
    Part,
    /// Told whether it may be decided.
    Slow(Option<Key>),
    Relayed(usize),
}

#[derive(Default)]
pub struct Model {
    pub clients: BTreeMap<usize, Client>,
    pub upstreams: BTreeMap<usize, Upstream>,
    pub channels: BTreeMap<usize, Channel>,
    /// By pool, the one used last at the end.
    pub idle: BTreeMap<usize, Vec<usize>>,
    pub flows: BTreeMap<Key, Choice>,
    pub decided: Vec<Decided>,
    /// Closed, by number.
    pub scopes: Vec<bool>,
    pub buckets: Vec<Bucket>,
    /// In the order in which they came.
    pub calls: Vec<Call>,
    pub now: u64,
    /// What the slow lane says of itself.
    pub slow_in_flight: usize,
    pub room: bool,
    pub slow_ids: Vec<(usize, String)>,
    /// Well and badly ended ones since last asked, by tag.
    pub counts: BTreeMap<usize, (u64, u64)>,
}

impl Model {
    pub fn new() -> Self {
        Self {
            room: true,
            ..Self::default()
        }
    }

    pub fn calls_of(&self, client: usize) -> Vec<&Call> {
        self.calls
            .iter()
            .filter(|call| call.client == client)
            .collect()
    }

    pub fn calls_at(&self, upstream: usize) -> Vec<&Call> {
        self.calls
            .iter()
            .filter(|call| call.upstream == upstream)
            .collect()
    }

    pub fn calls_in(&self, scope: usize) -> Vec<&Call> {
        self.calls
            .iter()
            .filter(|call| self.decided[call.tag].scope == Some(scope))
            .collect()
    }

    pub fn http(&mut self, client: usize, ask: &HttpAsk) -> Fate {
        if !self.calls_of(client).is_empty() {
            return Fate::Busy;
        }
        if ask.ask.text().len() > BODY_BYTES {
            return Fate::Slow(None);
        }
        if ask.partial() {
            return Fate::Part;
        }
        if !ask.whole() {
            return Fate::Slow(None);
        }
        self.request(Place::Head(ask.head), &ask.ask)
    }

    pub fn message(&mut self, client: usize, ask: &Ask) -> Fate {
        self.request(Place::Stream(self.clients[&client].serial), ask)
    }

    fn request(&mut self, place: Place, ask: &Ask) -> Fate {
        if !ask.readable() {
            return Fate::Slow(None);
        }
        let (Some(method), Some(name)) = (ask.method(), ask.name()) else {
            return Fate::Slow(None);
        };
        let class = match ask.meta() {
            Meta::Plain => None,
            Meta::Class(class) => Some(class),
            Meta::Opaque | Meta::Progress => return Fate::Slow(None),
        };
        let key = (place, class, method, name);
        let Some(choice) = self.flows.get(&key) else {
            return Fate::Slow(Some(key));
        };
        if !choice.tags.iter().any(|&tag| self.is_open(tag)) {
            self.flows.remove(&key);
            return Fate::Slow(Some(key));
        }
        let Some(tag) = self.next(&key) else {
            return Fate::Slow(None);
        };
        let decided = self.decided[tag].clone();
        if self.way(&decided) != Way::Nowhere && self.admitted(&decided, ask) {
            Fate::Relayed(tag)
        } else {
            Fate::Slow(None)
        }
    }

    /// Neither scope nor server is gone.
    pub fn is_open(&self, tag: usize) -> bool {
        let decided = &self.decided[tag];
        decided.scope.is_none_or(|scope| !self.scopes[scope])
            && self
                .upstreams
                .get(&decided.upstream)
                .is_some_and(|upstream| upstream.open)
    }

    /// Which of the replicas is to have the next call.
    fn next(&mut self, key: &Key) -> Option<usize> {
        let Choice {
            tags,
            turn,
            in_turn,
        } = &self.flows[key];
        if tags.len() == 1 {
            return Some(tags[0]);
        }
        let load = |tag: usize| self.calls_at(self.decided[tag].upstream).len();
        let in_order = (0..tags.len()).map(|step| (turn + step) % tags.len());
        let usable = in_order.filter(|&at| self.is_open(tags[at]));
        let at = if *in_turn {
            usable
                .into_iter()
                .find(|&at| load(tags[at]) < self.decided[tags[at]].most)
        } else {
            usable.into_iter().min_by_key(|&at| load(tags[at]))
        }?;
        let choice = self.flows.get_mut(key).unwrap();
        choice.turn = at + 1;
        Some(choice.tags[at])
    }

    /// Which way a call would go now.
    pub fn way(&self, decided: &Decided) -> Way {
        let Some(pool) = self.upstreams[&decided.upstream].pool else {
            return Way::Line;
        };
        let Some(&last) = self.idle.get(&pool).and_then(|idle| idle.last()) else {
            return Way::Nowhere;
        };
        match self.channels[&last].use_ {
            // One and a half seconds. Whoever may be asked twice is the one whose answers are complete.
            Use::Idle(since) if decided.complete || self.now - since <= 6 => Way::On(last),
            _ => Way::Nowhere,
        }
    }

    /// Another use of a connection.
    pub fn put(&mut self, number: usize, use_: Use) {
        let channel = self.channels.get_mut(&number).unwrap();
        let idle = self.idle.entry(channel.pool).or_default();
        idle.retain(|&other| other != number);
        if matches!(use_, Use::Idle(_)) {
            idle.push(number);
        }
        if matches!(use_, Use::Idle(_) | Use::Slow) {
            channel.raw.clear();
            channel.rest.clear();
        }
        channel.use_ = use_;
    }

    fn admitted(&mut self, decided: &Decided, ask: &Ask) -> bool {
        if self.calls.len() + self.slow_in_flight >= MOST_IN_FLIGHT
            || !self.room
            || self.calls_at(decided.upstream).len() >= decided.most
            || (ask.extra() == Extra::Broken && self.upstreams[&decided.upstream].pool.is_none())
            || (decided.may_task && ask.text().contains("\"task\""))
        {
            return false;
        }
        if let Some(scope) = decided.scope {
            let calls = self.calls_in(scope);
            if calls.len() >= MOST_IN_SCOPE
                || calls.iter().any(|call| call.own_id == ask.id())
                || self.slow_ids.contains(&(scope, ask.id()))
            {
                return false;
            }
        }
        let now = self.now;
        decided
            .bucket
            .is_none_or(|bucket| self.buckets[bucket].take(now))
    }
}
