//! What the relay does, one promise a test.

mod admission;
mod answers;
mod channels;
mod flows;
mod handing_over;
mod memory;
mod pieces;
mod rewriting;
mod scene;
