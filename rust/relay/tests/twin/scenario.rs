//! A scenario: one step after the other, each done by the relay and by its twin, which must agree.

use super::answers::{self, ANSWERS, Says};
use super::asks::{Ask, BODY_BYTES, DEPTH, HEADER_BYTES, HttpAsk};
use super::choices::Choices;
use super::framing;
use super::model::{
    Bucket, Call, Client, Decided, Fate, Key, Kind, MOST_IN_FLIGHT, Model, Place, Upstream, Use,
    Way,
};
use std::cell::RefCell;
use std::rc::Rc;
use tidegate_codec::json;
use tidegate_relay as core;

const REQUEST_HEAD: &str = "POST /mcp HTTP/1.1\r\nhost: b\r\ncontent-length: ";
const REPLY_HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
const BOUNDS_S: [f64; 2] = [0.25, 1.0];
/// Longer ones say nothing that shorter ones do not.
const MOST_STEPS: usize = 200;

struct Slow<'a>(&'a Model);

impl core::SlowLane for Slow<'_> {
    fn in_flight(&self) -> usize {
        self.0.slow_in_flight
    }

    fn load(&self, _: usize) -> usize {
        0
    }

    fn has_room(&self, upstream: usize, relayed: usize, most: usize) -> bool {
        assert_eq!(relayed, self.0.calls_at(upstream).len());
        self.0.room && relayed < most
    }

    fn uses(&self, scope: usize, id: &[u8]) -> bool {
        self.0
            .slow_ids
            .iter()
            .any(|(other, own)| *other == scope && own.as_bytes() == id)
    }
}

pub struct Scenario<'a> {
    pub choices: Choices<'a>,
    pub relay: core::Relay,
    pub model: Model,
    pub pools: Vec<usize>,
    scopes: Vec<Rc<core::Scope>>,
    buckets: Vec<Rc<RefCell<core::Bucket>>>,
    serial: usize,
    pub relayed: u64,
    /// All that the relay did, in order.
    log: Vec<Vec<u8>>,
}

const LIMITS: core::Limits = core::Limits {
    in_flight: MOST_IN_FLIGHT,
    header_bytes: HEADER_BYTES,
    body_bytes: BODY_BYTES,
    result_bytes: 256 * 1024,
    depth: DEPTH,
};

/// All that was written and handed over in the scenario that these bytes stand for.
///
/// # Panics
/// Where relay and twin part.
pub fn play(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut scenario = Scenario {
        pools: Vec::new(),
        choices: Choices::new(bytes),
        relay: core::Relay::new(LIMITS, &BOUNDS_S),
        model: Model::new(),
        scopes: Vec::new(),
        buckets: Vec::new(),
        serial: 0,
        relayed: 0,
        log: Vec::new(),
    };
    scenario.add_client(Kind::Http);
    scenario.add_client(Kind::Stream);
    scenario.add_upstream(None);
    let pool = scenario.relay.add_pool();
    scenario.pools.push(pool);
    scenario.add_channel(pool);
    scenario.add_upstream(Some(pool));
    for _ in 0..MOST_STEPS {
        if scenario.choices.done() {
            break;
        }
        scenario.step();
        scenario.compare();
    }
    scenario.log
}

