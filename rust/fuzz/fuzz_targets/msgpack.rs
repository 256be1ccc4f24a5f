//! `MessagePack` to JSON: what comes out is JSON, and once packed by us it stays as it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_codec::msgpack::{json_to_msgpack, msgpack_to_json};

fuzz_target!(|data: &[u8]| {
    let Ok(json) = msgpack_to_json(data) else {
        return;
    };
    let packed = json_to_msgpack(&json).expect("JSON of ours");
    // A JSON text extension of another writer may hold what ours writes as a string.
    let back = msgpack_to_json(&packed).expect("MessagePack of ours");
    assert_eq!(json_to_msgpack(&back).as_deref(), Ok(packed.as_slice()));
});
