//! What can go wrong with a guest, in the words that its caller is told.

use std::fmt;
use std::str::Utf8Error;

use rustix::io::Errno;
use wasmtime::{PoolConcurrencyLimitError, Trap};

/// Why a call of a plugin came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It ran into something that no program may do, or gave up.
    Trapped(String),
    /// It took longer than it may.
    Deadline,
    /// It wanted more memory, or larger tables, than it may have.
    OutOfMemory,
    /// It called itself too deeply.
    StackExhausted,
    /// Its answer has more bytes than it may have.
    OutputTooLarge(usize),
    /// Its answer is not what the contract says.
    Garbage(String),
    /// It used what it was not given.
    NotGranted(&'static str),
    /// More calls wait for it than may.
    Busy,
    /// The box has no addresses left where its memory could be.
    NoRoom,
    /// Whoever called it wants no answer any more.
    Cancelled,
    /// It cannot be loaded.
    Refused(String),
}

impl Failure {
    /// A stable name, as in `errors.py`.
    #[must_use]
    pub fn slug(&self) -> &'static str {
        match self {
            Self::Trapped(_) => "plugin_trapped",
            Self::Deadline => "plugin_deadline",
            Self::OutOfMemory => "plugin_out_of_memory",
            Self::StackExhausted => "plugin_stack_exhausted",
            Self::OutputTooLarge(_) => "plugin_output_too_large",
            Self::Garbage(_) => "plugin_garbage",
            Self::NotGranted(_) => "plugin_not_granted",
            Self::Busy | Self::NoRoom => "plugin_busy",
            Self::Cancelled => "cancelled",
            Self::Refused(_) => "plugin_refused",
        }
    }

    /// What an error of the runtime means. `denied`: the guest was refused memory before it.
    pub(crate) fn of(error: &wasmtime::Error, denied: bool) -> Self {
        if let Some(failure) = error.downcast_ref::<Self>() {
            return failure.clone();
        }
        if denied {
            return Self::OutOfMemory;
        }
        if error.is::<PoolConcurrencyLimitError>() {
            return Self::Busy;
        }
        if error.root_cause().downcast_ref() == Some(&Errno::NOMEM) {
            return Self::NoRoom;
        }
        if error.is::<Utf8Error>() {
            return Self::Garbage("a text is not in UTF-8".into());
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::StackOverflow) => Self::StackExhausted,
            Some(Trap::Interrupt) => Self::Deadline,
            Some(trap) => Self::Trapped(trap.to_string()),
            // The chain's first words say what was done, its last why that failed; between are frames of the guest.
            None => Self::Trapped(clipped(&error.root_cause().to_string())),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trapped(why) => write!(out, "it trapped: {why}"),
            Self::Deadline => write!(out, "it did not finish in time"),
            Self::OutOfMemory => write!(out, "it wanted more memory than it may have"),
            Self::StackExhausted => write!(out, "it called itself too deeply"),
            Self::OutputTooLarge(bytes) => {
                write!(out, "its answer has {bytes} bytes, more than it may")
            }
            Self::Garbage(why) => write!(out, "its answer is not what it should be: {why}"),
            Self::NotGranted(what) => write!(out, "it used `{what}`, which it was not granted"),
            Self::Busy => write!(out, "too many calls wait for it already"),
            Self::NoRoom => write!(
                out,
                "no addresses are left for its memories, of 4 GiB each: a limit on them (`ulimit -v`, `LimitAS=`) is low"
            ),
            Self::Cancelled => write!(out, "the call was cancelled"),
            Self::Refused(why) => write!(out, "{why}"),
        }
    }
}

impl std::error::Error for Failure {}

/// At most 200 bytes of a text that a guest may have had its hand in.
fn clipped(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.char_indices()
        .take_while(|(at, _)| *at < 200)
        .map(|(_, c)| c)
        .collect()
}
