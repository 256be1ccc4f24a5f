//! A sandbox with a folder for artefacts, guests made of WebAssembly text, and waiting for what they say.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sha2::{Digest, Sha256};
use tidegate_sandbox::{
    Bounds, Done, Event, Failure, Grants, Kind, Plugin, Question, Sandbox, Verdict, Work, World,
    compile,
};

/// How long anything is waited for that is bound to come.
const PATIENCE: Duration = Duration::from_secs(30);
/// Of a call; its plugin's deadline ends it before.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A folder that goes with the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let nth = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("tidegate-guests-{}-{nth}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a guest gets beside its code.
pub struct Given {
    /// One of its own, where it is empty.
    pub name: &'static str,
    pub world: World,
    pub grants: Grants,
    pub bounds: Bounds,
    pub settings: &'static str,
}

impl Default for Given {
    fn default() -> Self {
        Self {
            name: "",
            world: World::Tool,
            grants: Grants::default(),
            bounds: bounds(),
            settings: "{}",
        }
    }
}

/// A deadline that no guest reaches which is not about deadlines.
pub fn bounds() -> Bounds {
    Bounds {
        deadline: Duration::from_secs(10),
        ..Bounds::default()
    }
}

pub struct House {
    pub sandbox: Sandbox,
    pub folder: Folder,
    heard: RefCell<VecDeque<Event>>,
}

impl House {
    pub fn new() -> Self {
        Self::with_threads(4)
    }

    pub fn with_threads(threads: usize) -> Self {
        Self::with(threads, 1 << 30)
    }

    /// `memory_bytes`: of all guests together.
    pub fn with(threads: usize, memory_bytes: usize) -> Self {
        Self {
            sandbox: Sandbox::new(None, threads, memory_bytes).unwrap(),
            folder: Folder::new(),
            heard: RefCell::default(),
        }
    }

    /// Loads a module or component given as text.
    pub fn load(&self, text: &str, given: Given) -> Result<Plugin, Failure> {
        let wasm = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let code = compile(&wasm, None)?;
        let kind = if wasm[4] == 1 {
            Kind::Module
        } else {
            Kind::Component
        };
        self.load_code(&code, Sha256::digest(&code).into(), kind, given)
    }

    pub fn load_code(
        &self,
        code: &[u8],
        sha256: [u8; 32],
        kind: Kind,
        given: Given,
    ) -> Result<Plugin, Failure> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let nth = MADE.fetch_add(1, Ordering::Relaxed);
        let file = self.folder.0.join(format!("{nth}.cwasm"));
        fs::write(&file, code).unwrap();
        self.load_file(&file, sha256, kind, given)
    }

    pub fn load_file(
        &self,
        file: &Path,
        sha256: [u8; 32],
        kind: Kind,
        given: Given,
    ) -> Result<Plugin, Failure> {
        static LOADED: AtomicU32 = AtomicU32::new(0);
        let own = format!("guest-{}", LOADED.fetch_add(1, Ordering::Relaxed));
        self.sandbox.load(
            if given.name.is_empty() {
                &own
            } else {
                given.name
            },
            file,
            sha256,
            kind,
            given.world,
            given.grants,
            given.bounds,
            given.settings.into(),
        )
    }

    /// A tool that is granted nothing.
    pub fn tool(&self, text: &str) -> Plugin {
        self.load(text, Given::default()).unwrap()
    }

    pub fn start(&self, plugin: &Plugin, name: &str) -> u64 {
        self.start_within(plugin, name, TIMEOUT)
    }

    #[expect(clippy::unused_self, reason = "as `start`, which is of the house")]
    pub fn start_within(&self, plugin: &Plugin, name: &str, timeout: Duration) -> u64 {
        begin(plugin, Work::CallTool(name.into(), "{}".into()), timeout)
    }

    /// Calls a tool, and waits for its end.
    pub fn call(&self, plugin: &Plugin, name: &str) -> Result<Done, Failure> {
        let token = self.start(plugin, name);
        self.end_of(token)
    }

    pub fn inspect(&self, plugin: &Plugin) -> Result<Verdict, Failure> {
        let token = begin(plugin, Work::InspectRequest("{}".into()), TIMEOUT);
        self.end_of(token).map(|done| match done {
            Done::Verdict(verdict) => verdict,
            other => panic!("no verdict: {other:?}"),
        })
    }

    /// How the call went.
    pub fn end_of(&self, token: u64) -> Result<Done, Failure> {
        self.next(|event| match event {
            Event::Ended { token: of, .. } => *of == token,
            _ => false,
        })
        .map(|event| match event {
            Event::Ended { outcome, .. } => outcome,
            _ => unreachable!(),
        })
        .expect("a call ends")
    }

    /// The answer to a call over a wire, and why it is an error.
    pub fn line_of(&self, token: u64) -> (String, Result<(), Failure>) {
        match self.next(|event| matches!(event, Event::Line { token: of, .. } if *of == token)) {
            Some(Event::Line { line, outcome, .. }) => (String::from_utf8(line).unwrap(), outcome),
            _ => panic!("a call is answered"),
        }
    }

    /// The tokens of calls, in the order in which they ended.
    pub fn order_of(&self, calls: usize) -> Vec<u64> {
        (0..calls)
            .map(
                |_| match self.next(|event| matches!(event, Event::Ended { .. })) {
                    Some(Event::Ended { token, .. }) => token,
                    _ => panic!("a call ends"),
                },
            )
            .collect()
    }

    /// What the call asks the gateway: the question's number, and the question.
    pub fn asked(&self, token: u64) -> (u32, Question) {
        self.next(|event| matches!(event, Event::Asked { token: of, .. } if *of == token))
            .map(|event| match event {
                Event::Asked {
                    number, question, ..
                } => (number, question),
                _ => unreachable!(),
            })
            .expect("it asks")
    }

    /// Whoever asks next.
    pub fn anyone_asks(&self) -> (u64, u32) {
        match self.next(|event| matches!(event, Event::Asked { .. })) {
            Some(Event::Asked { token, number, .. }) => (token, number),
            _ => panic!("somebody asks"),
        }
    }

    /// Lines for the log so far: level and text.
    pub fn said(&self) -> Vec<(u8, String)> {
        self.heard.borrow_mut().extend(self.sandbox.take());
        self.heard
            .borrow()
            .iter()
            .filter_map(|event| match event {
                Event::Said { level, text, .. } => Some((*level, text.clone())),
                _ => None,
            })
            .collect()
    }

    /// What was heard and not yet looked at, or comes.
    fn next(&self, wanted: impl Fn(&Event) -> bool) -> Option<Event> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let mut heard = self.heard.borrow_mut();
            if let Some(at) = heard.iter().position(&wanted) {
                return heard.remove(at);
            }
            heard.extend(self.sandbox.take());
            if heard.iter().any(&wanted) {
                continue;
            }
            if Instant::now() > patience {
                return None;
            }
            self.wait();
        }
    }

    fn wait(&self) {
        #[expect(unsafe_code, reason = "the sandbox outlives the wait")]
        let descriptor = unsafe { BorrowedFd::borrow_raw(self.sandbox.descriptor()) };
        let second = Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        };
        let _ = poll(
            &mut [PollFd::new(&descriptor, PollFlags::IN)],
            Some(&second),
        );
    }

    /// Once nothing runs and nothing waits.
    pub fn calls(&self) -> usize {
        self.sandbox.counts().0
    }

    pub fn threads(&self) -> usize {
        self.sandbox.counts().1
    }
}

