//! One call of a plugin: what is to be done, until when, and the answers it waits for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

use crate::failure::Failure;

/// What a guest is to do.
#[derive(Debug)]
pub enum Work {
    /// Say which tools it has.
    ListTools,
    /// Serve a tool: its name, and arguments as a JSON object.
    CallTool(String, String),
    /// Judge a call, a JSON object.
    InspectRequest(String),
    /// Judge a call's result: both are JSON objects.
    InspectResult(String, String),
}

/// What a filter says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Goes on as it is.
    Pass,
    /// Goes on with this JSON instead.
    Change(String),
    /// Goes no further, for this reason.
    Refuse(String),
    /// Goes on once a person agrees to this.
    Ask(String),
}

/// What a guest wants of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// An HTTP request, a JSON object.
    Http(String),
    /// A tool's name and its arguments.
    CallTool(String, String),
    /// Key, milliseconds, a tool's name and its arguments.
    Arm(String, u32, String, String),
    /// Key.
    Disarm(String),
}

/// The parts of a call that its caller and its thread share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    cancelled: AtomicBool,
    desk: Mutex<Desk>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Desk {
    number: u32,
    answer: Option<Result<String, String>>,
}

impl Shared {
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        // With the lock, so that nobody is between looking and waiting.
        let _desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
        self.changed.notify_all();
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// The number of a new question. What is still answered to an older one is dropped.
    pub(crate) fn ask(&self) -> u32 {
        let mut desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
        desk.number += 1;
        desk.answer = None;
        desk.number
    }

    pub(crate) fn answer(&self, number: u32, answer: Result<String, String>) {
        let mut desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
        // Once: a second answer is not to take the place of one that the guest may have seen.
        if desk.number == number && desk.answer.is_none() {
            desk.answer = Some(answer);
            self.changed.notify_all();
        }
    }

    /// Waits for the answer to the last question.
    pub(crate) fn wait(&self, until: Instant) -> Result<Result<String, String>, Failure> {
        let mut desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if self.is_cancelled() {
                return Err(Failure::Cancelled);
            }
            if let Some(answer) = desk.answer.take() {
                return Ok(answer);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Failure::Deadline);
            }
            desk = self
                .changed
                .wait_timeout(desk, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}
