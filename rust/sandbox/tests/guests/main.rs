//! Guests that mean harm or are broken, against the sandbox as its users see it. Each is written where it is used.

#![expect(
    clippy::format_collect,
    reason = "guests are short texts, made of pieces"
)]

mod abi;
mod bounds;
mod ends;
mod folders;
mod house;
mod line;
mod loading;
mod questions;
