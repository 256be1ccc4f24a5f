//! Connections to servers over HTTP.

use super::behind::Behind;
use super::{ChannelPort, GONE, Relay, place_at};
use crate::room::room;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::cell::Cell;
use tidegate_relay as core;

/// Connections to one origin, which the slow lane's pool and the relay lend each other.
#[pyclass(unsendable, module = "tidegate._native")]
pub struct HttpPool {
    relay: Py<Relay>,
    pool: usize,
    /// Of the slow lane: calls that wait for a connection.
    queue: Py<PyAny>,
}

impl HttpPool {
    pub(super) const fn number(&self) -> usize {
        self.pool
    }
}

#[pymethods]
impl HttpPool {
    #[new]
    fn new(py: Python<'_>, relay: Py<Relay>, queue: Py<PyAny>) -> Self {
        let pool = relay.borrow(py).core.borrow_mut().add_pool();
        Self { relay, pool, queue }
    }

    /// A connection that was used last, and not before `since_s`: the slow lane has it from now on.
    fn take_back(&self, py: Python<'_>, since_s: f64) -> Option<Py<PyAny>> {
        let relay = self.relay.borrow(py);
        let channel = relay.core.borrow_mut().take_back(self.pool, since_s)?;
        let ports = relay.ports.borrow();
        let port = ports.channels.get(channel)?.as_ref()?;
        Some(port.slow.clone_ref(py))
    }

    /// Connections that are idle here.
    #[getter]
    fn idle(&self, py: Python<'_>) -> usize {
        self.relay.borrow(py).core.borrow().idle(self.pool)
    }

    fn close(&self, py: Python<'_>) {
        self.relay
            .borrow(py)
            .core
            .borrow_mut()
            .remove_pool(self.pool);
    }
}

/// Stands before `HttpConnection`, which has the connection whenever no relayed call is on it.
#[pyclass(unsendable, module = "tidegate._native")]
pub struct HttpChannel {
    pool: Py<HttpPool>,
    relay: Py<Relay>,
    number: Cell<usize>,
    slow: Behind,
}

impl HttpChannel {
    /// The connection is free: calls that wait for one come first.
    fn freed(&self, py: Python<'_>, relay: &Relay) -> PyResult<()> {
        let waiting = {
            let ports = relay.ports.borrow();
            let port = ports.channels.get(self.number.get());
            port.and_then(Option::as_ref)
                .is_some_and(|port| port.queue.bind(py).len().is_ok_and(|length| length > 0))
        };
        if waiting {
            relay.core.borrow_mut().take_raw(self.number.get());
            self.slow.call(py, intern!(py, "freed"), ())?;
        }
        Ok(())
    }
}

#[pymethods]
impl HttpChannel {
    #[new]
    fn new(py: Python<'_>, pool: Py<HttpPool>, slow: Py<PyAny>) -> Self {
        let relay = pool.borrow(py).relay.clone_ref(py);
        Self {
            pool,
            relay,
            number: Cell::new(GONE),
            slow: Behind::new(slow),
        }
    }

    /// By which `Relay.adopt` knows it.
    #[getter]
    fn number(&self) -> usize {
        self.number.get()
    }

    /// Relayed calls that it carried since this was last asked.
    fn take_uses(&self, py: Python<'_>) -> u32 {
        let relay = self.relay.borrow(py);
        let mut core = relay.core.borrow_mut();
        core.take_uses(self.number.get())
    }

    /// From the slow lane, which has no use for the connection at the moment. False: the relay has none either.
    fn give(&self, py: Python<'_>) -> PyResult<bool> {
        let relay = self.relay.borrow(py);
        if !relay.on.get() || self.number.get() == GONE {
            return Ok(false);
        }
        let now_s = relay.now_s();
        relay.core.borrow_mut().give(self.number.get(), now_s);
        relay.wake(py)?;
        Ok(true)
    }

    fn connection_made(slf: Bound<'_, Self>, transport: Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.borrow();
        let Some(slow) = this.slow.get(py) else {
            return Ok(());
        };
        {
            let pool = this.pool.borrow(py);
            let relay = this.relay.borrow(py);
            let number = relay.core.borrow_mut().add_channel(pool.pool);
            this.number.set(number);
            let port = ChannelPort {
                slow,
                write: transport.getattr(intern!(py, "write"))?.unbind(),
                queue: pool.queue.clone_ref(py),
            };
            place_at(&mut relay.ports.borrow_mut().channels, number, port);
        }
        this.slow.made(slf.as_any(), transport)
    }

    fn data_received(&self, py: Python<'_>, data: Bound<'_, PyBytes>) -> PyResult<()> {
        let relay = self.relay.borrow(py);
        let bytes = data.as_bytes();
        let held = relay.core.borrow().held_on(self.number.get());
        if room((held + bytes.len()) * 3).is_err() {
            // The slow lane says so to whom it concerns.
            let call = relay.core.borrow().call_on(self.number.get());
            relay.promote(py, call.into_iter().collect());
        }
        let now_s = relay.now_s();
        let heard = relay
            .core
            .borrow_mut()
            .response(self.number.get(), bytes, now_s);
        match heard {
            core::Heard::Relayed { free } => {
                relay.flush_or_tell(py, bytes);
                relay.tell_line(py);
                if free {
                    self.freed(py, &relay)?;
                }
            }
            core::Heard::More => {}
            core::Heard::Ended => self.freed(py, &relay)?,
            core::Heard::Late { free, upstream } => {
                let (message, connection) = {
                    let core = relay.core.borrow();
                    let ports = relay.ports.borrow();
                    let port = ports.upstreams.get(upstream).and_then(Option::as_ref);
                    (
                        PyBytes::new(py, &core.gathered),
                        port.map(|port| port.connection.clone_ref(py)),
                    )
                };
                if let Some(connection) = connection {
                    connection.call_method1(py, intern!(py, "late"), (message,))?;
                }
                if free {
                    self.freed(py, &relay)?;
                }
            }
            core::Heard::Odd(Some(call)) => relay.promote(py, vec![call]),
            core::Heard::Odd(None) => {
                // The answer has been passed on; what follows it is nothing that could be.
                relay.core.borrow_mut().take_raw(self.number.get());
                self.slow.call(py, intern!(py, "abort"), ())?;
            }
            core::Heard::Slow => {
                self.slow.call(py, intern!(py, "data_received"), (data,))?;
            }
        }
        Ok(())
    }

    fn eof_received(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.slow.call(py, intern!(py, "eof_received"), ())
    }

    fn connection_lost(&self, py: Python<'_>, exc: Py<PyAny>) -> PyResult<()> {
        let number = self.number.get();
        {
            let relay = self.relay.borrow(py);
            let call = relay.core.borrow().call_on(number);
            relay.promote(py, call.into_iter().collect());
            relay.core.borrow_mut().remove_channel(number);
            if let Some(port) = relay.ports.borrow_mut().channels.get_mut(number) {
                *port = None;
            }
        }
        self.number.set(GONE);
        self.slow.lost(py, exc)
    }

    fn pause_writing(&self, py: Python<'_>) -> PyResult<()> {
        self.slow.call(py, intern!(py, "pause_writing"), ())?;
        Ok(())
    }

    fn resume_writing(&self, py: Python<'_>) -> PyResult<()> {
        self.slow.call(py, intern!(py, "resume_writing"), ())?;
        Ok(())
    }
}
