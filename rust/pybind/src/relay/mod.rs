//! The relay's driver: protocol objects that asyncio and uvloop call, and what they write to.
//!
//! Each stands before a protocol of Python's, which has the connection whenever the relay has not: all calls of the
//! event loop go through here, and those that are not the relay's go on to it. Nothing is borrowed while Python runs,
//! for it may come back.

mod behind;
mod bucket;
mod channel;
mod handing_over;
mod http;
mod lines;
mod load;
mod ports;
mod said;
mod scope;
mod stream;
mod upstream;
mod writing;

pub use bucket::Bucket;
pub use channel::{HttpChannel, HttpPool};
pub use http::HttpDownstream;
pub use lines::LineUpstream;
pub use scope::Scope;
pub use stream::StreamDownstream;
pub use upstream::Upstream;

use handing_over::Why;
use load::Slow;
use ports::{ChannelPort, ClientPort, GONE, Ports, UpstreamPort, place, place_at};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::cell::{Cell, RefCell};
use std::time::Instant;
use tidegate_relay as core;

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

impl Relay {
    /// A client, reached by `transport` and by `slow`, the protocol of the slow lane. `stream`: it speaks in lines.
    fn add_client(
        &self,
        slow: Py<PyAny>,
        transport: &Bound<'_, PyAny>,
        stream: bool,
    ) -> PyResult<usize> {
        let port = ClientPort {
            slow,
            write: transport
                .getattr(intern!(transport.py(), "write"))?
                .unbind(),
            paused: false,
            stream,
        };
        let client = if stream {
            self.core.borrow_mut().add_stream()
        } else {
            self.core.borrow_mut().add_http()
        };
        place_at(&mut self.ports.borrow_mut().clients, client, port);
        Ok(client)
    }

    /// It is gone. Its calls must have been handed over before.
    fn remove_client(&self, client: usize) {
        if let Some(port) = self.ports.borrow_mut().clients.get_mut(client) {
            *port = None;
        }
        self.core.borrow_mut().remove_client(client);
    }

    fn now_s(&self) -> f64 {
        self.start_s + self.started.elapsed().as_secs_f64()
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
}

/// A decision, calls that went well, tool errors, calls by duration, seconds.
type Count = (Py<PyAny>, u64, u64, Vec<u64>, f64);

/// A decision, whether the tool failed, when the call came and ended.
type Ended = (Py<PyAny>, bool, f64, f64);

/// A decision, calls that went well, tool errors, seconds, when the last one ended, calls by bucket of duration.
type Listed = (Py<PyAny>, u64, u64, f64, f64, Vec<(usize, u64)>);

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
        self.ports.borrow().slow_of(py, &channels)
    }

    /// Connections to HTTP servers that have not ended a response since then, though they have answered.
    fn unended(&self, py: Python<'_>, before_s: f64) -> Vec<Py<PyAny>> {
        let channels = self.core.borrow_mut().take_unended(before_s);
        self.ports.borrow().slow_of(py, &channels)
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
