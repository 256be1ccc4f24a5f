//! A client's HTTP connection.

use super::behind::Behind;
use super::{GONE, Relay, Slow, Why};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::cell::Cell;
use tidegate_relay as core;

/// Stands before `HttpServerProtocol`, which has the connection from the first byte that is not relayed until it has
/// answered and waits for the next request.
#[pyclass(unsendable, module = "tidegate._native")]
pub struct HttpDownstream {
    relay: Py<Relay>,
    client: Cell<usize>,
    slow: Behind,
    /// The slow lane waits for a request.
    idle: Cell<bool>,
    paused: Cell<bool>,
    /// Only while the slow lane waits for a request.
    held: Cell<Option<Held>>,
    /// When the last call was relayed.
    used_s: Cell<f64>,
}

/// The beginning of a request, which may be relayed once the rest of its body is here.
struct Held {
    bytes: Vec<u8>,
    /// Bytes of the whole request.
    whole: usize,
}

impl HttpDownstream {
    /// `data` with what was held before it; `None` if more is to come.
    fn joined<'py>(&self, data: Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        let Some(mut held) = self.held.take() else {
            return Some(data);
        };
        let py = data.py();
        if let Ok(more) = data.cast::<PyBytes>()
            && held.bytes.len() + more.as_bytes().len() <= held.whole
        {
            held.bytes.extend_from_slice(more.as_bytes());
            if held.bytes.len() == held.whole {
                return Some(PyBytes::new(py, &held.bytes).into_any());
            }
            self.held.set(Some(held));
            return None;
        }
        // What is pipelined behind a request waits for its answer, in the slow lane.
        self.held.set(Some(held));
        self.settle(py);
        Some(data)
    }
}

#[pymethods]
impl HttpDownstream {
    #[new]
    fn new(relay: Py<Relay>, slow: Py<PyAny>) -> Self {
        Self {
            relay,
            client: Cell::new(GONE),
            slow: Behind::new(slow),
            idle: Cell::new(false),
            paused: Cell::new(false),
            held: Cell::new(None),
            used_s: Cell::new(f64::NEG_INFINITY),
        }
    }

    fn connection_made(slf: Bound<'_, Self>, transport: Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.borrow();
        let Some(slow) = this.slow.get(py) else {
            return Ok(());
        };
        let client = this.relay.borrow(py).add_client(slow, &transport, false)?;
        this.client.set(client);
        this.slow.made(slf.as_any(), transport)
    }

    fn data_received(&self, py: Python<'_>, data: Bound<'_, PyAny>) -> PyResult<()> {
        let Some(data) = self.joined(data) else {
            return Ok(());
        };
        let relay = self.relay.borrow(py);
        if relay.on.get()
            && self.idle.get()
            && let Ok(bytes) = data.cast::<PyBytes>()
        {
            let bytes = bytes.as_bytes();
            let now_s = relay.now_s();
            let asked = if self.paused.get() {
                core::Asked::Busy
            } else {
                let slow = Slow { py, relay: &relay };
                relay
                    .core
                    .borrow_mut()
                    .http(self.client.get(), bytes, now_s, &slow)
            };
            match asked {
                core::Asked::Relayed => {
                    self.used_s.set(now_s);
                    relay.flush(py, bytes)?;
                    return relay.wake(py);
                }
                core::Asked::Part(whole) => {
                    let bytes = bytes.to_vec();
                    self.held.set(Some(Held { bytes, whole }));
                    self.slow.call(py, intern!(py, "body_awaited"), ())?;
                    return Ok(());
                }
                core::Asked::Busy => self.settle(py),
                core::Asked::Slow => {}
            }
        }
        self.idle.set(false);
        let done = self.slow.call(py, intern!(py, "data_received"), (data,));
        relay.core.borrow_mut().drop_candidate();
        done?;
        Ok(())
    }

    fn eof_received(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.settle(py);
        self.idle.set(false);
        self.slow.call(py, intern!(py, "eof_received"), ())
    }

    fn connection_lost(&self, py: Python<'_>, exc: Py<PyAny>) -> PyResult<()> {
        self.held.set(None);
        self.settle(py);
        self.idle.set(false);
        let client = self.client.replace(GONE);
        self.relay.borrow(py).remove_client(client);
        self.slow.lost(py, exc)
    }

    fn pause_writing(&self, py: Python<'_>) -> PyResult<()> {
        self.paused.set(true);
        self.slow.call(py, intern!(py, "pause_writing"), ())?;
        Ok(())
    }

    fn resume_writing(&self, py: Python<'_>) -> PyResult<()> {
        self.paused.set(false);
        self.slow.call(py, intern!(py, "resume_writing"), ())?;
        Ok(())
    }

    /// Hands the call in flight over to the slow lane, or what is held of the next one.
    fn settle(&self, py: Python<'_>) {
        let relay = self.relay.borrow(py);
        let calls = relay.core.borrow().calls_of(self.client.get());
        if !calls.is_empty() {
            self.idle.set(false);
            relay.hand_over(py, calls, Why::Client);
        }
        if let Some(held) = self.held.take() {
            self.idle.set(false);
            let bytes = PyBytes::new(py, &held.bytes);
            let done = self.slow.call(py, intern!(py, "data_received"), (bytes,));
            if let Err(error) = done {
                error.write_unraisable(py, None);
            }
        }
    }

    /// From the slow lane: it waits for a request, and has nothing of it yet.
    fn at_rest(&self) {
        self.idle.set(true);
    }

    /// From the slow lane, before it ends the connection or changes how it goes on.
    fn stand_back(&self, py: Python<'_>) {
        self.settle(py);
        self.idle.set(false);
    }

    #[getter]
    fn used_s(&self) -> f64 {
        self.used_s.get()
    }
}
