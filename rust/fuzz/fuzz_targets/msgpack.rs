//! `MessagePack` to JSON: what comes out is JSON, and packing it again keeps it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_codec::msgpack::{json_to_msgpack, msgpack_to_json};

fuzz_target!(|data: &[u8]| {
    let Ok(json) = msgpack_to_json(data) else {
        return;
    };
    let packed = json_to_msgpack(&json).expect("JSON of ours");
    assert_eq!(msgpack_to_json(&packed).as_deref(), Ok(json.as_slice()));
});
