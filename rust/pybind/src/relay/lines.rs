//! A connection to a server that speaks in lines: a child's pipes, a TCP or unix socket.

use super::behind::Behind;
use super::{Relay, Upstream};
use crate::room::room;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use std::cell::{Cell, RefCell};
use tidegate_codec::lines::LineSplitter;
use tidegate_relay as core;

/// What is thrown away of lines, and need not be told: their ends.
const UNTOLD_BYTES: usize = 4096;

/// Stands before the protocol that reads from the server, cuts what comes into lines, and leaves it those that do not
/// answer a relayed call.
#[pyclass(unsendable, module = "tidegate._native")]
pub struct LineUpstream {
    relay: Py<Relay>,
    upstream: Py<Upstream>,
    slow: Behind,
    lines: RefCell<LineSplitter>,
    pending: Cell<usize>,
}

impl LineUpstream {
    /// Whether the line is done with.
    fn line(&self, py: Python<'_>, relay: &Relay, line: &[u8], now_s: f64) -> bool {
        let upstream = self.upstream.borrow(py);
        let answer = relay
            .core
            .borrow_mut()
            .answer(upstream.number(), line, now_s);
        match answer {
            core::Answer::Relayed => {
                relay.flush_or_tell(py, line);
                relay.tell_line(py);
                true
            }
            core::Answer::Promote(call) => {
                relay.promote(py, vec![call]);
                false
            }
            core::Answer::Foreign => false,
            core::Answer::Other => {
                upstream.settle(py);
                false
            }
        }
    }

    /// Gives the slow lane what is its own; `None` is a line that was too long.
    fn tell(
        &self,
        py: Python<'_>,
        lines: Vec<Option<Bound<'_, PyBytes>>>,
        thrown: usize,
    ) -> PyResult<()> {
        self.slow
            .call(py, intern!(py, "take"), (PyList::new(py, lines)?, thrown))?;
        Ok(())
    }

    /// Whether a later line may be an answer that is passed on.
    fn more_to_relay(&self, py: Python<'_>, relay: &Relay) -> bool {
        let at = self.upstream.borrow(py).number();
        relay.core.borrow().in_flight_at(at) > 0
    }
}

#[pymethods]
impl LineUpstream {
    #[new]
    fn new(py: Python<'_>, relay: Py<Relay>, slow: Py<PyAny>, max_bytes: usize) -> PyResult<Self> {
        let upstream = Py::new(py, Upstream::make(relay.clone_ref(py), None))?;
        Ok(Self {
            relay,
            upstream,
            slow: Behind::new(slow),
            lines: RefCell::new(LineSplitter::new(max_bytes)),
            pending: Cell::new(0),
        })
    }

    #[getter]
    fn upstream(&self, py: Python<'_>) -> Py<Upstream> {
        self.upstream.clone_ref(py)
    }

    /// Bytes of a line that has begun and not ended.
    #[getter]
    fn pending(&self) -> usize {
        self.pending.get()
    }

    fn connection_made(&self, py: Python<'_>, transport: Py<PyAny>) -> PyResult<()> {
        self.slow
            .call(py, intern!(py, "connection_made"), (transport,))?;
        Ok(())
    }

    fn data_received(&self, py: Python<'_>, data: Bound<'_, PyBytes>) -> PyResult<()> {
        let bytes = data.as_bytes();
        let before = self.pending.get();
        if room((before + bytes.len()) * 3).is_err() {
            self.slow
                .call(py, intern!(py, "no_memory"), (bytes.len(),))?;
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
                if self.line(py, &relay, line, now_s) {
                    return;
                }
                rest.push(Some(PyBytes::new(py, line)));
            } else {
                self.upstream.borrow(py).settle(py);
                rest.push(None);
            }
            // What the server said first is heard first.
            if self.more_to_relay(py, &relay)
                && let Err(error) = self.tell(py, std::mem::take(&mut rest), 0)
            {
                error.write_unraisable(py, None);
            }
        });
        self.pending.set(lines.pending());
        self.lines.replace(lines);
        let thrown = (before + bytes.len()).saturating_sub(self.pending.get() + kept);
        if rest.is_empty() && thrown < UNTOLD_BYTES {
            return Ok(());
        }
        self.tell(py, rest, thrown)
    }

    /// Of a transport that is both ends.
    fn pause_writing(&self, py: Python<'_>) {
        self.upstream.borrow(py).pause(py, true);
    }

    fn resume_writing(&self, py: Python<'_>) {
        self.upstream.borrow(py).pause(py, false);
    }

    fn eof_received(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.slow.call(py, intern!(py, "eof_received"), ())
    }

    fn connection_lost(&self, py: Python<'_>, exc: Py<PyAny>) -> PyResult<()> {
        self.upstream.borrow(py).settle(py);
        let slow = self.slow.take();
        if let Some(slow) = slow {
            slow.call_method1(py, intern!(py, "connection_lost"), (exc,))?;
        }
        Ok(())
    }
}
