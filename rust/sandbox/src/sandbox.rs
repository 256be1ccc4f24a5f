//! All plugins of a gateway: how they are loaded, and what they say, ask and are answered.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use sha2::{Digest, Sha256};
use wasmtime::Module;
use wasmtime::component::Component;

use crate::call::Shared;
use crate::engine::Running;
use crate::failure::Failure;
use crate::grants::{Bounds, Grants};
use crate::guest::start_clocks;
use crate::memory::Budget;
use crate::outbox::{Event, Outbox};
use crate::plugin::{Given, Kind, Line, Loaded, Plugin, Ready, World};
use crate::store::Store;
use crate::threads::Threads;
use crate::{component, module};

/// All plugins of a gateway.
pub struct Sandbox(Arc<Inner>);

/// By name, and whether they are filters.
type Lines = HashMap<(String, bool), Weak<Mutex<Line>>>;

/// What they share.
pub(crate) struct Inner {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) threads: Arc<Threads>,
    pub(crate) memory: Arc<Budget>,
    pub(crate) calls: Mutex<HashMap<u64, Arc<Shared>>>,
    pub(crate) tokens: AtomicU64,
    plugins: AtomicU64,
    lines: Mutex<Lines>,
    pub(crate) store: Store,
}

impl Inner {
    pub(crate) fn calls(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Shared>>> {
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

    pub(crate) fn cancel(&self, token: u64) {
        let shared = self.calls().get(&token).cloned();
        if let Some(shared) = shared {
            shared.cancel();
        }
    }
}

impl Sandbox {
    /// `store`: the file that plugins keep things in; None for memory only. `threads`: how many guests compute at once.
    /// `memory_bytes`: of all that there are, together.
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
