//! What a running guest has: its bounds, its grants, and the gateway's services, the same for both kinds of guests.

use std::sync::{Arc, LazyLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use wasmtime::{ResourceLimiter, Store, UpdateDeadline};

use crate::call::{Question, Shared};
use crate::engine::Running;
use crate::failure::Failure;
use crate::grants::TABLE_ELEMENTS;
use crate::memory::Budget;
use crate::outbox::{Event, Outbox};
use crate::plugin::Given;
use crate::store::PluginStore;
use crate::threads::{Threads, Waiting};
use crate::wasi::Wasi;

/// Lines that one call may write to the log, and bytes of each.
const LINES: u32 = 64;
const LINE_BYTES: usize = 2048;
/// What one call may ask of the gateway: each takes time of the event loop.
const QUESTIONS: u32 = 1000;
/// Bytes of a question to the gateway, which the event loop reads: as much as takes it a few milliseconds.
const QUESTION_BYTES: usize = 512 << 10;
/// Of one component: it may be made of several modules.
const INSTANCES: usize = 64;
const MEMORIES: usize = 16;
const TABLES: usize = 64;

/// What monotonic clocks of guests count from.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Monotonic clocks go from now on, at the latest: to the first guest that looks, some time has passed already.
pub(crate) fn start_clocks() {
    LazyLock::force(&START);
}

/// The data of a guest's store.
pub(crate) struct Guest {
    pub(crate) given: Arc<Given>,
    pub(crate) wasi: Option<Box<Wasi>>,
    /// It was refused memory, or larger tables.
    pub(crate) denied: bool,
    link: Link,
    deadline: Instant,
    memory: usize,
    elements: usize,
    lines: u32,
}

/// The way to the event loop.
pub(crate) struct Link {
    pub(crate) plugin: u64,
    pub(crate) token: u64,
    pub(crate) shared: Arc<Shared>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) threads: Arc<Threads>,
    pub(crate) memory: Arc<Budget>,
}

pub(crate) type Answer = Result<String, String>;

