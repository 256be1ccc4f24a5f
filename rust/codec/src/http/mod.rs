//! HTTP/1.1 on the wire (RFC 9112), strict: what two readers could frame differently is refused.

mod chunked;
mod head;

pub use chunked::ChunkDecoder;
pub use head::{Fields, RequestHead, ResponseHead, parse_request_head, parse_response_head};
