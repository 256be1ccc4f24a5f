//! What the slow lane has in hand, for the core.

use super::Relay;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tidegate_relay as core;

/// What the slow lane has in hand, looked up when asked.
pub(super) struct Slow<'a, 'py> {
    pub(super) py: Python<'py>,
    pub(super) relay: &'a Relay,
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
