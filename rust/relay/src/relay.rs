//! The state machine: clients, servers, flows between them, and the calls in flight.

use crate::choice::Choice;
use crate::flow::{Coding, Decision, Flow, Recent, Scope};
use crate::head::{self, Head};
use crate::ids::Ids;
use crate::meta::{self, Classes, Memo};
use crate::request::{self, Method, Request};
use crate::response::{KnownHead, Place as Where, Response, Step};
use crate::slab::Slab;
use crate::tally::{Counted, Ended, Journal, Outcome, Total};
use memchr::memmem::Finder;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::rc::Rc;
use std::sync::LazyLock;
use tidegate_codec::{Span, coding, json};

/// Of what is remembered of heads, `_meta` and flows, together. When there is more, all of it is forgotten.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// As in the slow lane: a connection that was idle for longer may be about to be closed by its server, and what must not be
/// sent twice does not go there.
pub const FRESH_S: f64 = 1.5;
/// The number of a server or pool that is gone.
const NOBODY: usize = usize::MAX;
/// What a flow is counted as.
const FLOW_BYTES: usize = 600;
/// What a head is counted as, beside its bytes.
const HEAD_BYTES: usize = 200;
/// Fewer flows and heads are never looked through for those that are of no use any more.
const LEAST_SWEPT: usize = 64;
/// With so many heads, further ones are remembered only when they come a second time: some clients send another one with each
/// request, and must not push out what others have.
const MANY_HEADS: usize = 256;
/// Heads that came once are known by a hash, so many of them.
const SEEN: usize = 4096;
/// Calls of one scope that are looked through for an id that is in use.
const MOST_IN_SCOPE: usize = 64;
/// As in the slow lane: longer answers are not looked at for `isError`.
const JUDGED_BYTES: usize = 64 * 1024;
/// A buffer that is larger is given back when what it held is written.
const KEPT_BYTES: usize = 64 * 1024;
/// Buffers of requests that are kept for the next ones, and how large they may be.
const SPARE: usize = 64;
const SPARE_BYTES: usize = 4096;

static IS_ERROR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"isError\""));

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

/// What became of bytes from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// There is a `write` for the server.
    Relayed,
    /// The slow lane is to have them.
    Slow,
    /// Over HTTP: the client has a call in flight, which must be taken over first; then as `Slow`.
    Busy,
}

/// What became of a message from a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// There is a `write` for the client.
    Relayed,
    /// It answers this call (a number for `take`), but not in a way that may simply be passed on.
    Promote(usize),
    /// An answer, and none to a relayed call.
    Foreign,
    /// No answer: it may concern any call that is in flight there.
    Other,
}

/// What became of bytes from a server over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// There is a `write` for the client. `free`: the connection may carry another call.
    Relayed {
        /// The response has ended.
        free: bool,
    },
    /// There is more to come.
    More,
    /// Behind an answer, something more is said, which is in `gathered`.
    Late {
        /// The response has ended.
        free: bool,
        /// Whose response it is.
        upstream: usize,
    },
    /// Behind an answer, its response has ended: the connection may carry another call.
    Ended,
    /// They are not for the relay. The call, if there still is one, must be taken, and the slow lane is to have `raw`.
    Odd(Option<usize>),
    /// There is no relayed call on this connection.
    Slow,
}

/// Whom a write is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// A client.
    Client(usize),
    /// A server.
    Upstream(usize),
    /// A connection to a server over HTTP.
    Channel(usize),
}

/// A part of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Of the message that came in.
    Input(Range<usize>),
    /// Of `Relay::scratch`.
    Scratch(Range<usize>),
    /// Of `Relay::gathered`.
    Gathered(Range<usize>),
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

#[derive(Debug)]
struct Client {
    /// Streams: what its flows are kept under; 0 for HTTP.
    context: u64,
    /// HTTP: the head that came last.
    head: Option<Rc<Head>>,
    memo: Memo,
    recent: Rc<RefCell<Option<Recent>>>,
    pending: Vec<usize>,
}

#[derive(Debug)]
struct Upstream {
    open: bool,
    next_id: u64,
    pending: Ids,
    /// Over HTTP: where its connections are.
    pool: Option<usize>,
}

/// Connections to one origin that no call is on; the last one was used last.
#[derive(Debug, Default)]
struct Pool {
    idle: Vec<usize>,
    known: KnownHead,
}