impl Guest {
    /// A store for one call.
    pub(crate) fn store(
        given: &Arc<Given>,
        link: Link,
        deadline: Instant,
    ) -> Result<Store<Self>, Failure> {
        let wasi = given
            .wasi
            .then(|| Wasi::new(given))
            .transpose()?
            .map(Box::new);
        let guest = Self {
            given: Arc::clone(given),
            wasi,
            denied: false,
            link,
            deadline,
            memory: 0,
            elements: 0,
            lines: 0,
        };
        let mut store = Store::new(&Running::get().engine, guest);
        store.limiter(|guest| guest);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|context| {
            let guest = context.data();
            if guest.link.shared.is_cancelled() {
                Err(Failure::Cancelled.into())
            } else if Instant::now() >= guest.deadline {
                Err(Failure::Deadline.into())
            } else {
                Ok(UpdateDeadline::Continue(1))
            }
        });
        Ok(store)
    }

    /// The thread waits as long as what comes second lives; whether the call is cancelled, the first knows.
    pub(crate) fn stepping_aside(&self) -> (Arc<Shared>, Waiting) {
        (
            Arc::clone(&self.link.shared),
            self.link.threads.waiting(self.link.plugin),
        )
    }

    /// Until when the call may run.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(crate) fn log(&mut self, level: u8, text: &str) -> Result<(), Failure> {
        need("log", self.given.grants.log)?;
        self.lines += 1;
        if self.lines > LINES {
            return Ok(());
        }
        let text = if self.lines == LINES {
            "(what follows in this call is not written)"
        } else {
            text
        };
        let mut end = text.len().min(LINE_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.link.outbox.put(Event::Said {
            plugin: self.link.plugin,
            token: self.link.token,
            level: level.min(3),
            text: text[..end].to_owned(),
        });
        Ok(())
    }

    pub(crate) fn now_ms(&self) -> Result<u64, Failure> {
        need("time", self.given.grants.time)?;
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Ok(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn monotonic_ms(&self) -> Result<u64, Failure> {
        need("time", self.given.grants.time)?;
        Ok(u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// What it keeps between calls.
    pub(crate) fn kept(&self) -> Result<Kept<'_>, Failure> {
        need("store", self.given.grants.store_bytes > 0)?;
        Ok(Kept(&self.given.store))
    }

    pub(crate) fn http(&self, request: String) -> Result<Answer, Failure> {
        need("http", self.given.grants.http)?;
        self.ask(request.len(), Question::Http(request))
    }

    pub(crate) fn call_tool(&self, name: String, arguments: String) -> Result<Answer, Failure> {
        need("call", self.given.grants.call)?;
        self.ask(
            name.len() + arguments.len(),
            Question::CallTool(name, arguments),
        )
    }

    pub(crate) fn arm(
        &self,
        key: String,
        after_ms: u32,
        name: String,
        arguments: String,
    ) -> Result<Answer, Failure> {
        need("call", self.given.grants.call)?;
        self.ask(
            key.len() + name.len() + arguments.len(),
            Question::Arm(key, after_ms, name, arguments),
        )
    }

    pub(crate) fn disarm(&self, key: String) -> Result<(), Failure> {
        need("call", self.given.grants.call)?;
        self.ask(key.len(), Question::Disarm(key)).map(drop)
    }

    /// Asks the event loop, and waits. Another thread may take this one's place among those that compute.
    fn ask(&self, bytes: usize, question: Question) -> Result<Answer, Failure> {
        if bytes > QUESTION_BYTES {
            return Ok(Err(format!(
                "what is asked has {bytes} bytes; at most {QUESTION_BYTES} are taken"
            )));
        }
        let link = &self.link;
        let number = link.shared.ask();
        if number > QUESTIONS {
            return Ok(Err(format!(
                "it has asked for {QUESTIONS} things already, and a call may ask for no more"
            )));
        }
        let _waiting = link.threads.waiting(link.plugin);
        link.outbox.put(Event::Asked {
            plugin: link.plugin,
            token: link.token,
            number,
            question,
        });
        link.shared.wait(self.deadline)
    }
}

pub(crate) fn need(what: &'static str, granted: bool) -> Result<(), Failure> {
    if granted {
        Ok(())
    } else {
        Err(Failure::NotGranted(what))
    }
}

/// The store in the guest's terms: texts, and errors in words.
pub(crate) struct Kept<'a>(&'a PluginStore);

impl Kept<'_> {
    pub(crate) fn get(&self, key: &str) -> Result<Option<String>, String> {
        let value = self
            .0
            .get(key.as_bytes())
            .map_err(|error| error.to_string())?;
        value
            .map(String::from_utf8)
            .transpose()
            .map_err(|_| "the value is no text".into())
    }

    pub(crate) fn set(&self, key: &str, value: &str) -> Result<(), String> {
        self.0
            .set(key.as_bytes(), value.as_bytes())
            .map_err(|error| error.to_string())
    }

    pub(crate) fn delete(&self, key: &str) -> Result<(), String> {
        self.0
            .delete(key.as_bytes())
            .map(drop)
            .map_err(|error| error.to_string())
    }

    pub(crate) fn keys(&self, prefix: &str) -> Result<Vec<String>, String> {
        let keys = self
            .0
            .keys(prefix.as_bytes())
            .map_err(|error| error.to_string())?;
        Ok(keys
            .into_iter()
            .filter_map(|key| String::from_utf8(key).ok())
            .collect())
    }
}

/// Whether one of several may grow, of which the `total` is bounded. `maximum`: its own, or that of its place.
fn grow(
    total: &mut usize,
    current: usize,
    desired: usize,
    maximum: Option<usize>,
    most: usize,
) -> bool {
    let wanted = *total - current.min(*total) + desired;
    let granted = wanted <= most && maximum.is_none_or(|maximum| desired <= maximum);
    if granted {
        *total = wanted;
    }
    granted
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.link.memory.give_back(self.memory);
    }
}

impl ResourceLimiter for Guest {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let before = self.memory;
        let most = self.given.bounds.memory_bytes;
        let mut granted = grow(&mut self.memory, current, desired, maximum, most);
        if granted && !self.link.memory.take(self.memory - before) {
            self.memory = before;
            granted = false;
        }
        self.denied |= !granted;
        Ok(granted)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let granted = grow(
            &mut self.elements,
            current,
            desired,
            maximum,
            TABLE_ELEMENTS,
        );
        self.denied |= !granted;
        Ok(granted)
    }

    fn instances(&self) -> usize {
        INSTANCES
    }

    fn tables(&self) -> usize {
        TABLES
    }

    fn memories(&self) -> usize {
        MEMORIES
    }
}