impl Scenario<'_> {
    fn step(&mut self) {
        match self.choices.below(32) {
            0..=7 => self.ask_over_http(),
            8..=12 => self.ask_on_stream(),
            13..=16 => self.answer(),
            17..=18 => self.hear(),
            19 => self.lend(),
            20 => self.add_client(Kind::Http),
            21 => self.add_client(Kind::Stream),
            22 => self.remove_client(),
            23 => {
                let pools: Vec<_> = self.pools.iter().copied().map(Some).chain([None]).collect();
                let pool = *self.choices.one_of(&pools);
                self.add_upstream(pool);
            }
            24 => self.end_upstream(),
            25 => self.void(),
            26 => self.take(),
            27 => self.model.now += 1 + self.choices.below(8) as u64,
            28 => self.close_scope(),
            29 => self.slow_lane(),
            30 => self.count(),
            _ => self.ask_something_else(),
        }
    }

    pub fn now_s(&self) -> f64 {
        f64::from(u32::try_from(self.model.now).unwrap()) / 4.0
    }

    pub fn note(&mut self, what: &str, bytes: &[u8]) {
        self.log.push([what.as_bytes(), bytes].concat());
    }

    fn client(&mut self, kind: Kind) -> Option<usize> {
        let all: Vec<_> = self
            .model
            .clients
            .iter()
            .filter(|(_, client)| client.kind == kind)
            .map(|(&number, _)| number)
            .collect();
        (!all.is_empty()).then(|| *self.choices.one_of(&all))
    }

    fn upstream(&mut self) -> Option<usize> {
        let all: Vec<_> = self.model.upstreams.keys().copied().collect();
        (!all.is_empty()).then(|| *self.choices.one_of(&all))
    }

    // -- who is there -----------------------------------------------------------------------------------

    fn add_client(&mut self, kind: Kind) {
        let number = match kind {
            Kind::Http => self.relay.add_http(),
            Kind::Stream => self.relay.add_stream(),
        };
        self.serial += 1;
        let serial = self.serial;
        let there = self.model.clients.insert(number, Client { kind, serial });
        assert!(there.is_none());
    }

    fn remove_client(&mut self) {
        let kind = if self.choices.flag() {
            Kind::Http
        } else {
            Kind::Stream
        };
        if let Some(client) = self.client(kind) {
            self.take_all(self.relay.calls_of(client));
            self.relay.remove_client(client);
            self.model.clients.remove(&client);
        }
    }

    fn add_upstream(&mut self, pool: Option<usize>) {
        let number = self.relay.add_upstream(pool);
        let upstream = Upstream {
            open: true,
            next_id: 1,
            pool,
        };
        assert!(self.model.upstreams.insert(number, upstream).is_none());
    }

    fn end_upstream(&mut self) {
        let Some(number) = self.upstream() else {
            return;
        };
        self.relay.close_upstream(number);
        self.model.upstreams.get_mut(&number).unwrap().open = false;
        if self.choices.flag() {
            self.take_all(self.relay.calls_at(number));
            self.relay.remove_upstream(number);
            self.model.upstreams.remove(&number);
            self.model.flows.clear();
            for channel in self.model.channels.values_mut() {
                if let Use::End(since, of) = channel.use_
                    && of == number
                {
                    channel.use_ = Use::End(since, usize::MAX);
                }
            }
        }
    }

    fn close_scope(&mut self) {
        if !self.scopes.is_empty() {
            let scope = self.choices.below(self.scopes.len());
            if self.choices.flag() {
                self.take_all(self.relay.calls_in(&self.scopes[scope].clone()));
            }
            self.scopes[scope].close();
            self.model.scopes[scope] = true;
        }
    }

    /// The slow lane has calls of its own.
    fn slow_lane(&mut self) {
        match self.choices.below(4) {
            0 => self.model.slow_in_flight = self.choices.below(MOST_IN_FLIGHT + 1),
            1 => self.model.room = self.choices.flag(),
            2 => {
                let scope = self.choices.below(4);
                let id = Ask::chosen(&mut self.choices).id();
                self.model.slow_ids = vec![(scope, id)];
            }
            _ => {
                if let Some(number) = self.upstream() {
                    let upstream = self.model.upstreams.get_mut(&number).unwrap();
                    assert_eq!(self.relay.next_id(number), upstream.next_id);
                    upstream.next_id += 1;
                }
            }
        }
    }

    fn void(&mut self) {
        if self.choices.flag() {
            self.relay.void();
        } else {
            self.relay.take_up(LIMITS);
        }
        assert_eq!(self.relay.flows(), 0);
        self.model.flows.clear();
    }

    // -- requests ---------------------------------------------------------------------------------------

    fn ask_over_http(&mut self) {
        let Some(client) = self.client(Kind::Http) else {
            return;
        };
        let ask = HttpAsk::chosen(&mut self.choices);
        let data = ask.text().into_bytes();
        let fate = self.model.http(client, &ask);
        let now_s = self.now_s();
        let asked = self.relay.http(client, &data, now_s, &Slow(&self.model));
        self.asked(client, &ask.ask, ask.head().len(), &data, fate, asked);
    }

    fn ask_on_stream(&mut self) {
        let Some(client) = self.client(Kind::Stream) else {
            return;
        };
        let ask = Ask::chosen(&mut self.choices);
        let data = ask.text().as_bytes().to_vec();
        let fate = self.model.message(client, &ask);
        let now_s = self.now_s();
        let asked = self.relay.message(client, &data, now_s, &Slow(&self.model));
        self.asked(client, &ask, 0, &data, fate, asked);
    }

    fn asked(
        &mut self,
        client: usize,
        ask: &Ask,
        start: usize,
        data: &[u8],
        fate: Fate,
        asked: core::Asked,
    ) {
        self.note(&format!("{asked:?} "), data);
        match fate {
            Fate::Busy => {
                assert_eq!(asked, core::Asked::Busy);
                assert!(!self.relay.has_candidate());
                self.take_all(self.relay.calls_of(client));
            }
            Fate::Slow(key) => {
                assert_eq!(asked, core::Asked::Slow);
                assert_eq!(
                    self.relay.has_candidate(),
                    key.is_some(),
                    "{}",
                    String::from_utf8_lossy(data)
                );
                self.decide(client, ask, start, data, key);
            }
            Fate::Relayed(tag) => {
                assert_eq!(asked, core::Asked::Relayed);
                assert!(!self.relay.has_candidate());
                let decided = self.model.decided[tag].clone();
                let channel = match self.model.way(&decided) {
                    Way::On(channel) => Some(channel),
                    _ => None,
                };
                let call = Call {
                    channel,
                    client,
                    upstream: decided.upstream,
                    upstream_id: self.next_id(decided.upstream),
                    own_id: ask.id(),
                    request: data.to_vec(),
                    start,
                    over_http: self.model.clients[&client].kind == Kind::Http,
                    tag,
                    began: self.model.now,
                };
                let line = ask.written(&call.upstream_id.to_string(), decided.name);
                let written = self.written(data);
                if let Some(channel) = channel {
                    assert_eq!(self.relay.to, core::To::Channel(channel));
                    let request = format!("{REQUEST_HEAD}{}\r\n\r\n{line}", line.len());
                    assert_eq!(String::from_utf8_lossy(&written), request);
                    self.model
                        .put(channel, Use::Call(call.upstream, call.upstream_id));
                } else {
                    assert_eq!(self.relay.to, core::To::Upstream(decided.upstream));
                    assert_eq!(String::from_utf8_lossy(&written), line + "\n");
                }
                self.model.calls.push(call);
            }
        }
    }

    fn next_id(&mut self, upstream: usize) -> u64 {
        let upstream = self.model.upstreams.get_mut(&upstream).unwrap();
        upstream.next_id += 1;
        upstream.next_id - 1
    }

    /// What is written now.
    fn written(&mut self, input: &[u8]) -> Vec<u8> {
        let written = framing::written(&self.relay, input);
        self.note(&format!("to {:?} ", self.relay.to), &written);
        written
    }

    /// The slow lane has decided, or not.
    fn decide(&mut self, client: usize, ask: &Ask, start: usize, data: &[u8], key: Option<Key>) {
        let message = &data[start..];
        let what = self.choices.below(8);
        let (Some(upstream), 0..=5) = (self.upstream(), what) else {
            self.relay.drop_candidate();
            return;
        };
        let tag = self.model.decided.len();
        let is_tool = key.as_ref().is_some_and(|key| key.2 == 1);
        let decided = self.decision(upstream, is_tool);
        let decision = self.as_core(tag, &decided);
        let installed = match what {
            0 => {
                // Something may have changed while it was decided.
                self.void();
                self.relay.install(message, decision)
            }
            1 => self.relay.install(&message[1..], decision),
            _ => self.relay.install(message, decision),
        };
        assert_eq!(installed, what > 1 && key.is_some());
        assert!(!self.relay.has_candidate());
        self.model.decided.push(decided);
        if let (true, Some(key)) = (installed, key) {
            self.model.flows.insert(key, tag);
            if what == 5 {
                self.adopt(client, ask, start, data, tag);
            }
        }
        self.relay.drop_candidate();
        assert!(!self.relay.adopt(1, 0.0, None));
    }

    /// The slow lane has sent it, and leaves the rest to the relay.
    fn adopt(&mut self, client: usize, ask: &Ask, start: usize, data: &[u8], tag: usize) {
        if self.choices.flag() {
            self.void();
        }
        let upstream = self.model.decided[tag].upstream;
        let pool = self.model.upstreams[&upstream].pool;
        let free = self
            .model
            .channels
            .iter()
            .find(|(_, channel)| Some(channel.pool) == pool && channel.use_ == Use::Slow);
        let channel = free.map(|(&number, _)| number);
        if pool.is_some() && channel.is_none() {
            return;
        }
        let upstream_id = self.next_id(upstream);
        assert_eq!(self.relay.next_id(upstream), upstream_id);
        assert!(self.relay.adopt(upstream_id, self.now_s(), channel));
        if let Some(channel) = channel {
            self.model.put(channel, Use::Call(upstream, upstream_id));
        }
        self.model.calls.push(Call {
            channel,
            client,
            upstream,
            upstream_id,
            own_id: ask.id(),
            request: data.to_vec(),
            start,
            over_http: self.model.clients[&client].kind == Kind::Http,
            tag,
            began: self.model.now,
        });
    }

    fn decision(&mut self, upstream: usize, is_tool: bool) -> Decided {
        let different = self.choices.below(64);
        let mut decided = Decided {
            upstream,
            name: None,
            complete: different & 1 != 0,
            foreign: None,
            coding: None,
            compressed: (0, 0),
            may_task: different & 2 != 0,
            most: 100,
            bucket: None,
            scope: None,
            is_tool,
        };
        if different & 4 != 0 {
            decided.name = Some("\"its own \\\"name\\\"\"");
            decided.foreign = Some("foreign");
        }
        if different & 8 != 0 {
            decided.coding = *self.choices.one_of(&[Some("gzip"), Some("zstd")]);
            decided.compressed = *self.choices.one_of(&[(0, 10_000), (1000, 5000), (0, 60)]);
        }
        if different & 16 != 0 {
            decided.most = self.choices.below(4);
            decided.bucket = Some(self.bucket());
        }
        if different & 32 != 0 {
            decided.scope = Some(self.scope());
        }
        decided
    }

    fn as_core(&self, tag: usize, decided: &Decided) -> core::Decision {
        let typed = ("resultType".into(), Some(b"\"complete\"".as_slice().into()));
        let words = |words: &[&str]| core::Words::new(words.iter().map(ToString::to_string));
        let fitting = Rc::new(core::Fitting {
            members: words(&["resultType"]),
            place: "links".into(),
            words: words(decided.foreign.as_slice()),
            ..core::Fitting::default()
        });
        core::Decision {
            tag,
            upstream: decided.upstream,
            request_head: self.model.upstreams[&decided.upstream]
                .pool
                .map(|_| REQUEST_HEAD.as_bytes().into()),
            repeatable: decided.complete,
            name: decided.name.map(|name| name.as_bytes().into()),
            reply_head: REPLY_HEAD.as_bytes().into(),
            coding: match decided.coding {
                Some("gzip") => core::Coding::Gzip,
                Some(_) => core::Coding::Zstd,
                None => core::Coding::None,
            },
            compressed_bytes: decided.compressed,
            meta: core::Meta::default(),
            answers: if decided.complete {
                core::Answers {
                    untyped: core::Edit::Set([typed].into()),
                    complete: core::Edit::Pass,
                }
            } else {
                core::Answers {
                    untyped: match decided.foreign {
                        None => core::Edit::Pass,
                        Some(_) => core::Edit::Fit(fitting.clone()),
                    },
                    complete: core::Edit::Fit(fitting),
                }
            },
            in_turn: false,
            odd_words: decided
                .may_task
                .then(|| core::finder(b"\"task\""))
                .into_iter()
                .collect(),
            max_in_flight: decided.most,
            bucket: decided.bucket.map(|bucket| self.buckets[bucket].clone()),
            scope: decided.scope.map(|scope| self.scopes[scope].clone()),
        }
    }

    fn bucket(&mut self) -> usize {
        let number = self.choices.below(3);
        if number >= self.buckets.len() {
            let (rate_per_s, burst) = *self.choices.one_of(&[(1, 1), (2, 3), (0, 1), (5, 2)]);
            self.model.buckets.push(Bucket {
                rate_per_s,
                burst,
                quarters: burst * 4,
                seen: self.model.now,
            });
            let real = |whole: u64| f64::from(u32::try_from(whole).unwrap());
            let bucket = core::Bucket::new(real(rate_per_s), real(burst), self.now_s());
            self.buckets.push(Rc::new(RefCell::new(bucket)));
        }
        number.min(self.buckets.len() - 1)
    }

    fn scope(&mut self) -> usize {
        let number = self.choices.below(4);
        if number >= self.scopes.len() {
            self.model.scopes.push(false);
            self.scopes.push(core::Scope::new(self.scopes.len()));
        }
        number.min(self.scopes.len() - 1)
    }

    /// Nobody knows what it means: if it is relayed, then by the rules.
    fn ask_something_else(&mut self) {
        let over_http = self.choices.flag();
        let kind = if over_http { Kind::Http } else { Kind::Stream };
        let Some(client) = self.client(kind) else {
            return;
        };
        let ask = HttpAsk::chosen(&mut self.choices);
        let mut data = if over_http {
            ask.text().into_bytes()
        } else {
            ask.ask.text().as_bytes().to_vec()
        };
        for _ in 0..=self.choices.below(3) {
            let at = (self.choices.below(256) * 256 + self.choices.below(256)) % (data.len() + 1);
            let until = (at + self.choices.below(4)).min(data.len());
            let with = self.choices.bytes();
            data.splice(at..until, with[..with.len().min(40)].iter().copied());
        }
        let now_s = self.now_s();
        let asked = if over_http {
            self.relay.http(client, &data, now_s, &Slow(&self.model))
        } else {
            self.relay.message(client, &data, now_s, &Slow(&self.model))
        };
        self.note(&format!("{asked:?} "), &data);
        self.relay.drop_candidate();
        match asked {
            core::Asked::Slow => {}
            core::Asked::Busy => {
                self.take_all(self.relay.calls_of(client));
            }
            core::Asked::Relayed => self.relayed_unknown(client, over_http, &data),
        }
    }

    fn relayed_unknown(&mut self, client: usize, over_http: bool, data: &[u8]) {
        let start = if over_http {
            framing::whole_request(data).expect("one whole request").1
        } else {
            0
        };
        let message = &data[start..];
        let found = json::scan(message, DEPTH).expect("a message");
        let line = self.written(data);
        let call = *self.relay.calls_of(client).last().unwrap();
        let taken = self.relay.take(call).unwrap();
        assert_eq!((&*taken.request, taken.message), (data, start));
        let decided = self.model.decided[taken.tag].clone();
        assert_eq!(taken.upstream_id, self.next_id(decided.upstream));
        if let Some(bucket) = decided.bucket {
            assert!(self.model.buckets[bucket].take(self.model.now));
        }
        if let Some(channel) = taken.channel {
            assert_eq!(self.model.way(&decided), Way::On(channel));
            self.model.put(channel, Use::Slow);
        }
        let id = taken.upstream_id.to_string();
        let mut edits = vec![(found.id.unwrap(), id.as_bytes())];
        edits.extend(Some(found.name.unwrap()).zip(decided.name.map(str::as_bytes)));
        edits.sort_by_key(|(span, _)| span.start);
        let expected = json::splice(message, &edits).unwrap();
        if taken.channel.is_some() {
            let head = format!("{REQUEST_HEAD}{}\r\n\r\n", expected.len());
            assert_eq!(line, [head.as_bytes(), &expected].concat());
        } else {
            assert_eq!(line, [&*expected, b"\n"].concat());
        }
        framing::same_but_for_id_and_name(message, &expected, taken.upstream_id, decided.name);
    }

    // -- answers ----------------------------------------------------------------------------------------

    fn answer(&mut self) {
        let Some(upstream) = self.upstream() else {
            return;
        };
        if self.model.upstreams[&upstream].pool.is_some() {
            return self.hear();
        }
        let waiting: Vec<Call> = self.model.calls_at(upstream).into_iter().cloned().collect();
        let asked = (!waiting.is_empty()).then(|| self.choices.one_of(&waiting).clone());
        let (id, whose) = match self.choices.below(16) {
            0 => ("77777".to_owned(), None),
            1 => ("\"1\"".to_owned(), None),
            2 => ("18446744073709551617".to_owned(), None),
            _ => match asked {
                Some(call) => (call.upstream_id.to_string(), Some(call)),
                None => ("99999".to_owned(), None),
            },
        };
        let number = self.choices.below(ANSWERS.len());
        let message = answers::text(number, &id).into_bytes();
        let now_s = self.now_s();
        let answer = self.relay.answer(upstream, &message, now_s);
        self.note(&format!("{answer:?} "), &message);
        let Some(call) = whose.filter(|_| ANSWERS[number].1 != Says::Other) else {
            if ANSWERS[number].1 == Says::Other {
                assert_eq!(answer, core::Answer::Other);
                self.take_all(self.relay.calls_at(upstream));
            } else {
                assert_eq!(answer, core::Answer::Foreign);
            }
            return;
        };
        let decided = self.model.decided[call.tag].clone();
        if !answers::passes(number, &decided, call.over_http) {
            let core::Answer::Promote(given) = answer else {
                panic!("not promoted: {answer:?}");
            };
            let place = self
                .model
                .calls_at(upstream)
                .iter()
                .position(|other| other.upstream_id == call.upstream_id);
            assert_eq!(self.relay.calls_at(upstream)[place.unwrap()], given);
            self.take_all(vec![given]);
            return;
        }
        assert_eq!(answer, core::Answer::Relayed);
        self.passed_on(&call, number, &message);
        // Once and not again.
        assert_eq!(
            self.relay.answer(upstream, &message, now_s),
            core::Answer::Foreign
        );
    }

    /// The client is told, and the call is over.
    pub fn passed_on(&mut self, call: &Call, number: usize, input: &[u8]) {
        let decided = self.model.decided[call.tag].clone();
        assert_eq!(self.relay.to, core::To::Client(call.client));
        let own = answers::passed_on(number, &decided, &call.own_id).into_bytes();
        let written = self.written(input);
        if call.over_http {
            let (coding, range) = (decided.coding, decided.compressed);
            framing::is_reply(&written, REPLY_HEAD, &own, coding, range);
        } else {
            assert_eq!(written, [&*own, b"\n"].concat());
        }
        let this = (call.upstream, call.upstream_id);
        self.model
            .calls
            .retain(|other| (other.upstream, other.upstream_id) != this);
        let counts = self.model.counts.entry(call.tag).or_default();
        if answers::failed(number, &decided) {
            counts.1 += 1;
        } else {
            counts.0 += 1;
        }
        self.relayed += 1;
    }

    fn count(&mut self) {
        let expected = std::mem::take(&mut self.model.counts);
        let mut counted = self.relay.counted();
        counted.sort_by_key(|count| count.tag);
        for count in &counted {
            assert_eq!(count.counts.len(), BOUNDS_S.len() + 1);
            assert_eq!(
                count.counts.iter().sum::<u64>(),
                count.ok + count.tool_error
            );
            assert!(count.sum_s >= 0.0);
        }
        let counted: Vec<_> = counted
            .iter()
            .map(|count| (count.tag, (count.ok, count.tool_error)))
            .collect();
        assert_eq!(counted, expected.into_iter().collect::<Vec<_>>());
    }

    // -- handing over -----------------------------------------------------------------------------------

    fn take(&mut self) {
        let before = self.model.now.saturating_sub(self.choices.below(8) as u64);
        let calls = self
            .relay
            .calls_before(f64::from(u32::try_from(before).unwrap()) / 4.0);
        let mut expected: Vec<_> = self
            .model
            .calls
            .iter()
            .filter(|call| call.began < before)
            .map(|call| (call.upstream, call.upstream_id))
            .collect();
        expected.sort_unstable();
        let taken = self.take_all(calls);
        assert_eq!(taken, expected);
    }

    /// By upstream and id.
    pub fn take_all(&mut self, calls: Vec<usize>) -> Vec<(usize, u64)> {
        let mut all = Vec::new();
        for call in calls {
            let taken = self.relay.take(call).expect("a call");
            assert_eq!(self.relay.take(call), None);
            let place = self.model.calls.iter().position(|call| {
                (call.upstream, call.upstream_id) == (taken.upstream, taken.upstream_id)
            });
            let call = self.model.calls.remove(place.expect("a call of the twin"));
            assert_eq!(taken.request, call.request);
            assert_eq!(taken.channel, call.channel);
            if let Some(channel) = call.channel {
                assert_eq!(taken.raw, self.model.channels[&channel].raw);
                self.model.put(channel, Use::Slow);
            }
            assert_eq!(
                (taken.tag, taken.client, taken.message, taken.began_s * 4.0),
                (
                    call.tag,
                    call.client,
                    call.start,
                    f64::from(u32::try_from(call.began).unwrap())
                )
            );
            self.note("taken ", &taken.request);
            all.push((taken.upstream, taken.upstream_id));
        }
        all
    }

    // -- after each step --------------------------------------------------------------------------------

    fn compare(&self) {
        let (relay, model) = (&self.relay, &self.model);
        assert_eq!(relay.in_flight(), model.calls.len());
        assert_eq!(relay.relayed, self.relayed);
        for (&number, upstream) in &model.upstreams {
            let calls = model.calls_at(number);
            assert_eq!(relay.ids_given(number), upstream.next_id - 1);
            assert_eq!(relay.in_flight_at(number), calls.len());
            assert_eq!(relay.calls_at(number).len(), calls.len());
        }
        self.compare_channels();
        for &number in model.clients.keys() {
            assert_eq!(relay.calls_of(number).len(), model.calls_of(number).len());
        }
        for (number, scope) in self.scopes.iter().enumerate() {
            assert_eq!(relay.calls_in(scope).len(), model.calls_in(number).len());
        }
        // Those that lead nowhere go when they are come upon.
        assert!(relay.flows() <= model.flows.len());
        let tags = relay.tags();
        let in_use = model
            .calls
            .iter()
            .map(|call| call.tag)
            .chain(model.counts.keys().copied());
        for tag in in_use {
            assert!(tags.binary_search(&tag).is_ok());
        }
        for (key, tag) in &model.flows {
            let decided = &model.decided[*tag];
            let usable = decided.scope.is_none_or(|scope| !model.scopes[scope])
                && model
                    .upstreams
                    .get(&decided.upstream)
                    .is_some_and(|upstream| upstream.open);
            assert!(!usable || tags.binary_search(tag).is_ok());
            assert!(!matches!(key.0, Place::Stream(0)));
        }
    }
}
