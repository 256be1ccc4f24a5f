//! A session, or a stream of a client, for Python.

use super::Relay;
use super::handing_over::Why;
use pyo3::prelude::*;
use std::rc::Rc;
use tidegate_relay as core;

/// Where ids are told apart: a session, or a stream of a client.
#[pyclass(unsendable, module = "tidegate._native")]
pub struct Scope {
    pub(super) relay: Py<Relay>,
    pub(super) scope: Rc<core::Scope>,
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
