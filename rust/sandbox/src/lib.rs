//! Runs code that nobody trusts: WASM plugins, as components (`wasm/wit/plugin.wit`) or as core modules (ABI 1).
//!
//! A [`Sandbox`] has threads of its own. A call gets a fresh instance, is ended at its deadline, and comes back over a
//! queue with a descriptor that an event loop can wait on. What a guest wants of the gateway goes the same way; the
//! guest's thread waits, the loop never does.

mod call;
mod component;
mod engine;
mod examine;
mod failure;
mod grants;
mod guest;
mod memory;
mod module;
mod outbox;
mod plugin;
mod sandbox;
mod signing;
mod store;
mod threads;
mod wasi;
mod wire;

pub use call::{Question, Verdict, Work};
pub use engine::{compile, engine_key};
pub use examine::{Facts, examine};
pub use failure::Failure;
pub use grants::{Bounds, Grants};
pub use outbox::{Done, Event};
pub use plugin::{Kind, Plugin, World};
pub use sandbox::Sandbox;
pub use signing::{new_key, public_key, sign, verify};
pub use wire::Wire;
