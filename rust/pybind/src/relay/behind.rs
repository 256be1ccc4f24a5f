//! The protocol of the slow lane that one of the relay's stands before.

use pyo3::call::PyCallArgs;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;
use std::cell::RefCell;

/// There until its connection is lost: the two know each other, and must not keep each other alive for longer.
pub(super) struct Behind(RefCell<Option<Py<PyAny>>>);

impl Behind {
    pub(super) const fn new(protocol: Py<PyAny>) -> Self {
        Self(RefCell::new(Some(protocol)))
    }

    pub(super) fn get(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let protocol = self.0.borrow();
        protocol.as_ref().map(|protocol| protocol.clone_ref(py))
    }

    /// `None` where it is gone.
    pub(super) fn call<'py>(
        &self,
        py: Python<'py>,
        method: &Bound<'py, PyString>,
        args: impl PyCallArgs<'py>,
    ) -> PyResult<Option<Py<PyAny>>> {
        // Not borrowed while Python runs.
        self.get(py)
            .map(|protocol| protocol.call_method1(py, method, args))
            .transpose()
    }

    pub(super) fn take(&self) -> Option<Py<PyAny>> {
        self.0.borrow_mut().take()
    }

    /// The connection is made: it is told, and who stands before it.
    pub(super) fn made(
        &self,
        front: &Bound<'_, PyAny>,
        transport: Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = front.py();
        let Some(protocol) = self.get(py) else {
            return Ok(());
        };
        protocol.setattr(py, intern!(py, "relayed"), front)?;
        protocol.call_method1(py, intern!(py, "connection_made"), (transport,))?;
        Ok(())
    }

    /// The connection is lost: it is told, and forgets who stands before it.
    pub(super) fn lost(&self, py: Python<'_>, exc: Py<PyAny>) -> PyResult<()> {
        let Some(protocol) = self.take() else {
            return Ok(());
        };
        let done = protocol.call_method1(py, intern!(py, "connection_lost"), (exc,));
        protocol.setattr(py, intern!(py, "relayed"), py.None())?;
        done.map(drop)
    }
}
