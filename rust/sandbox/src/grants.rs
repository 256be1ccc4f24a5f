//! What a plugin was given, and its bounds.

use std::path::PathBuf;
use std::time::Duration;

/// What the operator granted. Nothing is there by default.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    /// Folders: (path that the guest sees, path on the box, whether it may write).
    pub folders: Vec<(String, PathBuf, bool)>,
    /// It may write to the log.
    pub log: bool,
    /// It may know the time.
    pub time: bool,
    /// It may have random numbers.
    pub random: bool,
    /// Bytes that it may keep; 0 for none.
    pub store_bytes: u64,
    /// It may use HTTP; which hosts, the loop's side judges.
    pub http: bool,
    /// It may call tools; which ones, the loop's side judges.
    pub call: bool,
}

/// Of all tables of an instance together; more than a compiler makes of any program of a plugin's size.
pub(crate) const TABLE_ELEMENTS: usize = 20_000;

/// What one call may use.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Bytes of all linear memories together.
    pub memory_bytes: usize,
    /// From its first instruction to its last.
    pub deadline: Duration,
    /// Bytes of an answer.
    pub output_bytes: usize,
    /// Calls at once; further ones wait.
    pub concurrency: usize,
    /// Calls that may wait; further ones are refused.
    pub queued: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            memory_bytes: 16 << 20,
            deadline: Duration::from_secs(1),
            output_bytes: 1 << 20,
            concurrency: 4,
            queued: 256,
        }
    }
}
