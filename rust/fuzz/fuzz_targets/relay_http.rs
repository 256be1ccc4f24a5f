//! HTTP framing of the relay: what it relays is one whole request that every reader frames the same way.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_fuzz::twin;

fuzz_target!(|data: &[u8]| {
    twin::frame(data);
});
