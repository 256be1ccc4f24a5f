//! The relay's driver: protocol objects that asyncio and uvloop call, and what they write to.
//!
//! Each stands before a protocol of Python's, which has the connection whenever the relay has not: all calls of the
//! event loop go through here, and those that are not the relay's go on to it. Nothing is borrowed while Python runs,
//! for it may come back.

mod channel;
mod http;
mod lines;
mod stream;
mod upstream;

pub use channel::{HttpChannel, HttpPool};
pub use http::HttpDownstream;
pub use lines::LineUpstream;
pub use stream::StreamDownstream;
pub use upstream::Upstream;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;
use tidegate_relay as core;

/// A token bucket that slow lane and relay share.
#[pyclass(unsendable, module = "tidegate._native")]
pub struct Bucket(Rc<RefCell<core::Bucket>>);

#[pymethods]
impl Bucket {
    #[new]
    fn new(rate_per_s: f64, burst: f64, now_s: f64) -> Self {
        Self(Rc::new(RefCell::new(core::Bucket::new(
            rate_per_s, burst, now_s,
        ))))
    }

    fn take(&self, now_s: f64) -> bool {
        self.0.borrow_mut().take(now_s)
    }

    fn spend(&self, tokens: f64, now_s: f64) -> f64 {
        self.0.borrow_mut().spend(tokens, now_s)
    }

    fn wait_s(&self) -> f64 {
        self.0.borrow().wait_s()
    }
}

/// Where ids are told apart: a session, or a stream of a client.
#[pyclass(unsendable, module = "tidegate._native")]
pub struct Scope {
    relay: Py<Relay>,
    scope: Rc<core::Scope>,
}

#[pymethods]
impl Scope {
    #[getter]
    fn in_flight(&self, py: Python<'_>) -> usize {
        let relay = self.relay.borrow(py);
        relay.core.borrow().calls_in(&self.scope).len()
    }

    fn settle(&self, py: Python<'_>) {
        let relay = self.relay.borrow(py);
        let calls = relay.core.borrow().calls_in(&self.scope);
        relay.hand_over(py, calls, Why::Session);
    }

    fn close(&self, py: Python<'_>) {
        self.settle(py);
        self.scope.close();
        let relay = self.relay.borrow(py);
        relay.ports.borrow_mut().scopes[self.scope.tag] = None;
    }
}

/// A client, as the relay reaches it.
struct ClientPort {
    /// The protocol of the slow lane.
    slow: Py<PyAny>,
    /// `transport.write`; `None` once the connection is gone.
    write: Option<Py<PyAny>>,
    /// The transport holds as much as it wants to.
    paused: bool,
    /// Streams: each message is a line.
    stream: bool,
}

/// A conversation with a server, as the relay reaches it.
struct UpstreamPort {
    /// `transport.write`; `None` over HTTP.
    write: Option<Py<PyAny>>,
    /// What the slow lane writes by: `queued_bytes`. `None` over HTTP.
    writer: Option<Py<PyAny>>,
    /// The connection: `line`.
    connection: Py<PyAny>,
    /// Its calls.
    pending: Py<PyDict>,
    paused: bool,
}

/// A connection to a server over HTTP, as the relay reaches it.
struct ChannelPort {
    /// The protocol of the slow lane.
    slow: Py<PyAny>,
    write: Py<PyAny>,
    /// Of the slow lane: calls that wait for a connection.
    queue: Py<PyAny>,
}

#[derive(Default)]
struct Ports {
    clients: Vec<Option<ClientPort>>,
    upstreams: Vec<Option<UpstreamPort>>,
    channels: Vec<Option<ChannelPort>>,
    /// Ids in use by the slow lane.
    scopes: Vec<Option<Py<PyDict>>>,
    /// By tag.
    decisions: Vec<Option<Py<PyAny>>>,
    /// Tags of none.
    free: Vec<usize>,
}

/// A part of a write that is as long is not joined with others.
const LONG_BYTES: usize = 16 * 1024;

/// The relay of one gateway.
#[pyclass(unsendable, module = "tidegate._native")]
pub struct Relay {
    core: RefCell<core::Relay>,
    ports: RefCell<Ports>,
    /// Of the write that is being put together.
    joined: RefCell<Vec<u8>>,
    admission: Py<PyAny>,
    /// Called when the first call comes after a rest.
    woken: Py<PyAny>,
    awake: Cell<bool>,
    on: Cell<bool>,
    started: Instant,
    start_s: f64,
    /// Calls that were handed over, by `Why`.
    handed_over: Cell<[u64; Why::NAMES.len()]>,
    /// Called when many calls are in the journal; `None`: nobody wants it.
    journal: RefCell<Option<Py<PyAny>>>,
}

