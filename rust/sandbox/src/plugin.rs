//! Plugins that are loaded, and the calls that run and wait.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest, Sha256};
use wasmtime::Module;
use wasmtime::component::Component;

use crate::call::{Shared, Work};
use crate::engine::Running;
use crate::failure::Failure;
use crate::grants::{Bounds, Grants};
use crate::guest::{Guest, Link, start_clocks};
use crate::memory::Budget;
use crate::outbox::{Done, Event, Outbox};
use crate::store::{PluginStore, Store};
use crate::threads::Threads;
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

enum Ready {
    Component(component::Ready),
    Module(module::Ready),
}

/// All plugins of a gateway.
pub struct Sandbox(Arc<Inner>);

struct Inner {
    outbox: Arc<Outbox>,
    threads: Arc<Threads>,
    memory: Arc<Budget>,
    calls: Mutex<HashMap<u64, Arc<Shared>>>,
    tokens: AtomicU64,
    plugins: AtomicU64,
    lines: Mutex<Lines>,
    store: Store,
}

impl Inner {
    fn calls(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Shared>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who waits for a turn of the plugins of this name.
    fn line_of(&self, name: &str, world: World) -> Arc<Mutex<Line>> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|_, line| line.strong_count() > 0);
        let key = (name.to_owned(), world == World::Filter);
        if let Some(line) = lines.get(&key).and_then(Weak::upgrade) {
            return line;
        }
        let line = Arc::default();
        lines.insert(key, Arc::downgrade(&line));
        line
    }

    fn cancel(&self, token: u64) {
        let shared = self.calls().get(&token).cloned();
        if let Some(shared) = shared {
            shared.cancel();
        }
    }
}

impl Sandbox {
    /// `store`: the file that plugins keep things in; None for memory only. `threads`: how many guests compute at once. `memory_bytes`: of all
    /// that there are, together.
    ///
    /// # Errors
    /// Where there is no descriptor left.
    pub fn new(store: Option<&Path>, threads: usize, memory_bytes: usize) -> io::Result<Self> {
        start_clocks();
        Ok(Self(Arc::new(Inner {
            outbox: Arc::new(Outbox::new()?),
            threads: Threads::new(threads),
            memory: Arc::new(Budget::new(memory_bytes)),
            calls: Mutex::default(),
            tokens: AtomicU64::new(1),
            plugins: AtomicU64::new(1),
            lines: Mutex::default(),
            store: Store::open(store).map_err(io::Error::other)?,
        })))
    }

    /// Readable while [`Self::take`] has something.
    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        self.0.outbox.descriptor()
    }

    /// Everything that guests had to say since the last time.
    #[must_use]
    pub fn take(&self) -> VecDeque<Event> {
        self.0.outbox.take()
    }

    /// Answers question `number` of the call `token`: JSON, or an error in words. Too late is no error.
    pub fn answer(&self, token: u64, number: u32, answer: Result<String, String>) {
        let shared = self.0.calls().get(&token).cloned();
        if let Some(shared) = shared {
            shared.answer(number, answer);
        }
    }

    /// Nobody waits for the call any more. It still ends, as [`Failure::Cancelled`] or otherwise.
    pub fn cancel(&self, token: u64) {
        self.0.cancel(token);
    }

    /// Calls that run or wait, and threads there are.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.0.calls().len(), self.0.threads.count())
    }

    /// Loads what [`crate::compile`] made. `sha256`: of the file, whose every byte the caller trusts. It is the very
    /// file that was hashed that is then mapped.
    ///
    /// # Errors
    /// [`Failure::Refused`]: it was compiled by or for something else, or is no plugin of this world.
    pub fn load(
        &self,
        name: &str,
        artefact: &Path,
        sha256: [u8; 32],
        kind: Kind,
        world: World,
        grants: Grants,
        bounds: Bounds,
        settings: String,
    ) -> Result<Plugin, Failure> {
        let refused = |error: wasmtime::Error| Failure::Refused(format!("{error:#}"));
        let unreadable =
            |error: io::Error| Failure::Refused(format!("{}: {error}", artefact.display()));
        let mut file = File::open(artefact).map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(unreadable)?;
        file.rewind().map_err(unreadable)?;
        if <[u8; 32]>::from(Sha256::digest(&bytes)) != sha256 {
            return Err(Failure::Refused(format!(
                "{} is not what it was when it was made",
                artefact.display()
            )));
        }
        drop(bytes);
        let engine = &Running::get().engine;
        // The same open file, whatever is at its path by now.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let (ready, wasi) = match kind {
            Kind::Component => {
                #[expect(
                    unsafe_code,
                    reason = "the caller trusts this file, and its hash says that it is this one"
                )]
                let component =
                    unsafe { Component::deserialize_file(engine, path) }.map_err(refused)?;
                let (ready, wasi) = component::Ready::new(&component, world)?;
                (Ready::Component(ready), wasi)
            }
            Kind::Module => {
                #[expect(unsafe_code, reason = "as above")]
                let module = unsafe { Module::deserialize_file(engine, path) }.map_err(refused)?;
                (Ready::Module(module::Ready::new(&module, world)?), false)
            }
        };
        let store = self.0.store.of(name, grants.store_bytes);
        let given = Arc::new(Given {
            settings,
            grants,
            bounds,
            wasi,
            store,
        });
        Ok(Plugin(Arc::new(Loaded {
            number: self.0.plugins.fetch_add(1, Ordering::Relaxed),
            ready,
            given,
            sandbox: Arc::clone(&self.0),
            line: self.0.line_of(name, world),
        })))
    }

    /// Bytes that a plugin keeps, as its quota counts them. Reads the disk.
    ///
    /// # Errors
    /// In words.
    pub fn stored(&self, name: &str) -> Result<u64, String> {
        self.0
            .store
            .of(name, 0)
            .used()
            .map_err(|error| error.to_string())
    }

    /// Removes what a plugin keeps.
    ///
    /// # Errors
    /// In words.
    pub fn forget(&self, name: &str) -> Result<(), String> {
        self.0
            .store
            .of(name, 0)
            .clear()
            .map_err(|error| error.to_string())
    }

    /// Ends what runs, and the threads.
    pub fn close(&self) {
        for shared in self.0.calls().values() {
            shared.cancel();
        }
        self.0.threads.close();
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.close();
    }
}

/// A plugin that can be called.
#[derive(Clone)]
pub struct Plugin(Arc<Loaded>);

struct Loaded {
    number: u64,
    ready: Ready,
    given: Arc<Given>,
    sandbox: Arc<Inner>,
    /// Shared with those of the same name and world that were loaded before: what they keep is the same, and one that
    /// may have a single call at a time keeps it whole.
    line: Arc<Mutex<Line>>,
}

#[derive(Default)]
struct Line {
    running: usize,
    waiting: VecDeque<(Arc<Loaded>, Call)>,
}

/// By name, and whether they are filters.
type Lines = HashMap<(String, bool), Weak<Mutex<Line>>>;

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
