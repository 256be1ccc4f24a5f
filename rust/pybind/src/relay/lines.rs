//! A connection to a server that speaks in lines: a child's pipes, a TCP or unix socket.

use super::{Relay, UpstreamPort, place_at};
use crate::room::room;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use std::cell::{Cell, RefCell};
use tidegate_codec::lines::LineSplitter;
use tidegate_relay as core;

const GONE: usize = usize::MAX;
/// What is thrown away of lines, and need not be told: their ends.
const UNTOLD_BYTES: usize = 4096;

/// Stands before the protocol that reads from the server, cuts what comes into lines, and leaves it those that do not
/// answer a relayed call.
#[pyclass(unsendable, module = "tidegate._native")]
pub struct LineUpstream {
    relay: Py<Relay>,
    upstream: Cell<usize>,
    slow: RefCell<Option<Py<PyAny>>>,
    lines: RefCell<LineSplitter>,
    pending: Cell<usize>,
}

impl LineUpstream {
    pub(super) fn number(&self) -> usize {
        self.upstream.get()
    }

    fn settle_calls(&self, py: Python<'_>, relay: &Relay) {
        let calls = relay.core.borrow().calls_at(self.upstream.get());
        relay.promote(py, calls);
    }

    /// Whether the line is done with.
    fn line(&self, py: Python<'_>, relay: &Relay, line: &[u8], now_s: f64) -> bool {
        let answer = relay
            .core
            .borrow_mut()
            .answer(self.upstream.get(), line, now_s);
        match answer {
            core::Answer::Relayed => {
                relay.flush_or_tell(py, line);
                self.tell_line(py, relay);
                true
            }
            core::Answer::Promote(call) => {
                relay.promote(py, vec![call]);
                false
            }
            core::Answer::Foreign => false,
            core::Answer::Other => {
                self.settle_calls(py, relay);
                false
            }
        }
    }

