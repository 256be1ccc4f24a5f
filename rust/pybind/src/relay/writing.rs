//! What the core has to say, said.

use super::Relay;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tidegate_relay as core;

/// A part of a write that is as long is not joined with others.
const LONG_BYTES: usize = 16 * 1024;

impl Relay {
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
                Some((client.write.clone_ref(py), false))
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

    /// Sends what the core has just made.
    pub(super) fn flush(&self, py: Python<'_>, input: &[u8]) -> PyResult<()> {
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
    pub(super) fn flush_or_tell(&self, py: Python<'_>, input: &[u8]) {
        if let Err(error) = self.flush(py, input) {
            error.write_unraisable(py, None);
        }
    }
}
