//! A plugin that is loaded, and its calls that run and wait.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::call::{Shared, Work};
use crate::engine::Running;
use crate::failure::Failure;
use crate::grants::{Bounds, Grants};
use crate::guest::{Guest, Link};
use crate::outbox::{Done, Event};
use crate::sandbox::Inner;
use crate::store::PluginStore;
use crate::wire::ReplyTo;
use crate::{component, module};

/// What kind of WASM a plugin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of the component model.
    Component,
    /// ABI 1.
    Module,
}

/// What a plugin is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// It serves tools.
    Tool,
    /// It judges calls.
    Filter,
}

/// What every call of a plugin has.
pub(crate) struct Given {
    pub(crate) settings: String,
    pub(crate) grants: Grants,
    pub(crate) bounds: Bounds,
    pub(crate) wasi: bool,
    pub(crate) store: PluginStore,
}

pub(crate) enum Ready {
    Component(component::Ready),
    Module(module::Ready),
}

/// A plugin that can be called.
#[derive(Clone)]
pub struct Plugin(pub(crate) Arc<Loaded>);

pub(crate) struct Loaded {
    pub(crate) number: u64,
    pub(crate) ready: Ready,
    pub(crate) given: Arc<Given>,
    pub(crate) sandbox: Arc<Inner>,
    /// Shared with those of the same name and world that were loaded before: what they keep is the same, and one that
    /// may have a single call at a time keeps it whole.
    pub(crate) line: Arc<Mutex<Line>>,
}

#[derive(Default)]
pub(crate) struct Line {
    running: usize,
    waiting: VecDeque<(Arc<Loaded>, Call)>,
}

struct Call {
    token: u64,
    shared: Arc<Shared>,
    work: Work,
    until: Instant,
    reply_to: Option<ReplyTo>,
}

impl Plugin {
    /// By which its events name it.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.0.number
    }

    /// Starts a call, or has it wait for its turn: the token by which its end is told, as [`Failure::Busy`] where too
    /// many wait.
    #[must_use]
    pub fn start(&self, work: Work, timeout: Duration) -> u64 {
        let token = self.token();
        self.begin(token, work, timeout, None);
        token
    }

    /// For a call that `start_for` begins.
    pub(crate) fn token(&self) -> u64 {
        self.0.sandbox.tokens.fetch_add(1, Ordering::Relaxed)
    }

    /// As `start`; the end is told as a line, and may be before this returns.
    pub(crate) fn start_for(&self, token: u64, work: Work, timeout: Duration, reply_to: ReplyTo) {
        self.begin(token, work, timeout, Some(reply_to));
    }

    /// As [`Sandbox::cancel`].
    pub(crate) fn cancel(&self, token: u64) {
        self.0.sandbox.cancel(token);
    }

    fn begin(&self, token: u64, work: Work, timeout: Duration, reply_to: Option<ReplyTo>) {
        let loaded = &self.0;
        let sandbox = &loaded.sandbox;
        let shared = Arc::new(Shared::default());
        let call = Call {
            token,
            shared: Arc::clone(&shared),
            work,
            until: Instant::now() + timeout,
            reply_to,
        };
        let mut line = loaded.line();
        if line.running < loaded.given.bounds.concurrency {
            line.running += 1;
            sandbox.calls().insert(token, shared);
            drop(line);
            loaded.submit(call);
        } else if line.waiting.len() < loaded.given.bounds.queued {
            sandbox.calls().insert(token, shared);
            line.waiting.push_back((Arc::clone(loaded), call));
        } else {
            drop(line);
            loaded.tell(token, call.reply_to, Err(Failure::Busy), Duration::ZERO);
        }
    }
}

impl Loaded {
    fn line(&self) -> std::sync::MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit(self: &Arc<Self>, call: Call) {
        let loaded = Arc::clone(self);
        self.sandbox
            .threads
            .submit(self.number, Box::new(move || loaded.serve(call)));
    }

    /// On a thread of its own: one call.
    fn serve(self: Arc<Self>, call: Call) {
        let Call {
            token,
            shared,
            work,
            until,
            reply_to,
        } = call;
        // Whatever happens, this caller hears of it, and the next in line has its turn.
        let mut turn = Turn {
            loaded: self,
            token,
            reply_to,
        };
        let began = clock_gettime(ClockId::ThreadCPUTime);
        let mut store = None;
        let outcome = turn.loaded.run(token, &shared, work, until, &mut store);
        let cpu =
            Duration::try_from(clock_gettime(ClockId::ThreadCPUTime) - began).unwrap_or_default();
        turn.end(outcome, cpu);
        // Its memory is given back when its caller has the answer.
        drop(store);
    }

    fn run(
        &self,
        token: u64,
        shared: &Arc<Shared>,
        work: Work,
        until: Instant,
        kept: &mut Option<wasmtime::Store<Guest>>,
    ) -> Result<Done, Failure> {
        if shared.is_cancelled() {
            return Err(Failure::Cancelled);
        }
        let now = Instant::now();
        if now >= until {
            return Err(Failure::Busy);
        }
        let deadline = until.min(now + self.given.bounds.deadline);
        let link = Link {
            plugin: self.number,
            token,
            shared: Arc::clone(shared),
            outbox: Arc::clone(&self.sandbox.outbox),
            threads: Arc::clone(&self.sandbox.threads),
            memory: Arc::clone(&self.sandbox.memory),
        };
        let store = kept.insert(Guest::store(&self.given, link, deadline)?);
        let _running = Running::get().enter();
        let done = match &self.ready {
            Ready::Component(ready) => ready.run(store, work),
            Ready::Module(ready) => ready.run(store, work),
        };
        done.map_err(|error| Failure::of(&error, store.data().denied))
    }

    fn tell(
        &self,
        token: u64,
        reply_to: Option<ReplyTo>,
        outcome: Result<Done, Failure>,
        cpu: Duration,
    ) {
        let plugin = self.number;
        let outbox = &self.sandbox.outbox;
        if let Some(text) = self.sandbox.store.take_warning() {
            outbox.put(Event::Said {
                plugin: 0,
                token: 0,
                level: 2,
                text,
            });
        }
        outbox.put(match reply_to {
            Some(reply_to) => {
                let (line, outcome) = reply_to.line(outcome);
                Event::Line {
                    plugin,
                    token,
                    line,
                    outcome,
                    cpu,
                }
            }
            None => Event::Ended {
                plugin,
                token,
                outcome,
                cpu,
            },
        });
    }
}

/// A place among the calls that run at once.
struct Turn {
    loaded: Arc<Loaded>,
    token: u64,
    reply_to: Option<ReplyTo>,
}

impl Turn {
    fn end(&mut self, outcome: Result<Done, Failure>, cpu: Duration) {
        if self.loaded.sandbox.calls().remove(&self.token).is_some() {
            self.loaded
                .tell(self.token, self.reply_to.take(), outcome, cpu);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.end(
            Err(Failure::Trapped("the gateway failed to run it".into())),
            Duration::ZERO,
        );
        let mut line = self.loaded.line();
        let next = line.waiting.pop_front();
        if next.is_none() {
            line.running -= 1;
        }
        drop(line);
        if let Some((loaded, call)) = next {
            loaded.submit(call);
        }
    }
}
