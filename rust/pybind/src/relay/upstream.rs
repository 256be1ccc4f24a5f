//! A conversation with a server: its ids, and its calls in the relay.

use super::{GONE, HttpPool, Relay, UpstreamPort, place_at};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::cell::Cell;

/// The relay's part of a `Connection`.
#[pyclass(unsendable, module = "tidegate._native")]
pub struct Upstream {
    relay: Py<Relay>,
    pool: Option<Py<HttpPool>>,
    number: Cell<usize>,
}

impl Upstream {
    pub(super) fn make(relay: Py<Relay>, pool: Option<Py<HttpPool>>) -> Self {
        Self {
            relay,
            pool,
            number: Cell::new(GONE),
        }
    }

    pub(super) fn number(&self) -> usize {
        self.number.get()
    }

    pub(super) fn pause(&self, py: Python<'_>, paused: bool) {
        let relay = self.relay.borrow(py);
        if let Some(Some(port)) = relay
            .ports
            .borrow_mut()
            .upstreams
            .get_mut(self.number.get())
        {
            port.paused = paused;
        }
    }
}

#[pymethods]
impl Upstream {
    #[new]
    #[pyo3(signature = (relay, pool = None))]
    fn new(relay: Py<Relay>, pool: Option<Py<HttpPool>>) -> Self {
        Self::make(relay, pool)
    }

    /// The connection is open: calls may be written by `write`, beside `writer`; over HTTP, on connections of its pool.
    #[pyo3(signature = (write, writer, connection, pending))]
    fn attach(
        &self,
        py: Python<'_>,
        write: Option<Py<PyAny>>,
        writer: Option<Py<PyAny>>,
        connection: Py<PyAny>,
        pending: Py<PyDict>,
    ) {
        let relay = self.relay.borrow(py);
        let pool = self.pool.as_ref().map(|pool| pool.borrow(py).number());
        let number = relay.core.borrow_mut().add_upstream(pool);
        self.number.set(number);
        let port = UpstreamPort {
            write,
            writer,
            connection,
            pending,
            paused: false,
        };
        place_at(&mut relay.ports.borrow_mut().upstreams, number, port);
    }

    #[getter]
    fn attached(&self) -> bool {
        self.number.get() != GONE
    }

    /// For a call of the slow lane on this connection.
    fn next_id(&self, py: Python<'_>) -> u64 {
        let relay = self.relay.borrow(py);
        let mut core = relay.core.borrow_mut();
        core.next_id(self.number.get())
    }

    #[getter]
    fn ids_given(&self, py: Python<'_>) -> u64 {
        let relay = self.relay.borrow(py);
        let core = relay.core.borrow();
        core.ids_given(self.number.get())
    }

    /// Relayed calls.
    #[getter]
    fn in_flight(&self, py: Python<'_>) -> usize {
        let relay = self.relay.borrow(py);
        let core = relay.core.borrow();
        core.in_flight_at(self.number.get())
    }

    #[setter]
    fn set_paused(&self, py: Python<'_>, paused: bool) {
        self.pause(py, paused);
    }

    /// All its calls become the slow lane's.
    pub(super) fn settle(&self, py: Python<'_>) {
        let relay = self.relay.borrow(py);
        let calls = relay.core.borrow().calls_at(self.number.get());
        relay.promote(py, calls);
    }

    /// Nothing new goes there; what is in flight becomes the slow lane's.
    fn close(&self, py: Python<'_>) {
        {
            let relay = self.relay.borrow(py);
            relay.core.borrow_mut().close_upstream(self.number.get());
        }
        self.settle(py);
    }

    /// It is gone for good.
    fn detach(&self, py: Python<'_>) {
        self.close(py);
        let number = self.number.replace(GONE);
        let relay = self.relay.borrow(py);
        relay.core.borrow_mut().remove_upstream(number);
        if let Some(port) = relay.ports.borrow_mut().upstreams.get_mut(number) {
            *port = None;
        }
    }
}
