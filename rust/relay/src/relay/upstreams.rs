//! Conversations with servers: who may be asked, and under which ids.

use super::Relay;
use super::channels::State;
use crate::ids::Ids;

/// The number of a server or pool that is gone.
pub(super) const NOBODY: usize = usize::MAX;

#[derive(Debug)]
pub(super) struct Upstream {
    /// It takes new calls.
    pub(super) open: bool,
    pub(super) next_id: u64,
    /// Its relayed calls, by their ids there.
    pub(super) pending: Ids,
    /// Over HTTP: where its connections are.
    pub(super) pool: Option<usize>,
}

impl Relay {
    /// A conversation with a server, whose calls are told apart by ids from 1 on. `pool`: over HTTP, of its connections.
    pub fn add_upstream(&mut self, pool: Option<usize>) -> usize {
        self.upstreams.insert(Upstream {
            open: true,
            next_id: 1,
            pending: Ids::default(),
            pool,
        })
    }

    /// The connection takes nothing new.
    pub fn close_upstream(&mut self, upstream: usize) {
        if let Some(upstream) = self.upstreams.get_mut(upstream) {
            upstream.open = false;
        }
    }

    /// The connection is gone. Its calls must have been taken before.
    pub fn remove_upstream(&mut self, upstream: usize) {
        debug_assert!(self.calls_at(upstream).is_empty());
        // Flows lead there by its number, which another one may get.
        self.void();
        self.upstreams.remove(upstream);
        for channel in self.channels.things_mut() {
            if let State::Ending { upstream: of, .. } = &mut channel.state
                && *of == upstream
            {
                *of = NOBODY;
            }
        }
    }

    /// The id of a call that somebody else makes on this connection.
    pub fn next_id(&mut self, upstream: usize) -> u64 {
        self.upstreams.get_mut(upstream).map_or(0, |upstream| {
            upstream.next_id += 1;
            upstream.next_id - 1
        })
    }

    /// Ids given so far, the relay's among them.
    #[must_use]
    pub fn ids_given(&self, upstream: usize) -> u64 {
        self.upstreams
            .get(upstream)
            .map_or(0, |upstream| upstream.next_id - 1)
    }

    /// Relayed calls in flight on one connection.
    #[must_use]
    pub fn in_flight_at(&self, upstream: usize) -> usize {
        self.upstreams
            .get(upstream)
            .map_or(0, |upstream| upstream.pending.len())
    }
}
