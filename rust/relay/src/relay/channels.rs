//! Connections to servers over HTTP, which slow lane and relay lend each other.

use super::Relay;
use super::upstreams::NOBODY;
use crate::flow::Decision;
use crate::response::{KnownHead, Response};

/// As in the slow lane: a connection that was idle for longer may be about to be closed by its server, and what must not be
/// sent twice does not go there.
const FRESH_S: f64 = 1.5;

/// Connections to one origin that no call is on; the last one was used last.
#[derive(Debug, Default)]
pub(super) struct Pool {
    /// Channels.
    pub(super) idle: Vec<usize>,
    /// The head that its responses had last.
    pub(super) known: KnownHead,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) pool: usize,
    /// Calls that it carried since somebody asked.
    pub(super) uses: u32,
    pub(super) state: State,
    pub(super) response: Response,
}

/// What a channel is used for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum State {
    /// The slow lane has it.
    Slow,
    /// Nothing, since then.
    Idle(f64),
    /// This call.
    Call(usize),
    /// The end of a response whose message has come, since then.
    Ending {
        since_s: f64,
        /// Whose answer it was.
        upstream: usize,
    },
}

impl Relay {
    /// Where connections to one origin are kept.
    pub fn add_pool(&mut self) -> usize {
        self.pools.insert(Pool::default())
    }

    /// It has no connections any more.
    pub fn remove_pool(&mut self, pool: usize) {
        self.pools.remove(pool);
        // Its number may become another one's, which leads to other servers.
        for channel in self.channels.things_mut() {
            if channel.pool == pool {
                channel.pool = NOBODY;
                if matches!(channel.state, State::Idle(_)) {
                    channel.state = State::Slow;
                }
            }
        }
    }

    /// A connection of a pool, which the slow lane has for now.
    pub fn add_channel(&mut self, pool: usize) -> usize {
        self.channels.insert(Channel {
            pool,
            uses: 0,
            state: State::Slow,
            response: Response::new(),
        })
    }

    /// It is gone. Its call must have been taken before.
    pub fn remove_channel(&mut self, channel: usize) {
        self.leave_to_slow_lane(channel);
        self.channels.remove(channel);
    }

    /// The slow lane has no use for it at the moment.
    pub fn give(&mut self, channel: usize, now_s: f64) {
        let Some(found) = self.channels.get_mut(channel) else {
            return;
        };
        if matches!(found.state, State::Idle(_) | State::Call(_)) {
            return;
        }
        found.state = State::Idle(now_s);
        found.response.clear();
        if let Some(pool) = self.pools.get_mut(found.pool) {
            pool.idle.push(channel);
        }
    }

    /// The slow lane wants the connection that was used last, unless that was before `since_s`.
    pub fn take_back(&mut self, pool: usize, since_s: f64) -> Option<usize> {
        let channel = *self.pools.get(pool)?.idle.last()?;
        let fresh =
            matches!(self.channels.get(channel)?.state, State::Idle(at_s) if at_s >= since_s);
        if !fresh {
            return None;
        }
        self.leave_to_slow_lane(channel);
        Some(channel)
    }

    /// Connections that have not been used since then are the slow lane's again.
    pub fn take_unused(&mut self, since_s: f64) -> Vec<usize> {
        self.take_channels(|state| matches!(state, State::Idle(at_s) if at_s < since_s))
    }

    /// Connections whose response has not ended since then, although its message has come.
    pub fn take_unended(&mut self, since_s: f64) -> Vec<usize> {
        self.take_channels(
            |state| matches!(state, State::Ending { since_s: at_s, .. } if at_s < since_s),
        )
    }

    fn take_channels(&mut self, wanted: impl Fn(State) -> bool) -> Vec<usize> {
        let taken: Vec<_> = self
            .channels
            .keys()
            .filter(|&channel| {
                let found = self.channels.get(channel);
                found.is_some_and(|found| wanted(found.state))
            })
            .collect();
        for &channel in &taken {
            self.leave_to_slow_lane(channel);
        }
        taken
    }

    /// Connections to servers over HTTP that are not the slow lane's.
    #[must_use]
    pub fn channels_held(&self) -> usize {
        self.channels
            .keys()
            .filter(|&channel| {
                let found = self.channels.get(channel);
                found.is_some_and(|found| found.state != State::Slow)
            })
            .count()
    }

    /// Connections of a pool that are idle here.
    #[must_use]
    pub fn idle(&self, pool: usize) -> usize {
        self.pools.get(pool).map_or(0, |pool| pool.idle.len())
    }

    /// The idle connection that was used last, if it may be used for this.
    pub(super) fn free_channel(&self, decision: &Decision, now_s: f64) -> Option<usize> {
        let pool = self.upstreams.get(decision.upstream)?.pool?;
        let channel = *self.pools.get(pool)?.idle.last()?;
        match self.channels.get(channel)?.state {
            State::Idle(since_s) if decision.repeatable || now_s - since_s <= FRESH_S => {
                Some(channel)
            }
            _ => None,
        }
    }

    /// This call is on it.
    pub(super) fn occupy(&mut self, channel: usize, call: usize) {
        self.leave_to_slow_lane(channel);
        if let Some(channel) = self.channels.get_mut(channel) {
            channel.state = State::Call(call);
            channel.uses += 1;
        }
    }

    /// How many calls a connection has carried since this was last asked.
    pub fn take_uses(&mut self, channel: usize) -> u32 {
        self.channels
            .get_mut(channel)
            .map_or(0, |channel| std::mem::take(&mut channel.uses))
    }

    /// Bytes held of the response on a connection.
    #[must_use]
    pub fn held_on(&self, channel: usize) -> usize {
        self.channels
            .get(channel)
            .map_or(0, |channel| channel.response.held())
    }

    /// The relayed call on a connection to a server over HTTP.
    #[must_use]
    pub fn call_on(&self, channel: usize) -> Option<usize> {
        match self.channels.get(channel)?.state {
            State::Call(call) => Some(call),
            _ => None,
        }
    }

    /// Gives a connection back to the slow lane, with all that came of a response that has not ended.
    pub fn take_raw(&mut self, channel: usize) -> Vec<u8> {
        self.leave_to_slow_lane(channel);
        let Some(channel) = self.channels.get_mut(channel) else {
            return Vec::new();
        };
        let raw = std::mem::take(&mut channel.response.raw);
        channel.response.clear();
        raw
    }

    /// The relay uses it no more until it is given again.
    pub(super) fn leave_to_slow_lane(&mut self, channel: usize) {
        if let Some(found) = self.channels.get_mut(channel) {
            let was_idle = matches!(found.state, State::Idle(_));
            found.state = State::Slow;
            if was_idle && let Some(pool) = self.pools.get_mut(found.pool) {
                pool.idle.retain(|&other| other != channel);
            }
        }
    }
}
