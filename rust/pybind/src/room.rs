//! Whether there is memory for the work at hand, asked before it begins.
//!
//! An allocation that fails in Rust ends the process. So what grows with a message is asked for here first, at
//! its worst, and given back at once: a `MemoryError` in Python then ends one request. Nothing else allocates
//! meanwhile, as the GIL is held. Messages below `SMALL_BYTES` are not asked for; the `SPARE_BYTES` that must be left
//! over are for them.

use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;

const SMALL_BYTES: usize = 64 * 1024;
const SPARE_BYTES: usize = 1024 * 1024;

/// Fails if `bytes` and the spare ones cannot be had.
pub fn room(bytes: usize) -> PyResult<()> {
    if bytes < SMALL_BYTES {
        return Ok(());
    }
    let mut probe: Vec<u8> = Vec::new();
    let had = probe.try_reserve_exact(bytes.saturating_add(SPARE_BYTES));
    // Without this the compiler sees that the memory is not used, and does not ask for it.
    std::hint::black_box(&mut probe);
    had.map_err(|_| PyMemoryError::new_err("no memory is left for a message of this size"))
}

/// How often one of two bytes is in `buf`: a bound on what it can hold of what they separate or open.
pub fn count(buf: &[u8], one: u8, other: u8) -> usize {
    if buf.len() < SMALL_BYTES {
        return 0;
    }
    buf.iter()
        .filter(|&&byte| byte == one || byte == other)
        .count()
}