pub fn begin(plugin: &Plugin, work: Work, timeout: Duration) -> u64 {
    plugin.start(work, timeout)
}

/// Waits for what is bound to be so.
pub fn until(what: &str, is_so: impl Fn() -> bool) {
    let patience = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < patience, "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Runs an ignored test in a process of its own, where no other test's threads and memory are.
pub fn apart(test: &str) {
    let ended = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", test])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(
        ended.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

/// What a tool answers that went well, as it wrote it.
pub fn result_of(outcome: Result<Done, Failure>) -> String {
    match outcome {
        Ok(Done::Result(json)) => json,
        other => panic!("no result: {other:?}"),
    }
}

/// A module of ABI 1 that allocates in order, from 4096 on, in its one or `pages` pages. `call`: the body of
/// `tidegate_call`, of `$at` and `$len`; `more`: what else belongs into the module, imports first.
pub fn module(imports: &str, call: &str, more: &str) -> String {
    format!(
        r#"(module
  {imports}
  (memory (export "memory") 1)
  (global $free (mut i32) (i32.const 4096))
  (func $alloc (export "tidegate_alloc") (param $len i32) (result i32)
    global.get $free
    (global.set $free (i32.add (global.get $free) (local.get $len))))
  (func (export "tidegate_call") (param $at i32) (param $len i32) (result i64) {call})
  {more})"#
    )
}

/// A module that answers this text, whatever it is asked.
pub fn answering(text: &str) -> String {
    module("", &packed(1024, text.len()), &data(1024, text))
}

/// `(ptr << 32) | len`, as an instruction.
pub fn packed(at: usize, len: usize) -> String {
    format!("(i64.const {})", (at << 32) | len)
}

/// A segment with this text.
pub fn data(at: usize, text: &str) -> String {
    let escaped: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    format!("(data (i32.const {at}) \"{escaped}\")")
}

/// Does `call`, which drops nothing and leaves nothing, and answers an empty result.
pub fn doing(imports: &str, call: &str, more: &str) -> String {
    let text = r#"{"result":{}}"#;
    let body = format!("{call} {}", packed(1024, text.len()));
    module(imports, &body, &format!("{more} {}", data(1024, text)))
}

pub const LOOP: &str = "(loop $for_ever (br $for_ever))";
