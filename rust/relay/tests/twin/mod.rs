//! The relay beside a slow, obvious twin of it, in scenarios that are read from arbitrary bytes.
//!
//! Run by `tests/corpora.rs` on the committed inputs, and by the fuzz targets `relay` and `relay_http` on others.

mod answers;
mod asks;
mod choices;
mod framing;
mod model;
mod scenario;
mod smuggling;

pub use scenario::play;
pub use smuggling::frame;
