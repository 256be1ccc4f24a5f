//! JSON to `MessagePack` and back: equal in value, numbers as they were spelt.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tidegate_codec::msgpack::{json_to_msgpack, msgpack_to_json};

fuzz_target!(|data: &[u8]| {
    let Ok(packed) = json_to_msgpack(data) else {
        return;
    };
    let back = msgpack_to_json(&packed).expect("MessagePack of ours");
    assert_eq!(json_to_msgpack(&back).as_deref(), Ok(packed.as_slice()));
    // With `arbitrary_precision` numbers are compared as text.
    if let Ok(value) = serde_json::from_slice::<Value>(data) {
        assert_eq!(serde_json::from_slice::<Value>(&back).ok(), Some(value));
    }
});
