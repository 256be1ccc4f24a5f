//! Calls that the slow lane goes on with, and what for.

use super::Relay;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// What has a call handed over.
#[derive(Clone, Copy)]
pub(super) enum Why {
    /// Its client left, or did something else meanwhile.
    Client,
    /// Its server is gone, or said what is not the call's plain result.
    Server,
    /// Its session or stream is to know all of its calls.
    Session,
    /// It takes long.
    Slow,
    /// All calls are to be the slow lane's: the relay is turned off, the gateway stops.
    All,
}

impl Why {
    pub(super) const NAMES: [&str; 5] = ["client", "server", "session", "slow", "all"];
}

impl Relay {
    /// What their server did has calls handed over.
    pub(super) fn promote(&self, py: Python<'_>, calls: Vec<usize>) {
        self.hand_over(py, calls, Why::Server);
    }

    /// The slow lane goes on with these calls.
    pub(super) fn hand_over(&self, py: Python<'_>, calls: Vec<usize>, why: Why) {
        let mut handed_over = self.handed_over.get();
        handed_over[why as usize] += calls.len() as u64;
        self.handed_over.set(handed_over);
        for call in calls {
            let Some(taken) = self.core.borrow_mut().take(call) else {
                continue;
            };
            let found = {
                let ports = self.ports.borrow();
                let decision = ports.decisions.get(taken.tag).and_then(Option::as_ref);
                let client = ports.clients.get(taken.client).and_then(Option::as_ref);
                let channel = taken
                    .channel
                    .and_then(|at| ports.channels.get(at)?.as_ref());
                decision.zip(client).map(|(decision, client)| {
                    let channel = channel.map(|channel| channel.slow.clone_ref(py));
                    (decision.clone_ref(py), client.slow.clone_ref(py), channel)
                })
            };
            let Some((decision, slow, channel)) = found else {
                continue;
            };
            let request = PyBytes::new(py, &taken.request);
            let told = decision.call_method1(
                py,
                intern!(py, "promote"),
                (
                    slow,
                    request,
                    taken.message,
                    taken.upstream_id,
                    taken.began_s,
                    channel,
                    PyBytes::new(py, &taken.raw),
                ),
            );
            if let Err(error) = told {
                error.write_unraisable(py, None);
            }
        }
    }
}
