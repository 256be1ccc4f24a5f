//! Queries of JSON and CSV: the tools `query_json`, `query_csv`, `csv_to_json` and `json_to_csv`.
//!
//! The texts come from anywhere, so whatever a query makes is counted (`Budget`), and nothing recurses without bound.
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

mod arguments;
mod budget;
mod csv;
mod order;
mod parse;
mod run;
mod table;
mod tools;

pub use tools::call;

#[cfg(target_arch = "wasm32")]
tidegate::tool_plugin!(call);
