//! A client on a stream of lines.

use super::behind::Behind;
use super::{GONE, Relay, Slow, Why};
use crate::room::room;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::cell::{Cell, RefCell};
use tidegate_codec::lines::LineSplitter;
use tidegate_relay as core;

/// Stands before `StreamServerProtocol`, cuts the stream into lines, and leaves it those that are not relayed. A stream
/// of `MessagePack` is all the slow lane's.
#[pyclass(unsendable, module = "tidegate._native")]
pub struct StreamDownstream {
    relay: Py<Relay>,
    client: Cell<usize>,
    slow: Behind,
    lines: RefCell<LineSplitter>,
    framing: Cell<Framing>,
    /// Nothing more is relayed.
    back: Cell<bool>,
}

#[derive(Clone, Copy, PartialEq)]
enum Framing {
    Unknown,
    Lines,
    Packed,
}

impl StreamDownstream {
    fn settle(&self, py: Python<'_>) {
        let relay = self.relay.borrow(py);
        let calls = relay.core.borrow().calls_of(self.client.get());
        relay.hand_over(py, calls, Why::Client);
    }

    fn set_paused(&self, py: Python<'_>, paused: bool) {
        let relay = self.relay.borrow(py);
        if let Some(Some(port)) = relay.ports.borrow_mut().clients.get_mut(self.client.get()) {
            port.paused = paused;
        }
    }

    /// One line: relayed, or given to the slow lane.
    fn line(&self, py: Python<'_>, relay: &Relay, line: Option<&[u8]>) -> PyResult<()> {
        if let Some(line) = line
            && relay.on.get()
            && !self.back.get()
        {
            let now_s = relay.now_s();
            let asked = {
                let slow = Slow { py, relay };
                let mut core = relay.core.borrow_mut();
                core.message(self.client.get(), line, now_s, &slow)
            };
            if asked == core::Asked::Relayed {
                relay.flush(py, line)?;
                return relay.wake(py);
            }
        }
        let Some(slow) = self.slow.get(py) else {
            return Ok(());
        };
        let line = line.map(|line| PyBytes::new(py, line));
        let done = slow.call_method1(py, intern!(py, "take"), (line,));
        relay.core.borrow_mut().drop_candidate();
        done?;
        Ok(())
    }
}

#[pymethods]
impl StreamDownstream {
    #[new]
    fn new(relay: Py<Relay>, slow: Py<PyAny>, max_bytes: usize) -> Self {
        Self {
            relay,
            client: Cell::new(GONE),
            slow: Behind::new(slow),
            lines: RefCell::new(LineSplitter::new(max_bytes)),
            framing: Cell::new(Framing::Unknown),
            back: Cell::new(false),
        }
    }

    fn connection_made(slf: Bound<'_, Self>, transport: Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.borrow();
        let Some(slow) = this.slow.get(py) else {
            return Ok(());
        };
        let client = this.relay.borrow(py).add_client(slow, &transport, true)?;
        this.client.set(client);
        this.slow.made(slf.as_any(), transport)
    }

    fn data_received(&self, py: Python<'_>, data: Bound<'_, PyBytes>) -> PyResult<()> {
        let bytes = data.as_bytes();
        if self.framing.get() == Framing::Unknown
            && let Some(&first) = bytes.first()
        {
            let packed = (0x80..=0x8f).contains(&first) || first == 0xde || first == 0xdf;
            self.framing.set(if packed {
                Framing::Packed
            } else {
                Framing::Lines
            });
        }
        if self.framing.get() == Framing::Packed {
            self.slow.call(py, intern!(py, "data_received"), (data,))?;
            return Ok(());
        }
        let pending = self.lines.borrow().pending();
        if room((pending + bytes.len()) * 3).is_err() {
            self.slow
                .call(py, intern!(py, "no_memory"), (bytes.len(),))?;
            return Ok(());
        }
        let relay = self.relay.borrow(py);
        // While Python runs, nothing of this object is borrowed.
        let mut lines = self.lines.replace(LineSplitter::new(0));
        let mut failed = None;
        lines.feed(bytes, |line| {
            if failed.is_none()
                && let Err(error) = self.line(py, &relay, line)
            {
                failed = Some(error);
            }
        });
        self.lines.replace(lines);
        failed.map_or(Ok(()), Err)
    }

    fn eof_received(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.slow.call(py, intern!(py, "eof_received"), ())
    }

    fn connection_lost(&self, py: Python<'_>, exc: Py<PyAny>) -> PyResult<()> {
        self.settle(py);
        let client = self.client.replace(GONE);
        self.relay.borrow(py).remove_client(client);
        self.slow.lost(py, exc)
    }

    fn pause_writing(&self, py: Python<'_>) {
        self.set_paused(py, true);
    }

    fn resume_writing(&self, py: Python<'_>) {
        self.set_paused(py, false);
    }

    /// From the slow lane, before it ends the connection or changes how it goes on.
    fn stand_back(&self, py: Python<'_>) {
        self.back.set(true);
        self.settle(py);
    }
}
