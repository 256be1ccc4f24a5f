//! Responses of HTTP servers to relayed calls: in any pieces they come to what all of their bytes say.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_fuzz::twin;

fuzz_target!(|data: &[u8]| {
    twin::respond(data);
});
