//! The fast lane: a decision that the slow lane took once is repeated for the next message like it.
//!
//! A *flow* is such a decision, noted under a key that says all it depended on. `Relay` holds the flows and the calls
//! in flight by them. It is told of bytes and of the time, and says what to write where; it has no sockets, no clock
//! and no Python, so the same input always leads to the same output. What it does not know for certain it leaves
//! alone: the driver (`rust/pybind/src/relay`) hands the bytes to the slow lane, and with them, if a call is already
//! under way, all that the slow lane needs to go on with it (`Taken`).

pub mod bucket;
mod choice;
pub mod flow;
mod head;
mod ids;
mod meta;
mod relay;
mod request;
mod response;
pub mod rewriting;
mod slab;
pub mod tally;

pub use bucket::Bucket;
pub use flow::{Coding, Decision, Scope};
pub use relay::{Answer, Asked, Heard, Limits, Piece, Relay, SlowLane, Taken, To};
pub use rewriting::{Answers, Change, Edit, Fitting, Meta, Words, finder};
pub use tally::{Counted, Outcome, Total};