/// What has a call handed over.
#[derive(Clone, Copy)]
enum Why {
    /// Its client left, or did something else meanwhile.
    Client,
    /// Its server is gone, or said what is not the call's plain result.
    Server,
    /// Its session or stream is to know all of its calls.
    Session,
    /// It takes long.
    Slow,
    /// All calls are to be the slow lane's: the relay is turned off, the gateway stops.
    All,
}

impl Why {
    const NAMES: [&str; 5] = ["client", "server", "session", "slow", "all"];
}

/// What the slow lane has in hand, looked up when asked.
struct Slow<'a, 'py> {
    py: Python<'py>,
    relay: &'a Relay,
}

impl core::SlowLane for Slow<'_, '_> {
    fn in_flight(&self) -> usize {
        let admission = self.relay.admission.bind(self.py);
        admission
            .getattr(intern!(self.py, "in_flight"))
            .and_then(|count| count.extract())
            .unwrap_or(usize::MAX / 2)
    }

    fn load(&self, upstream: usize) -> usize {
        let ports = self.relay.ports.borrow();
        let port = ports.upstreams.get(upstream).and_then(Option::as_ref);
        port.map_or(0, |port| port.pending.bind(self.py).len())
    }

    fn has_room(&self, upstream: usize, relayed: usize, most: usize) -> bool {
        let ports = self.relay.ports.borrow();
        let Some(Some(port)) = ports.upstreams.get(upstream) else {
            return false;
        };
        let py = self.py;
        let nobody_waits = |object: &Py<PyAny>| {
            object
                .bind(py)
                .getattr(intern!(py, "line"))
                .is_ok_and(|line| line.is_none())
        };
        let nothing_queued = |object: &Py<PyAny>| {
            object
                .bind(py)
                .getattr(intern!(py, "queued_bytes"))
                .and_then(|bytes| bytes.extract::<usize>())
                .is_ok_and(|bytes| bytes == 0)
        };
        !port.paused
            && port.pending.bind(py).len() + relayed < most
            && nobody_waits(&port.connection)
            && port.writer.as_ref().is_none_or(nothing_queued)
    }

    fn uses(&self, scope: usize, id: &[u8]) -> bool {
        let ports = self.relay.ports.borrow();
        let Some(Some(ids)) = ports.scopes.get(scope) else {
            return true;
        };
        let ids = ids.bind(self.py);
        !ids.is_empty() && ids.contains(PyBytes::new(self.py, id)).unwrap_or(true)
    }
}

/// Puts `thing` into the first free place, or a new one.
fn place<T>(places: &mut Vec<Option<T>>, thing: T) -> usize {
    if let Some(at) = places.iter().position(Option::is_none) {
        places[at] = Some(thing);
        at
    } else {
        places.push(Some(thing));
        places.len() - 1
    }
}

/// As `place`, where the number is given.
fn place_at<T>(places: &mut Vec<Option<T>>, at: usize, thing: T) {
    while places.len() <= at {
        places.push(None);
    }
    places[at] = Some(thing);
}

impl Relay {
    fn now_s(&self) -> f64 {
        self.start_s + self.started.elapsed().as_secs_f64()
    }

    /// What to write the core's last write by, and whether it must be written in one.
    fn writer(&self, py: Python<'_>) -> Option<(Py<PyAny>, bool)> {
        let ports = self.ports.borrow();
        match self.core.borrow().to {
            core::To::Upstream(at) => {
                let upstream = ports.upstreams.get(at)?.as_ref()?;
                Some((upstream.write.as_ref()?.clone_ref(py), false))
            }
            core::To::Channel(at) => {
                let channel = ports.channels.get(at)?.as_ref()?;
                Some((channel.write.clone_ref(py), false))
            }
            core::To::Client(at) => {
                let client = ports.clients.get(at)?.as_ref()?;
                if client.stream && client.paused {
                    // It is asked there whether the client reads at all.
                    let write = client.slow.getattr(py, intern!(py, "write_line")).ok()?;
                    return Some((write, true));
                }
                Some((client.write.as_ref()?.clone_ref(py), false))
            }
        }
    }

