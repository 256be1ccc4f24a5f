//! JSON whose numbers, key order and spelling stay as they were: a `Reader` over the text, and a `Value` for what is taken apart.
//!
//! Strict (RFC 8259), no deeper than `MAX_DEPTH`, so that recursion over it is bounded.
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

mod reader;
mod value;
mod write;

pub use reader::{Invalid, Kind, Reader};
pub use value::{Value, pointer_steps};
pub use write::{quote, quote_inner};

/// As deep as the gateway lets a message be.
pub const MAX_DEPTH: usize = 64;
