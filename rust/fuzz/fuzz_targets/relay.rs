//! The relay: whatever happens in whatever order, it does what its slow twin does.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_fuzz::twin;

fuzz_target!(|data: &[u8]| {
    twin::play(data);
});
