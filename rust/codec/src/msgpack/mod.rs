//! JSON messages in `MessagePack`, lossless both ways.
//!
//! Key order and duplicate keys stay. An integer of up to 64 bits is an integer; any other number is a
//! float when this crate would print that float exactly as it was spelt, else extension type 1 holding its
//! JSON text. So is a string with a lone surrogate, which `MessagePack` strings cannot hold. White space and
//! the way strings are escaped are not kept. Binary, timestamps, other extensions and keys that are no
//! strings have no JSON and are refused.

mod decode;
mod encode;
mod layout;
mod split;

pub use decode::msgpack_to_json;
pub use encode::json_to_msgpack;
pub use split::MsgpackSplitter;

/// Extension type of a JSON scalar kept as its text.
const JSON_TEXT: u8 = 1;

/// Appends a finite float as the shortest JSON that reads back as it: `1.0`, `1e16`, `2.5e-7`.
fn write_float(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(format!("{value:?}").as_bytes());
}