/// One of them.
#[derive(Debug)]
struct Channel {
    pool: usize,
    /// Calls that it carried since somebody asked.
    uses: u32,
    use_: Use,
    response: Response,
}

/// What a channel is used for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Use {
    /// The slow lane has it.
    Slow,
    /// Nothing, since then.
    Idle(f64),
    /// This call.
    Call(usize),
    /// The end of a response whose message has come, since then.
    End { since_s: f64, upstream: usize },
}

#[derive(Debug)]
struct Pending {
    client: usize,
    flow: Rc<Flow>,
    head: Option<Rc<Head>>,
    message: Vec<u8>,
    id: Span,
    upstream_id: u64,
    began_s: f64,
    channel: Option<usize>,
}

/// What a flow would be noted under, while the slow lane decides.
#[derive(Debug)]
struct Candidate {
    client: usize,
    place: Place,
    words: Vec<u8>,
    method: Method,
    name: String,
    message: Vec<u8>,
}

#[derive(Debug)]
enum Place {
    Stream(u64),
    Known(Rc<Head>),
    New { before: Box<[u8]>, after: Box<[u8]> },
}

/// The present message, once what the slow lane decided about it has become a flow.
#[derive(Debug)]
struct Decided {
    client: usize,
    head: Option<Rc<Head>>,
    flow: Rc<Flow>,
    choice: Rc<Choice>,
    message: Vec<u8>,
}

/// A request, and how it came.
struct Came<'a> {
    client: usize,
    head: Option<Rc<Head>>,
    data: &'a [u8],
    /// Where the message begins in it.
    start: usize,
    now_s: f64,
}

/// All flows and relayed calls of one gateway.
#[derive(Debug)]
pub struct Relay {
    limits: Limits,
    bounds_s: Box<[f64]>,
    clients: Slab<Client>,
    upstreams: Slab<Upstream>,
    pools: Slab<Pool>,
    channels: Slab<Channel>,
    pending: Slab<Pending>,
    flows: HashMap<Box<[u8]>, Rc<Choice>>,
    heads: HashMap<Box<[u8]>, Rc<Head>>,
    classes: Classes,
    held_bytes: usize,
    /// Of flows and all that is remembered with them. Never 0.
    generation: u64,
    contexts: u64,
    candidate: Option<Candidate>,
    decided: Option<Decided>,
    counted: Vec<Rc<Flow>>,
    /// Tags of flows that are gone.
    freed: Rc<RefCell<Vec<usize>>>,
    /// With so many flows and heads it is time to look for those that are of no use any more.
    sweep_at: usize,
    /// Hashes of heads that were seen once, each in its place.
    seen: Vec<u64>,
    spare: Vec<Vec<u8>>,
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

    // -- who is there -----------------------------------------------------------------------------------

    /// A client over HTTP.
    pub fn add_http(&mut self) -> usize {
        self.add_client(0)
    }

    /// A client on a stream of messages.
    pub fn add_stream(&mut self) -> usize {
        self.contexts += 1;
        self.add_client(self.contexts)
    }

    fn add_client(&mut self, context: u64) -> usize {
        self.clients.insert(Client {
            context,
            head: None,
            memo: Memo::default(),
            recent: Rc::default(),
            pending: Vec::new(),
        })
    }

    /// The client is gone. Its calls must have been taken before.
    pub fn remove_client(&mut self, client: usize) {
        debug_assert!(self.calls_of(client).is_empty());
        self.clients.remove(client);
    }

    /// Where connections to one origin are kept.
    pub fn add_pool(&mut self) -> usize {
        self.pools.insert(Pool::default())
    }

    /// It has no connections any more.
    pub fn remove_pool(&mut self, pool: usize) {
        self.pools.remove(pool);
        // Its number may become another one's, which leads to other servers.
        for channel in self.channels.things_mut() {
            if channel.pool == pool {
                channel.pool = NOBODY;
                if matches!(channel.use_, Use::Idle(_)) {
                    channel.use_ = Use::Slow;
                }
            }
        }
    }

    /// A connection of a pool, which the slow lane has for now.
    pub fn add_channel(&mut self, pool: usize) -> usize {
        self.channels.insert(Channel {
            pool,
            uses: 0,
            use_: Use::Slow,
            response: Response::new(),
        })
    }