    /// The bytes of the core's last write; `input` is the message that it was made of. A long part is by itself, so that it
    /// is copied once.
    fn written<'py>(&self, py: Python<'py>, input: &[u8], whole: bool) -> Vec<Bound<'py, PyBytes>> {
        let relay = self.core.borrow();
        let mut joined = self.joined.borrow_mut();
        let mut found = Vec::with_capacity(1);
        joined.clear();
        for piece in &relay.pieces {
            let part = match piece {
                core::Piece::Input(range) => &input[range.clone()],
                core::Piece::Scratch(range) => &relay.scratch[range.clone()],
                core::Piece::Gathered(range) => &relay.gathered[range.clone()],
            };
            if whole || part.len() < LONG_BYTES {
                joined.extend_from_slice(part);
            } else {
                if !joined.is_empty() {
                    found.push(PyBytes::new(py, &joined));
                    joined.clear();
                }
                found.push(PyBytes::new(py, part));
            }
        }
        if !joined.is_empty() {
            found.push(PyBytes::new(py, &joined));
        }
        if joined.capacity() > LONG_BYTES * 4 {
            *joined = Vec::new();
        }
        found
    }

    /// Lets go of decisions that no flow and no call is by any more.
    fn free_places(&self) {
        let freed = self.core.borrow_mut().freed();
        let mut ports = self.ports.borrow_mut();
        let gone: Vec<_> = freed
            .iter()
            .map(|&tag| ports.decisions[tag].take())
            .collect();
        ports.free.extend(freed);
        // Their ends may run Python, for which nothing may be borrowed.
        drop(ports);
        drop(gone);
    }

    /// Sends what the core has just made.
    fn flush(&self, py: Python<'_>, input: &[u8]) -> PyResult<()> {
        let writer = self.writer(py);
        let written = writer
            .as_ref()
            .map(|(_, whole)| self.written(py, input, *whole));
        self.core.borrow_mut().written();
        if let (Some((write, _)), Some(written)) = (writer, written) {
            for bytes in written {
                write.call1(py, (bytes,))?;
            }
        }
        Ok(())
    }

    /// As `flush`, where one failure must not keep the rest from being done.
    fn flush_or_tell(&self, py: Python<'_>, input: &[u8]) {
        if let Err(error) = self.flush(py, input) {
            error.write_unraisable(py, None);
        }
    }

    /// Those who wait for room at the server that has just answered are told that there is some.
    fn tell_line(&self, py: Python<'_>) {
        let at = self.core.borrow().answered_by;
        let connection = {
            let ports = self.ports.borrow();
            let port = ports.upstreams.get(at).and_then(Option::as_ref);
            port.map(|port| port.connection.clone_ref(py))
        };
        let told = connection.map(|connection| {
            let line = connection.getattr(py, intern!(py, "line"))?;
            if !line.is_none(py) {
                line.call_method0(py, intern!(py, "moved"))?;
            }
            PyResult::Ok(())
        });
        if let Some(Err(error)) = told {
            error.write_unraisable(py, None);
        }
    }

    fn wake(&self, py: Python<'_>) -> PyResult<()> {
        if !self.awake.replace(true) {
            self.woken.call0(py)?;
        }
        if self.core.borrow().journal.is_long() {
            let told = self
                .journal
                .borrow()
                .as_ref()
                .map(|told| told.clone_ref(py));
            if let Some(told) = told {
                told.call0(py)?;
            }
        }
        Ok(())
    }

    /// What their server did has calls handed over.
    fn promote(&self, py: Python<'_>, calls: Vec<usize>) {
        self.hand_over(py, calls, Why::Server);
    }

    /// The slow lane goes on with these calls.
    fn hand_over(&self, py: Python<'_>, calls: Vec<usize>, why: Why) {
        let mut handed_over = self.handed_over.get();
        handed_over[why as usize] += calls.len() as u64;
        self.handed_over.set(handed_over);
        for call in calls {
            let Some(taken) = self.core.borrow_mut().take(call) else {
                continue;
            };
            let found = {
                let ports = self.ports.borrow();
                let decision = ports.decisions.get(taken.tag).and_then(Option::as_ref);
                let client = ports.clients.get(taken.client).and_then(Option::as_ref);
                let channel = taken
                    .channel
                    .and_then(|at| ports.channels.get(at)?.as_ref());
                decision.zip(client).map(|(decision, client)| {
                    let channel = channel.map(|channel| channel.slow.clone_ref(py));
                    (decision.clone_ref(py), client.slow.clone_ref(py), channel)
                })
            };
            let Some((decision, slow, channel)) = found else {
                continue;
            };
            let request = PyBytes::new(py, &taken.request);
            let told = decision.call_method1(
                py,
                intern!(py, "promote"),
                (
                    slow,
                    request,
                    taken.message,
                    taken.upstream_id,
                    taken.began_s,
                    channel,
                    PyBytes::new(py, &taken.raw),
                ),
            );
            if let Err(error) = told {
                error.write_unraisable(py, None);
            }
        }
    }
}

