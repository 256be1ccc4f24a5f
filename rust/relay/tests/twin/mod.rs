//! The relay beside a slow, obvious twin of it, in scenarios that are read from arbitrary bytes.
//!
//! Run by `tests/corpora.rs` on the committed inputs, and by the fuzz targets `relay`, `relay_http` and `relay_response` on others.

mod answers;
mod asks;
mod choices;
mod framing;
mod idle;
mod model;
mod responses;
mod scenario;
mod smuggling;

pub use responses::respond;
pub use scenario::play;
pub use smuggling::frame;