    /// It is gone. Its call must have been taken before.
    pub fn remove_channel(&mut self, channel: usize) {
        self.keep_back(channel);
        self.channels.remove(channel);
    }

    /// The slow lane has no use for it at the moment.
    pub fn give(&mut self, channel: usize, now_s: f64) {
        let Some(found) = self.channels.get_mut(channel) else {
            return;
        };
        if matches!(found.use_, Use::Idle(_) | Use::Call(_)) {
            return;
        }
        found.use_ = Use::Idle(now_s);
        found.response.clear();
        if let Some(pool) = self.pools.get_mut(found.pool) {
            pool.idle.push(channel);
        }
    }

    /// The slow lane wants the connection that was used last, unless that was before `since_s`.
    pub fn take_back(&mut self, pool: usize, since_s: f64) -> Option<usize> {
        let channel = *self.pools.get(pool)?.idle.last()?;
        let fresh = matches!(self.channels.get(channel)?.use_, Use::Idle(at_s) if at_s >= since_s);
        if !fresh {
            return None;
        }
        self.keep_back(channel);
        Some(channel)
    }

    /// Connections that have not been used since then are the slow lane's again.
    pub fn take_unused(&mut self, since_s: f64) -> Vec<usize> {
        self.take_channels(|use_| matches!(use_, Use::Idle(at_s) if at_s < since_s))
    }

    /// Connections whose response has not ended since then, although its message has come.
    pub fn take_unended(&mut self, since_s: f64) -> Vec<usize> {
        self.take_channels(|use_| matches!(use_, Use::End { since_s: at_s, .. } if at_s < since_s))
    }

    fn take_channels(&mut self, wanted: impl Fn(Use) -> bool) -> Vec<usize> {
        let taken: Vec<_> = self
            .channels
            .keys()
            .filter(|&channel| {
                let found = self.channels.get(channel);
                found.is_some_and(|found| wanted(found.use_))
            })
            .collect();
        for &channel in &taken {
            self.keep_back(channel);
        }
        taken
    }

    /// Connections to servers over HTTP that are not the slow lane's.
    #[must_use]
    pub fn channels_held(&self) -> usize {
        self.channels
            .keys()
            .filter(|&channel| {
                let found = self.channels.get(channel);
                found.is_some_and(|found| found.use_ != Use::Slow)
            })
            .count()
    }

    /// Connections of a pool that are idle here.
    #[must_use]
    pub fn idle(&self, pool: usize) -> usize {
        self.pools.get(pool).map_or(0, |pool| pool.idle.len())
    }

    fn keep_back(&mut self, channel: usize) {
        if let Some(found) = self.channels.get_mut(channel) {
            let was_idle = matches!(found.use_, Use::Idle(_));
            found.use_ = Use::Slow;
            if was_idle && let Some(pool) = self.pools.get_mut(found.pool) {
                pool.idle.retain(|&other| other != channel);
            }
        }
    }

    /// A conversation with a server, whose calls are told apart by ids from 1 on. `pool`: over HTTP, of its connections.
    pub fn add_upstream(&mut self, pool: Option<usize>) -> usize {
        self.upstreams.insert(Upstream {
            open: true,
            next_id: 1,
            pending: Ids::default(),
            pool,
        })
    }

    /// The connection takes nothing new.
    pub fn close_upstream(&mut self, upstream: usize) {
        if let Some(upstream) = self.upstreams.get_mut(upstream) {
            upstream.open = false;
        }
    }

    /// The connection is gone. Its calls must have been taken before.
    pub fn remove_upstream(&mut self, upstream: usize) {
        debug_assert!(self.calls_at(upstream).is_empty());
        // Flows lead there by its number, which another one may get.
        self.void();
        self.upstreams.remove(upstream);
        for channel in self.channels.things_mut() {
            if let Use::End { upstream: of, .. } = &mut channel.use_
                && *of == upstream
            {
                *of = NOBODY;
            }
        }
    }

    /// The id of a call that somebody else makes on this connection.
    pub fn next_id(&mut self, upstream: usize) -> u64 {
        self.upstreams.get_mut(upstream).map_or(0, |upstream| {
            upstream.next_id += 1;
            upstream.next_id - 1
        })
    }