impl Relay {
    /// Has `noted` by the core what Python says.
    fn note(
        &self,
        py: Python<'_>,
        decision: Bound<'_, PyAny>,
        noted: impl FnOnce(&mut core::Relay, core::Decision) -> bool,
    ) -> PyResult<bool> {
        let said: Said = decision.extract()?;
        self.free_places();
        let mut core = self.core.borrow_mut();
        let mut ports = self.ports.borrow_mut();
        let tag = ports.free.pop().unwrap_or(ports.decisions.len());
        place_at(&mut ports.decisions, tag, decision.unbind());
        let installed = noted(&mut core, said.decision(py, tag));
        if !installed {
            ports.decisions[tag] = None;
            ports.free.push(tag);
        }
        Ok(installed)
    }
}

impl Said {
    fn decision(self, py: Python<'_>, tag: usize) -> core::Decision {
        let coding = match self.coding.as_str() {
            "gzip" => core::Coding::Gzip,
            "zstd" => core::Coding::Zstd,
            _ => core::Coding::None,
        };
        core::Decision {
            tag,
            upstream: self.upstream.borrow(py).number(),
            request_head: self.request_head.map(Vec::into_boxed_slice),
            repeatable: self.repeatable,
            name: self.name.map(Vec::into_boxed_slice),
            reply_head: self.reply_head.into_boxed_slice(),
            coding,
            compressed_bytes: (self.compress_min_bytes, self.compress_max_bytes),
            meta: core::Meta::new(changes(self.meta_changes)),
            answers: core::Answers {
                untyped: edit(self.untyped),
                complete: edit(self.complete),
            },
            odd_words: self
                .odd_words
                .iter()
                .map(|word| core::finder(word))
                .collect(),
            in_turn: self.balance == "round_robin",
            max_in_flight: self.max_in_flight,
            bucket: self.bucket.map(|bucket| bucket.borrow(py).0.clone()),
            scope: self.scope.map(|scope| scope.borrow(py).scope.clone()),
        }
    }
}

/// A decision, calls that went well, tool errors, calls by duration, seconds.
type Count = (Py<PyAny>, u64, u64, Vec<u64>, f64);

/// A decision, whether the tool failed, when the call came and ended.
type Ended = (Py<PyAny>, bool, f64, f64);

/// A decision, calls that went well, tool errors, seconds, when the last one ended, calls by bucket of duration.
type Listed = (Py<PyAny>, u64, u64, f64, f64, Vec<(usize, u64)>);

impl Relay {
    fn slow_of(&self, py: Python<'_>, channels: &[usize]) -> Vec<Py<PyAny>> {
        let ports = self.ports.borrow();
        channels
            .iter()
            .filter_map(|&at| Some(ports.channels.get(at)?.as_ref()?.slow.clone_ref(py)))
            .collect()
    }
}

type Changes = Vec<(String, Option<Vec<u8>>)>;

/// `Fitting` of Python, or members that are set.
#[derive(FromPyObject)]
enum SaidEdit {
    Fit {
        members: Vec<String>,
        entries: Vec<String>,
        structured: Option<Vec<u8>>,
        place: String,
        words: Vec<String>,
    },
    Set(Changes),
}

fn changes(said: Changes) -> Box<[core::Change]> {
    said.into_iter()
        .map(|(key, value)| (key.into(), value.map(Vec::into_boxed_slice)))
        .collect()
}

