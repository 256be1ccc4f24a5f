//! What guests have to say to the event loop: a queue, and a descriptor that is readable while it is not empty.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};

use crate::call::{Question, Verdict};
use crate::failure::Failure;

/// How a call went.
#[derive(Debug)]
pub enum Done {
    /// A tool's result: a JSON object, not yet checked.
    Result(String),
    /// A tool's own error, for the model to read.
    Error(String),
    /// What a filter says.
    Verdict(Verdict),
}

/// One thing for the event loop.
#[derive(Debug)]
pub enum Event {
    /// The call `token` is over, after so much time of a processor.
    Ended {
        /// By its number.
        plugin: u64,
        /// As [`crate::Plugin::start`] gave it.
        token: u64,
        /// How it went.
        outcome: Result<Done, Failure>,
        /// Time of a processor that it took.
        cpu: Duration,
    },
    /// As `Ended`, of a call that came over a [`crate::Wire`].
    Line {
        /// By its number.
        plugin: u64,
        /// As [`crate::Wire::send`] gave it.
        token: u64,
        /// The answer, newline included.
        line: Vec<u8>,
        /// Why it is an error, if it is one.
        outcome: Result<(), Failure>,
        /// Time of a processor that it took.
        cpu: Duration,
    },
    /// The call `token` waits for an answer to question number `number`.
    Asked {
        /// By its number.
        plugin: u64,
        /// Of the call.
        token: u64,
        /// Of the question, within the call.
        number: u32,
        /// What it wants.
        question: Question,
    },
    /// The call `token`, or (0) the sandbox itself, has something for the log.
    Said {
        /// By its number; 0 is the sandbox.
        plugin: u64,
        /// Of the call.
        token: u64,
        /// 0 is debug, 1 info, 2 warning, 3 error.
        level: u8,
        /// One line, bounded.
        text: String,
    },
}

pub(crate) struct Outbox {
    events: Mutex<VecDeque<Event>>,
    readable: OwnedFd,
}

impl Outbox {
    pub(crate) fn new() -> io::Result<Self> {
        let readable = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            events: Mutex::default(),
            readable,
        })
    }

    pub(crate) fn descriptor(&self) -> RawFd {
        self.readable.as_raw_fd()
    }

    pub(crate) fn put(&self, event: Event) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let first = events.is_empty();
        events.push_back(event);
        if first {
            // Fails only when it has not been read 2⁶⁴ times.
            let _ = rustix::io::write(&self.readable, &1u64.to_ne_bytes());
        }
    }

    /// Everything so far.
    pub(crate) fn take(&self) -> VecDeque<Event> {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = rustix::io::read(&self.readable, &mut [0u8; 8]);
        std::mem::take(&mut *events)
    }
}