    /// Ids given so far, the relay's among them.
    #[must_use]
    pub fn ids_given(&self, upstream: usize) -> u64 {
        self.upstreams
            .get(upstream)
            .map_or(0, |upstream| upstream.next_id - 1)
    }

    /// Relayed calls in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.pending.len()
    }

    /// Relayed calls in flight on one connection.
    #[must_use]
    pub fn in_flight_at(&self, upstream: usize) -> usize {
        self.upstreams
            .get(upstream)
            .map_or(0, |upstream| upstream.pending.len())
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
    fn is_open(&self, flow: &Flow) -> bool {
        flow.decision
            .scope
            .as_ref()
            .is_none_or(|scope| scope.open.get())
            && self
                .upstreams
                .get(flow.decision.upstream)
                .is_some_and(|upstream| upstream.open)
    }

    // -- requests ---------------------------------------------------------------------------------------

    /// What a client over HTTP sent at once.
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
            .and_then(|head| head.body(data).map(|body| (data.len() - body.len(), head)));
        let (start, head, digits) = if let Some((start, head)) = known {
            (start, Some(head), None)
        } else {
            let Some(cut) = head::cut(data, self.limits.header_bytes) else {
                return Asked::Slow;
            };
            let head = self.known_head(data, cut);
            (cut.head_end, head, Some(cut))
        };
        let body = &data[start..];
        // More digits than when the head was understood make it longer.
        if start > self.limits.header_bytes || body.len() > self.limits.body_bytes {
            return Asked::Slow;
        }
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
                let came = Came {
                    client,
                    head: Some(head.clone()),
                    data,
                    start,
                    now_s,
                };
                return self.send(&choice, came, &found, slow);
            }
        }
        if head.is_none() && self.heads.len() >= MANY_HEADS && !self.seen_before() {
            return Asked::Slow;
        }
        let place = match (head, digits) {
            (Some(head), _) => Place::Known(head),
            (None, Some(cut)) => Place::New {
                before: data[..cut.digits.start].into(),
                after: data[cut.digits.end..cut.head_end].into(),
            },
            (None, None) => return Asked::Slow,
        };
        self.propose(client, place, &found, body);
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
            let came = Came {
                client,
                head: None,
                data: message,
                start: 0,
                now_s,
            };
            return self.send(&choice, came, &found, slow);
        }
        self.propose(client, Place::Stream(context), &found, message);
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
        let place = usize::try_from(hash % SEEN as u64).unwrap_or(0);
        std::mem::replace(&mut self.seen[place], hash) == hash
    }

    fn choice(
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

    fn propose(&mut self, client: usize, place: Place, found: &Request<'_>, message: &[u8]) {
        let words = match found.meta {
            None => Vec::new(),
            Some(span) => match meta::words(span.of(message)) {
                Some(words) => words,
                None => return,
            },
        };
        self.candidate = Some(Candidate {
            client,
            place,
            words,
            method: found.method,
            name: found.name_text.to_string(),
            message: message.to_vec(),
        });
    }

    /// Repeats a decision, if everything that may change from call to call allows it.
    fn send(
        &mut self,
        choice: &Choice,
        came: Came<'_>,
        found: &Request<'_>,
        slow: &impl SlowLane,
    ) -> Asked {
        let Came {
            client,
            head,
            data,
            start,
            now_s,
        } = came;
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

    /// A call is on its way.
    fn expect(&mut self, pending: Pending) {
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
            self.keep_back(channel);
            if let Some(channel) = self.channels.get_mut(channel) {
                channel.use_ = Use::Call(at);
                channel.uses += 1;
            }
        }
    }

    /// The idle connection that was used last, if it may be used for this.
    fn free_channel(&self, decision: &Decision, now_s: f64) -> Option<usize> {
        let pool = self.upstreams.get(decision.upstream)?.pool?;
        let channel = *self.pools.get(pool)?.idle.last()?;
        match self.channels.get(channel)?.use_ {
            Use::Idle(since_s) if decision.repeatable || now_s - since_s <= FRESH_S => {
                Some(channel)
            }
            _ => None,
        }
    }

    // -- answers ----------------------------------------------------------------------------------------

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

    /// What came on a connection to a server over HTTP.
    pub fn response(&mut self, channel: usize, data: &[u8], now_s: f64) -> Heard {
        let Some(found) = self.channels.get_mut(channel) else {
            return Heard::Slow;
        };
        let mut after = 0;
        let call = match found.use_ {
            Use::Slow => return Heard::Slow,
            // It was not asked for anything: the slow lane ends it.
            Use::Idle(_) => {
                self.keep_back(channel);
                return Heard::Slow;
            }
            Use::Call(call) => Some(call),
            Use::End { upstream, .. } => {
                after = upstream;
                None
            }
        };
        let Some(pool) = self.pools.get_mut(found.pool) else {
            return Heard::Odd(call);
        };
        match (
            found
                .response
                .feed(data, &mut pool.known, self.limits.result_bytes),
            call,
        ) {
            (Step::More, _) => Heard::More,
            (Step::Ended, None) => {
                self.give(channel, now_s);
                Heard::Ended
            }
            (Step::Message { ended, .. }, None) => {
                self.gathered.clear();
                self.gathered.extend_from_slice(&found.response.body);
                if ended {
                    self.give(channel, now_s);
                }
                Heard::Late {
                    free: ended,
                    upstream: after,
                }
            }
            (Step::Message { place, ended }, Some(call)) => {
                let mut response = std::mem::replace(&mut found.response, Response::new());
                let (message, source) = match place {
                    Where::Data(start) => (&data[start..], Source::Data(start)),
                    Where::Raw(start) => (&response.raw[start..], Source::Gathered(start)),
                    Where::Body => (&response.body[..], Source::Gathered(0)),
                };
                let relayed = self.say(call, message, source, now_s);
                match place {
                    // Whole, so nothing more of it will be asked for.
                    Where::Raw(_) if relayed => {
                        std::mem::swap(&mut self.gathered, &mut response.raw);
                    }
                    Where::Body if relayed => {
                        std::mem::swap(&mut self.gathered, &mut response.body);
                    }
                    _ => {}
                }
                if !relayed && response.raw.is_empty() {
                    response.raw.extend_from_slice(data);
                }
                if let Some(found) = self.channels.get_mut(channel) {
                    found.response = response;
                    if relayed {
                        found.use_ = Use::End {
                            since_s: now_s,
                            upstream: self.answered_by,
                        };
                    }
                }
                if !relayed {
                    return Heard::Odd(Some(call));
                }
                if ended {
                    self.give(channel, now_s);
                }
                Heard::Relayed { free: ended }
            }
            _ => Heard::Odd(call),
        }
    }

    /// Whether the message of a response was passed on.
    fn say(&mut self, call: usize, message: &[u8], source: Source, now_s: f64) -> bool {
        let Ok(found) = json::scan(message, self.limits.depth) else {
            return false;
        };
        let expected = self.pending.get(call).map(|pending| pending.upstream_id);
        let is_it = found.kind == json::MessageKind::Result
            && found.id.and_then(|id| number(id.of(message))) == expected;
        is_it && self.reply(call, message, &found, source, now_s) == Answer::Relayed
    }

    /// The last write was made. What was large in it is given back.
    pub fn written(&mut self) {
        if self.gathered.capacity() > KEPT_BYTES {
            self.gathered = Vec::new();
        }
        if self.scratch.capacity() > KEPT_BYTES {
            self.scratch = Vec::new();
        }
    }

    /// How many calls a connection has carried since this was last asked.
    pub fn take_uses(&mut self, channel: usize) -> u32 {
        self.channels
            .get_mut(channel)
            .map_or(0, |channel| std::mem::take(&mut channel.uses))
    }

    /// Bytes held of the response on a connection.
    #[must_use]
    pub fn held_on(&self, channel: usize) -> usize {
        self.channels
            .get(channel)
            .map_or(0, |channel| channel.response.held())
    }

    /// The relayed call on a connection to a server over HTTP.
    #[must_use]
    pub fn call_on(&self, channel: usize) -> Option<usize> {
        match self.channels.get(channel)?.use_ {
            Use::Call(call) => Some(call),
            _ => None,
        }
    }

    /// Gives a connection back to the slow lane, with all that came of a response that has not ended.
    pub fn take_raw(&mut self, channel: usize) -> Vec<u8> {
        self.keep_back(channel);
        let Some(channel) = self.channels.get_mut(channel) else {
            return Vec::new();
        };
        let raw = std::mem::take(&mut channel.response.raw);
        channel.response.clear();
        raw
    }

    fn reply(
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
        let failed = flow.is_tool
            && message.len() <= JUDGED_BYTES
            && IS_ERROR.find(message).is_some()
            && json::find_member(message, "isError", result)
                .ok()
                .flatten()
                .is_some_and(|span| span.of(message) == b"true");
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
                let mut body = Vec::with_capacity(length);
                let mut at = 0;
                for (span, with) in edits {
                    body.extend_from_slice(&message[at..span.start]);
                    body.extend_from_slice(with);
                    at = span.end;
                }
                body.extend_from_slice(&message[at..]);
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
            let mut buffer = done.message;
            if self.spare.len() < SPARE && buffer.capacity() <= SPARE_BYTES {
                buffer.clear();
                self.spare.push(buffer);
            }
        }
        Answer::Relayed
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

    fn forget(&mut self, call: usize) -> Option<Pending> {
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

    // -- handing over -----------------------------------------------------------------------------------

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

    // -- flows ------------------------------------------------------------------------------------------

    /// Whether the slow lane's decision about the present message could become a flow.
    #[must_use]
    pub const fn has_candidate(&self) -> bool {
        self.candidate.is_some()
    }

    /// The slow lane is done with the present message.
    pub fn drop_candidate(&mut self) {
        self.candidate = None;
        self.decided = None;
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
        let (context, head) = match candidate.place {
            Place::Stream(context) => (context, None),
            Place::Known(head) => (head.context, Some(head)),
            Place::New { before, after } => {
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
        let flow = Rc::new(Flow {
            decision,
            is_tool: candidate.method == Method::ToolsCall,
            tally: std::cell::RefCell::default(),
            counted: std::cell::Cell::new(false),
            freed: self.freed.clone(),
        });
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
        let flow = Rc::new(Flow {
            decision,
            is_tool: decided.flow.is_tool,
            tally: RefCell::default(),
            counted: std::cell::Cell::new(false),
            freed: self.freed.clone(),
        });
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

/// How long a message of `length` is once these ranges are replaced.
fn length_with(edits: &[(Span, &[u8])], length: usize) -> usize {
    edits.iter().fold(length, |length, (span, with)| {
        length - (span.end - span.start) + with.len()
    })
}

/// A positive integer as the relay writes it.
fn number(token: &[u8]) -> Option<u64> {
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

/// A number in decimal, without an allocation.
struct Decimal {
    digits: [u8; 20],
    start: usize,
}

impl Decimal {
    fn new(mut value: u64) -> Self {
        let mut digits = [0; 20];
        let mut start = 20;
        loop {
            start -= 1;
            digits[start] = b'0' + u8::try_from(value % 10).unwrap_or(0);
            value /= 10;
            if value == 0 {
                return Self { digits, start };
            }
        }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.digits[self.start..]
    }
}

/// Puts a write together.
struct Out<'a> {
    pieces: &'a mut Vec<Piece>,
    scratch: &'a mut Vec<u8>,
    /// Where the message begins in the input.
    start: usize,
    /// The message is none of the input, but what a channel has gathered.
    gathered: bool,
}

/// Where a message lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// It begins there in the input.
    Data(usize),
    /// It begins there in what will be `Relay::gathered`.
    Gathered(usize),
}

impl<'a> Out<'a> {
    fn new(pieces: &'a mut Vec<Piece>, scratch: &'a mut Vec<u8>, start: usize) -> Self {
        pieces.clear();
        scratch.clear();
        Self {
            pieces,
            scratch,
            start,
            gathered: false,
        }
    }

    fn input(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        let range = self.start + range.start..self.start + range.end;
        self.pieces.push(if self.gathered {
            Piece::Gathered(range)
        } else {
            Piece::Input(range)
        });
    }

    /// A message of the input with these ranges replaced, which are in order.
    fn edited(&mut self, edits: &[(Span, &[u8])], length: usize) {
        let mut at = 0;
        for (span, with) in edits {
            self.input(at..span.start);
            self.bytes(with);
            at = span.end;
        }
        self.input(at..length);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let from = self.scratch.len();
        self.scratch.extend_from_slice(bytes);
        let to = self.scratch.len();
        match self.pieces.last_mut() {
            Some(Piece::Scratch(last)) if last.end == from => last.end = to,
            _ if from < to => self.pieces.push(Piece::Scratch(from..to)),
            _ => {}
        }
    }
}