fn edit(said: Option<SaidEdit>) -> core::Edit {
    match said {
        None => core::Edit::Pass,
        Some(SaidEdit::Set(said)) => core::Edit::Set(changes(said)),
        Some(SaidEdit::Fit {
            members,
            entries,
            structured,
            place,
            words,
        }) => core::Edit::Fit(Rc::new(core::Fitting {
            members: core::Words::new(members),
            entries: core::Words::new(entries),
            structured: structured.map(Vec::into_boxed_slice),
            place: place.into(),
            words: core::Words::new(words),
        })),
    }
}

/// What a decision is made of, as Python says it.
#[derive(FromPyObject)]
struct Said {
    name: Option<Vec<u8>>,
    reply_head: Vec<u8>,
    coding: String,
    compress_min_bytes: usize,
    compress_max_bytes: usize,
    meta_changes: Changes,
    untyped: Option<SaidEdit>,
    complete: Option<SaidEdit>,
    odd_words: Vec<Vec<u8>>,
    balance: String,
    max_in_flight: usize,
    upstream: Py<Upstream>,
    request_head: Option<Vec<u8>>,
    repeatable: bool,
    bucket: Option<Py<Bucket>>,
    scope: Option<Py<Scope>>,
}

#[pymethods]
impl Relay {
    #[new]
    fn new(
        admission: Py<PyAny>,
        woken: Py<PyAny>,
        bounds_s: Vec<f64>,
        now_s: f64,
        on: bool,
    ) -> Self {
        let limits = core::Limits {
            in_flight: 0,
            header_bytes: 0,
            body_bytes: 0,
            result_bytes: 0,
            depth: 0,
        };
        Self {
            core: RefCell::new(core::Relay::new(limits, &bounds_s)),
            ports: RefCell::default(),
            joined: RefCell::default(),
            admission,
            woken,
            awake: Cell::new(false),
            on: Cell::new(on),
            handed_over: Cell::new([0; Why::NAMES.len()]),
            journal: RefCell::new(None),
            started: Instant::now(),
            start_s: now_s,
        }
    }

    fn take_up(
        &self,
        in_flight: usize,
        header_bytes: usize,
        body_bytes: usize,
        result_bytes: usize,
        depth: usize,
    ) {
        self.core.borrow_mut().take_up(core::Limits {
            in_flight,
            header_bytes,
            body_bytes,
            result_bytes,
            depth,
        });
    }

    /// Whether new calls are relayed, where there is a flow for them.
    #[getter]
    fn on(&self) -> bool {
        self.on.get()
    }

    #[setter]
    fn set_on(&self, on: bool) {
        self.on.set(on);
        if !on {
            self.core.borrow_mut().void();
        }
    }

    #[getter]
    fn has_candidate(&self) -> bool {
        self.core.borrow().has_candidate()
    }

    #[getter]
    fn in_flight(&self) -> usize {
        self.core.borrow().in_flight()
    }

    #[getter]
    fn relayed(&self) -> u64 {
        self.core.borrow().relayed
    }

    /// How often all flows were forgotten.
    #[getter]
    fn voided(&self) -> u64 {
        self.core.borrow().voided
    }

    /// Called when many ended calls are kept; whether there is one decides whether any are.
    #[setter]
    fn set_journal(&self, told: Option<Py<PyAny>>) {
        let mut core = self.core.borrow_mut();
        core.journal.kept = told.is_some();
        if told.is_none() {
            core.journal.take();
        }
        *self.journal.borrow_mut() = told;
    }

    /// The calls since the last time, in the order in which they ended: (decision, whether the tool failed, when it
    /// came, when it ended); and how many more there were.
    fn ended(&self, py: Python<'_>) -> (Vec<Ended>, u64) {
        let (ended, lost) = self.core.borrow_mut().journal.take();
        let ports = self.ports.borrow();
        let told = ended.into_iter().filter_map(|call| {
            let decision = ports.decisions.get(call.tag)?.as_ref()?.clone_ref(py);
            let failed = call.outcome == core::Outcome::ToolError;
            Some((decision, failed, call.began_s, call.ended_s))
        });
        (told.collect(), lost)
    }

