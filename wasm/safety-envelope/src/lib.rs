//! Keeps commands to physical tools within an envelope: ranges of arguments, rate of change, approval, a dead man's switch.
//!
//! Fails closed: what is odd, missing or unknown is refused, as is everything while the store cannot be used. Only calls of a
//! stop tool always go through. The gateway runs one of these at a time (`concurrency = 1`), so that what is checked against
//! the last values still holds when the next ones are written; and it tells how each call that went through has ended.
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

#[cfg(test)]
mod bench;
mod envelope;
mod history;
mod interval;
mod range;
mod settings;
mod switch;
#[cfg(test)]
mod under_way;

use alloc::string::String;
use alloc::vec::Vec;

pub use envelope::{ended, inspect};

/// What the gateway offers of which this makes use; in tests, a stand-in.
pub trait Surroundings {
    fn monotonic_ms(&self) -> u64;
    fn now_ms(&self) -> u64;
    fn get(&self, key: &str) -> Result<Option<String>, String>;
    fn set(&self, key: &str, value: &str) -> Result<(), String>;
    fn delete(&self, key: &str) -> Result<(), String>;
    fn keys(&self, prefix: &str) -> Result<Vec<String>, String>;
    fn arm(&self, key: &str, after_ms: u32, tool: &str, arguments: &str) -> Result<(), String>;
    fn disarm(&self, key: &str);
}

#[derive(Debug, PartialEq)]
pub enum Answer {
    Pass,
    Refuse(String),
    Ask(String),
}

#[cfg(target_arch = "wasm32")]
mod plugin {
    use alloc::string::String;
    use alloc::vec::Vec;
    use tidegate::Verdict;

    use super::{Answer, Surroundings, ended, inspect};

    struct Gateway;

    impl Surroundings for Gateway {
        fn monotonic_ms(&self) -> u64 {
            tidegate::monotonic_ms()
        }
        fn now_ms(&self) -> u64 {
            tidegate::now_ms()
        }
        fn get(&self, key: &str) -> Result<Option<String>, String> {
            tidegate::store::get(key)
        }
        fn set(&self, key: &str, value: &str) -> Result<(), String> {
            tidegate::store::set(key, value)
        }
        fn delete(&self, key: &str) -> Result<(), String> {
            tidegate::store::delete(key)
        }
        fn keys(&self, prefix: &str) -> Result<Vec<String>, String> {
            tidegate::store::keys(prefix)
        }
        fn arm(&self, key: &str, after_ms: u32, tool: &str, arguments: &str) -> Result<(), String> {
            tidegate::tools::arm(key, after_ms, tool, arguments)
        }
        fn disarm(&self, key: &str) {
            tidegate::tools::disarm(key);
        }
    }

    fn request(call: &str) -> Verdict {
        match inspect(call, &tidegate::settings(), &Gateway) {
            Answer::Pass => Verdict::Pass,
            Answer::Refuse(why) => Verdict::Refuse(why),
            Answer::Ask(question) => Verdict::Ask(question),
        }
    }

    fn result(call: &str, outcome: &str) -> Verdict {
        ended(call, outcome, &tidegate::settings(), &Gateway);
        Verdict::Pass
    }

    tidegate::filter_plugin!(request, result);
}
