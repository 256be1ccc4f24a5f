//! What comes on a connection to a server over HTTP: the message of one response, and what follows it.

use super::Relay;
use super::answers::{Answer, number};
use super::channels::State;
use super::writing::Source;
use crate::response::{Place, Response, Step};
use tidegate_codec::json;

/// What became of bytes from a server over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// `Relay::pieces` has what the client is to get. `free`: the connection may carry another call.
    Relayed {
        /// The response has ended.
        free: bool,
    },
    /// There is more to come.
    More,
    /// Behind an answer, something more is said, which is in `gathered`.
    Late {
        /// The response has ended.
        free: bool,
        /// Whose response it is.
        upstream: usize,
    },
    /// Behind an answer, its response has ended: the connection may carry another call.
    Ended,
    /// They are not for the relay. The call, if there still is one, must be taken, and the slow lane is to have `raw`.
    Odd(Option<usize>),
    /// There is no relayed call on this connection.
    Slow,
}

impl Relay {
    /// What came on a connection to a server over HTTP.
    pub fn response(&mut self, channel: usize, data: &[u8], now_s: f64) -> Heard {
        let Some(found) = self.channels.get_mut(channel) else {
            return Heard::Slow;
        };
        let mut answered_by = 0;
        let call = match found.state {
            State::Slow => return Heard::Slow,
            // It was not asked for anything: the slow lane ends it.
            State::Idle(_) => {
                self.leave_to_slow_lane(channel);
                return Heard::Slow;
            }
            State::Call(call) => Some(call),
            State::Ending { upstream, .. } => {
                answered_by = upstream;
                None
            }
        };
        let Some(pool) = self.pools.get_mut(found.pool) else {
            return Heard::Odd(call);
        };
        match (
            found
                .response
                .feed(data, &mut pool.known, self.limits.result_bytes),
            call,
        ) {
            (Step::More, _) => Heard::More,
            (Step::Ended, None) => {
                self.give(channel, now_s);
                Heard::Ended
            }
            (Step::Message { ended, .. }, None) => {
                self.gathered.clear();
                self.gathered.extend_from_slice(&found.response.body);
                if ended {
                    self.give(channel, now_s);
                }
                Heard::Late {
                    free: ended,
                    upstream: answered_by,
                }
            }
            (Step::Message { place, ended }, Some(call)) => {
                let mut response = std::mem::replace(&mut found.response, Response::new());
                let (message, source) = match place {
                    Place::Data(start) => (&data[start..], Source::Data(start)),
                    Place::Raw(start) => (&response.raw[start..], Source::Gathered(start)),
                    Place::Body => (&response.body[..], Source::Gathered(0)),
                };
                let relayed = self.pass_on(call, message, source, now_s);
                match place {
                    // Whole, so nothing more of it will be asked for.
                    Place::Raw(_) if relayed => {
                        std::mem::swap(&mut self.gathered, &mut response.raw);
                    }
                    Place::Body if relayed => {
                        std::mem::swap(&mut self.gathered, &mut response.body);
                    }
                    _ => {}
                }
                if !relayed && response.raw.is_empty() {
                    response.raw.extend_from_slice(data);
                }
                if let Some(found) = self.channels.get_mut(channel) {
                    found.response = response;
                    if relayed {
                        found.state = State::Ending {
                            since_s: now_s,
                            upstream: self.answered_by,
                        };
                    }
                }
                if !relayed {
                    return Heard::Odd(Some(call));
                }
                if ended {
                    self.give(channel, now_s);
                }
                Heard::Relayed { free: ended }
            }
            _ => Heard::Odd(call),
        }
    }

    /// Passes the message of a response on, if it is the result that the call waits for. Whether it was.
    fn pass_on(&mut self, call: usize, message: &[u8], source: Source, now_s: f64) -> bool {
        let Ok(found) = json::scan(message, self.limits.depth) else {
            return false;
        };
        let expected = self.pending.get(call).map(|pending| pending.upstream_id);
        let is_it = found.kind == json::MessageKind::Result
            && found.id.and_then(|id| number(id.of(message))) == expected;
        is_it && self.reply(call, message, &found, source, now_s) == Answer::Relayed
    }
}