    /// Each flow that could be used, and what it did so far: (decision, calls that went well, tool errors, seconds,
    /// when the last one ended, (bucket, calls) by duration).
    fn flows(&self, py: Python<'_>) -> Vec<Listed> {
        let totals = self.core.borrow().totals();
        let ports = self.ports.borrow();
        let listed = totals.into_iter().filter_map(|(tag, total)| {
            let decision = ports.decisions.get(tag)?.as_ref()?.clone_ref(py);
            let core::Total {
                ok,
                tool_error,
                sum_s,
                last_s,
                durations,
            } = total;
            Some((decision, ok, tool_error, sum_s, last_s, durations))
        });
        listed.collect()
    }

    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let core = self.core.borrow();
        let found = PyDict::new(py);
        found.set_item("on", self.on.get())?;
        found.set_item("flows", core.flows())?;
        found.set_item("in_flight", core.in_flight())?;
        found.set_item("relayed_total", core.relayed)?;
        found.set_item("installed_total", core.installed)?;
        found.set_item("voided_total", core.voided)?;
        let handed_over = PyDict::new(py);
        for (name, count) in Why::NAMES.iter().zip(self.handed_over.get()) {
            handed_over.set_item(name, count)?;
        }
        found.set_item("handed_over", handed_over)?;
        Ok(found)
    }

    fn scope(slf: Py<Self>, py: Python<'_>, ids: Py<PyDict>) -> Scope {
        let tag = {
            let relay = slf.borrow(py);
            let mut ports = relay.ports.borrow_mut();
            place(&mut ports.scopes, ids)
        };
        Scope {
            relay: slf,
            scope: core::Scope::new(tag),
        }
    }

    fn install(
        &self,
        py: Python<'_>,
        message: &[u8],
        decision: Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        self.note(py, decision, |core, decision| {
            core.install(message, decision)
        })
    }

    /// Calls like the one whose decision was just installed may be given to another replica, too.
    fn share(&self, py: Python<'_>, decision: Bound<'_, PyAny>) -> PyResult<bool> {
        self.note(py, decision, core::Relay::share)
    }

    /// The call whose decision was just installed, in flight under this id, is the relay's from now on.
    #[pyo3(signature = (upstream_id, began_s, channel = None))]
    fn adopt(
        &self,
        py: Python<'_>,
        upstream_id: u64,
        began_s: f64,
        channel: Option<usize>,
    ) -> PyResult<bool> {
        let adopted = self.core.borrow_mut().adopt(upstream_id, began_s, channel);
        if adopted {
            self.wake(py)?;
        }
        Ok(adopted)
    }

    /// Forgets every flow; calls in flight go on as they are.
    fn void(&self) {
        self.core.borrow_mut().void();
        self.free_places();
    }

    /// Hands calls that came before `before_s` over to the slow lane, `most` at once. Whether that was all of them.
    #[pyo3(signature = (before_s, most = usize::MAX))]
    fn promote_before(&self, py: Python<'_>, before_s: f64, most: usize) -> bool {
        let mut calls = self.core.borrow().calls_before(before_s);
        let all = calls.len() <= most;
        calls.truncate(most);
        self.hand_over(py, calls, Why::Slow);
        all
    }

    /// Hands all calls over to the slow lane.
    fn settle(&self, py: Python<'_>) {
        let calls = self.core.borrow().calls_before(f64::INFINITY);
        self.hand_over(py, calls, Why::All);
    }

    /// Counts since the last time: (decision, ok, tool errors, counts by duration, seconds).
    fn counted(&self, py: Python<'_>) -> Vec<Count> {
        let counted = self.core.borrow_mut().counted();
        let ports = self.ports.borrow();
        counted
            .into_iter()
            .filter_map(|count| {
                let decision = ports.decisions.get(count.tag)?.as_ref()?.clone_ref(py);
                Some((
                    decision,
                    count.ok,
                    count.tool_error,
                    count.counts,
                    count.sum_s,
                ))
            })
            .collect()
    }

    /// Connections to HTTP servers that no call has needed since then, and since when: they are the slow lane's again.
    fn unused(&self, py: Python<'_>, before_s: f64) -> Vec<Py<PyAny>> {
        let channels = self.core.borrow_mut().take_unused(before_s);
        self.slow_of(py, &channels)
    }

    /// Connections to HTTP servers that have not ended a response since then, though they have answered.
    fn unended(&self, py: Python<'_>, before_s: f64) -> Vec<Py<PyAny>> {
        let channels = self.core.borrow_mut().take_unended(before_s);
        self.slow_of(py, &channels)
    }

    /// Connections to HTTP servers that are not the slow lane's.
    #[getter]
    fn channels(&self) -> usize {
        self.core.borrow().channels_held()
    }

    /// No call has come for a while: the next one wakes whoever is to look after them.
    fn rest(&self) {
        self.awake.set(false);
    }
}
