//! How the relay reaches whoever it deals with: by the numbers that its core has for them.

use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The number of whoever has no connection, yet or any more.
pub(super) const GONE: usize = usize::MAX;

/// A client, as the relay reaches it.
pub(super) struct ClientPort {
    /// The protocol of the slow lane.
    pub(super) slow: Py<PyAny>,
    /// `transport.write`
    pub(super) write: Py<PyAny>,
    /// The transport holds as much as it wants to.
    pub(super) paused: bool,
    /// Streams: each message is a line.
    pub(super) stream: bool,
}

/// A conversation with a server, as the relay reaches it.
pub(super) struct UpstreamPort {
    /// `transport.write`; `None` over HTTP.
    pub(super) write: Option<Py<PyAny>>,
    /// What the slow lane writes by: `queued_bytes`. `None` over HTTP.
    pub(super) writer: Option<Py<PyAny>>,
    /// The connection: `line`.
    pub(super) connection: Py<PyAny>,
    /// Its calls.
    pub(super) pending: Py<PyDict>,
    pub(super) paused: bool,
}

/// A connection to a server over HTTP, as the relay reaches it.
pub(super) struct ChannelPort {
    /// The protocol of the slow lane.
    pub(super) slow: Py<PyAny>,
    pub(super) write: Py<PyAny>,
    /// Of the slow lane: calls that wait for a connection.
    pub(super) queue: Py<PyAny>,
}

#[derive(Default)]
pub(super) struct Ports {
    pub(super) clients: Vec<Option<ClientPort>>,
    pub(super) upstreams: Vec<Option<UpstreamPort>>,
    pub(super) channels: Vec<Option<ChannelPort>>,
    /// Ids in use by the slow lane.
    pub(super) scopes: Vec<Option<Py<PyDict>>>,
    /// By tag.
    pub(super) decisions: Vec<Option<Py<PyAny>>>,
    /// Tags of none.
    pub(super) free: Vec<usize>,
}

impl Ports {
    /// The protocols of these channels.
    pub(super) fn slow_of(&self, py: Python<'_>, channels: &[usize]) -> Vec<Py<PyAny>> {
        channels
            .iter()
            .filter_map(|&at| Some(self.channels.get(at)?.as_ref()?.slow.clone_ref(py)))
            .collect()
    }
}

/// Puts `thing` into the first free place, or a new one.
pub(super) fn place<T>(places: &mut Vec<Option<T>>, thing: T) -> usize {
    if let Some(at) = places.iter().position(Option::is_none) {
        places[at] = Some(thing);
        at
    } else {
        places.push(Some(thing));
        places.len() - 1
    }
}

/// As `place`, where the number is given.
pub(super) fn place_at<T>(places: &mut Vec<Option<T>>, at: usize, thing: T) {
    while places.len() <= at {
        places.push(None);
    }
    places[at] = Some(thing);
}