    /// Those who wait for room are told that there is some.
    fn tell_line(&self, py: Python<'_>, relay: &Relay) {
        let connection = {
            let ports = relay.ports.borrow();
            let port = ports.upstreams.get(self.upstream.get());
            port.and_then(Option::as_ref)
                .map(|port| port.connection.clone_ref(py))
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
}

#[pymethods]
impl LineUpstream {
    #[new]
    fn new(relay: Py<Relay>, slow: Py<PyAny>, max_bytes: usize) -> Self {
        Self {
            relay,
            upstream: Cell::new(GONE),
            slow: RefCell::new(Some(slow)),
            lines: RefCell::new(LineSplitter::new(max_bytes)),
            pending: Cell::new(0),
        }
    }

    /// The connection is open: calls may be written by `write`, beside `writer`.
    fn attach(
        &self,
        py: Python<'_>,
        write: Py<PyAny>,
        writer: Py<PyAny>,
        connection: Py<PyAny>,
        pending: Py<PyDict>,
    ) {
        let relay = self.relay.borrow(py);
        let upstream = relay.core.borrow_mut().add_upstream();
        self.upstream.set(upstream);
        let port = UpstreamPort {
            write: Some(write),
            writer,
            connection,
            pending,
            paused: false,
        };
        place_at(&mut relay.ports.borrow_mut().upstreams, upstream, port);
    }

    #[getter]
    fn attached(&self) -> bool {
        self.upstream.get() != GONE
    }

    /// For a call of the slow lane on this connection.
    fn next_id(&self, py: Python<'_>) -> u64 {
        let relay = self.relay.borrow(py);
        let mut core = relay.core.borrow_mut();
        core.next_id(self.upstream.get())
    }

    #[getter]
    fn ids_given(&self, py: Python<'_>) -> u64 {
        let relay = self.relay.borrow(py);
        let core = relay.core.borrow();
        core.ids_given(self.upstream.get())
    }

    /// Relayed calls.
    #[getter]
    fn in_flight(&self, py: Python<'_>) -> usize {
        let relay = self.relay.borrow(py);
        let core = relay.core.borrow();
        core.in_flight_at(self.upstream.get())
    }

    #[setter]
    fn set_paused(&self, py: Python<'_>, paused: bool) {
        let relay = self.relay.borrow(py);
        if let Some(Some(port)) = relay
            .ports
            .borrow_mut()
            .upstreams
            .get_mut(self.upstream.get())
        {
            port.paused = paused;
        }
    }

    /// Nothing new goes there; what is in flight becomes the slow lane's.
    fn close(&self, py: Python<'_>) {
        let relay = self.relay.borrow(py);
        relay.core.borrow_mut().close_upstream(self.upstream.get());
        self.settle_calls(py, &relay);
    }

    /// It is gone for good.
    fn detach(&self, py: Python<'_>) {
        self.close(py);
        let upstream = self.upstream.replace(GONE);
        let relay = self.relay.borrow(py);
        relay.core.borrow_mut().remove_upstream(upstream);
        if let Some(port) = relay.ports.borrow_mut().upstreams.get_mut(upstream) {
            *port = None;
        }
    }

    /// Bytes of a line that has begun and not ended.
    #[getter]
    fn pending(&self) -> usize {
        self.pending.get()
    }

    fn connection_made(&self, py: Python<'_>, transport: Py<PyAny>) -> PyResult<()> {
        let slow = self.slow.borrow().as_ref().map(|slow| slow.clone_ref(py));
        if let Some(slow) = slow {
            slow.call_method1(py, intern!(py, "connection_made"), (transport,))?;
        }
        Ok(())
    }

    fn data_received(&self, py: Python<'_>, data: Bound<'_, PyBytes>) -> PyResult<()> {
        let bytes = data.as_bytes();
        let before = self.pending.get();
        if room((before + bytes.len()) * 3).is_err() {
            let slow = self.slow.borrow().as_ref().map(|slow| slow.clone_ref(py));
            if let Some(slow) = slow {
                slow.call_method1(py, intern!(py, "no_memory"), (bytes.len(),))?;
            }
            return Ok(());
        }
        let relay = self.relay.borrow(py);
        let now_s = relay.now_s();
        let mut lines = self.lines.replace(LineSplitter::new(0));
        let mut kept = 0;
        let mut rest: Vec<Option<Bound<'_, PyBytes>>> = Vec::new();
        lines.feed(bytes, |line| {
            if let Some(line) = line {
                kept += line.len() + 2;
                if !self.line(py, &relay, line, now_s) {
                    rest.push(Some(PyBytes::new(py, line)));
                }
            } else {
                self.settle_calls(py, &relay);
                rest.push(None);
            }
        });
        self.pending.set(lines.pending());
        self.lines.replace(lines);
        let thrown = (before + bytes.len()).saturating_sub(self.pending.get() + kept);
        if rest.is_empty() && thrown < UNTOLD_BYTES {
            return Ok(());
        }
        let slow = self.slow.borrow().as_ref().map(|slow| slow.clone_ref(py));
        if let Some(slow) = slow {
            slow.call_method1(py, intern!(py, "take"), (PyList::new(py, rest)?, thrown))?;
        }
        Ok(())
    }

    /// Of a transport that is both ends.
    fn pause_writing(&self, py: Python<'_>) {
        self.set_paused(py, true);
    }

    fn resume_writing(&self, py: Python<'_>) {
        self.set_paused(py, false);
    }

    fn eof_received(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let slow = self.slow.borrow().as_ref().map(|slow| slow.clone_ref(py));
        slow.map(|slow| slow.call_method0(py, intern!(py, "eof_received")))
            .transpose()
    }

    fn connection_lost(&self, py: Python<'_>, error: Py<PyAny>) -> PyResult<()> {
        if self.attached() {
            let relay = self.relay.borrow(py);
            self.settle_calls(py, &relay);
        }
        let slow = self.slow.borrow_mut().take();
        if let Some(slow) = slow {
            slow.call_method1(py, intern!(py, "connection_lost"), (error,))?;
        }
        Ok(())
    }
}
