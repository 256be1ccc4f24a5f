//! A scenario: one step after the other, each done by the relay and by its twin, which must agree.

mod channels;
mod decisions;
mod oddities;
mod replies;

use super::asks::{Ask, BODY_BYTES, DEPTH, HEADER_BYTES, HttpAsk};
use super::choices::Choices;
use super::framing;
use super::model::{Call, Choice, Client, Fate, Kind, MOST_IN_FLIGHT, Model, Upstream, Use, Way};
use oddities::shaped;
use std::cell::RefCell;
use std::rc::Rc;
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

struct Scenario<'a> {
    choices: Choices<'a>,
    relay: core::Relay,
    model: Model,
    pools: Vec<usize>,
    scopes: Vec<Rc<core::Scope>>,
    buckets: Vec<Rc<RefCell<core::Bucket>>>,
    serial: usize,
    relayed: u64,
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
            13..=15 => self.answer(),
            16 => self.answer_something_else(),
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

    fn now_s(&self) -> f64 {
        f64::from(u32::try_from(self.model.now).unwrap()) / 4.0
    }

    fn note(&mut self, what: &str, bytes: &[u8]) {
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
            Fate::Part => {
                assert_eq!(asked, core::Asked::Part(data.len() + 1));
                assert!(!self.relay.has_candidate());
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
                let line = shaped(line.as_bytes(), decided.told);
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
    fn take_all(&mut self, calls: Vec<usize>) -> Vec<(usize, u64)> {
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
        let open = |choice: &Choice| {
            let tags = choice.tags.iter();
            tags.filter(|&&tag| model.is_open(tag)).count()
        };
        assert_eq!(relay.flows(), model.flows.values().map(open).sum::<usize>());
        let tags = relay.tags();
        let in_use = model
            .calls
            .iter()
            .map(|call| call.tag)
            .chain(model.counts.keys().copied());
        for tag in in_use {
            assert!(tags.binary_search(&tag).is_ok());
        }
        for tag in model.flows.values().flat_map(|choice| &choice.tags) {
            assert!(!model.is_open(*tag) || tags.binary_search(tag).is_ok());
        }
    }
}
