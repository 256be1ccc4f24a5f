//! `tidegate._native`: the codec as Python sees it. Conversions only; what the functions mean stands in
//! `python/tidegate/_native.pyi`, what they do in `rust/codec` and `rust/seal`.
//!
//! The GIL is held throughout: every call is short work on the loop thread, and giving the GIL away there
//! costs far more in waiting to get it back.

mod coding;
mod error;
mod http;
mod json;
mod lines;
mod msgpack;
mod relay;
mod room;
mod seal;
mod sse;

use pyo3::prelude::*;

/// Every name of the module, in one place.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::coding::{compress, inflate};
    #[pymodule_export]
    use super::http::{
        ChunkDecoder, RequestHead, ResponseHead, parse_request_head, parse_response_head,
    };
    #[pymodule_export]
    use super::json::{
        Envelope, array_spans, find_member, member_spans, patch_object, scan, splice,
    };
    #[pymodule_export]
    use super::lines::LineSplitter;
    #[pymodule_export]
    use super::msgpack::{MsgpackSplitter, json_to_msgpack, msgpack_to_json};
    #[pymodule_export]
    use super::relay::{
        Bucket, HttpChannel, HttpDownstream, HttpPool, LineUpstream, Relay, Scope,
        StreamDownstream, Upstream,
    };
    #[pymodule_export]
    use super::seal::{seal, unseal};
    #[pymodule_export]
    use super::sse::{SseDecoder, SseEvent, encode_sse};
    use tidegate_codec::json::MessageKind;

    #[pymodule_export]
    const REQUEST: u8 = MessageKind::Request as u8;
    #[pymodule_export]
    const NOTIFICATION: u8 = MessageKind::Notification as u8;
    #[pymodule_export]
    const RESULT: u8 = MessageKind::Result as u8;
    #[pymodule_export]
    const ERROR: u8 = MessageKind::Error as u8;
    #[pymodule_export]
    const BATCH: u8 = MessageKind::Batch as u8;
    /// Compared with `tidegate.__version__`: a stale extension refuses to import.
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}
