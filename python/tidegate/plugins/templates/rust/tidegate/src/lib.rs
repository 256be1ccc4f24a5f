//! What a plugin says to the gateway, and hears from it: `wasm/wit/plugin.wit` in Rust, by the component model's canonical ABI.
//!
//! A plugin calls `tool_plugin!` or `filter_plugin!` once. Of what the gateway offers, the component imports what is called,
//! and each call needs what the manifest asks for and the operator grants. The gateway makes an instance for every call, so
//! nothing here is ever given back.
#![no_std]
#![cfg(target_arch = "wasm32")]

pub extern crate alloc;

mod abi;
#[cfg(not(feature = "std"))]
mod bare;

use abi::{Area, Pair};
use alloc::string::String;
use alloc::vec::Vec;

/// What Rust's own prelude has beyond `core`.
pub mod prelude {
    pub use alloc::borrow::ToOwned;
    pub use alloc::boxed::Box;
    pub use alloc::string::{String, ToString};
    pub use alloc::vec::Vec;
    pub use alloc::{format, vec};
}

/// What a filter says to a call, or to a result.
pub enum Verdict {
    /// Goes on as it is.
    Pass,
    /// Goes on with these arguments, or this result, instead.
    Change(String),
    /// Goes no further. The caller is told why.
    Refuse(String),
    /// Goes on once a person agrees to this question. The filter is asked again then, with `approved`.
    Ask(String),
}

#[derive(Clone, Copy)]
#[repr(i32)]
pub enum Level {
    Debug,
    Info,
    Warning,
    Error,
}

/// What the operator wrote under `settings`: a JSON object.
pub fn settings() -> String {
    let area = Area::<2>::new();
    unsafe {
        abi::settings_get(area.at());
        area.string(0)
    }
}

/// Needs the grant `log`.
pub fn log(level: Level, text: &str) {
    unsafe { abi::log_write(level as i32, text.as_ptr(), text.len()) }
}

/// Milliseconds since 1970. Needs the grant `time`.
pub fn now_ms() -> u64 {
    unsafe { abi::clock_now() }
}

/// Milliseconds since some moment; never goes back while the gateway runs. Needs the grant `time`.
pub fn monotonic_ms() -> u64 {
    unsafe { abi::clock_monotonic() }
}

/// Sends an HTTP request, as JSON; the answer is JSON. Needs the grant `http`.
pub fn http_send(request: &str) -> Result<String, String> {
    let area = Area::<3>::new();
    unsafe {
        abi::http_send(request.as_ptr(), request.len(), area.at());
        if area.is_error() {
            Err(area.string(1))
        } else {
            Ok(area.string(1))
        }
    }
}

/// Keys and values that outlive the call. Needs the grant `store`.
pub mod store {
    use super::{Area, Pair, String, Vec, abi};

    pub fn get(key: &str) -> Result<Option<String>, String> {
        let area = Area::<4>::new();
        unsafe {
            abi::store_get(key.as_ptr(), key.len(), area.at());
            match (area.is_error(), area.tag(1)) {
                (true, _) => Err(area.string(1)),
                (false, 0) => Ok(None),
                (false, _) => Ok(Some(area.string(2))),
            }
        }
    }

    pub fn set(key: &str, value: &str) -> Result<(), String> {
        let area = Area::<3>::new();
        unsafe {
            abi::store_set(
                key.as_ptr(),
                key.len(),
                value.as_ptr(),
                value.len(),
                area.at(),
            );
            area.nothing()
        }
    }

    pub fn delete(key: &str) -> Result<(), String> {
        let area = Area::<3>::new();
        unsafe {
            abi::store_delete(key.as_ptr(), key.len(), area.at());
            area.nothing()
        }
    }

    pub fn keys(prefix: &str) -> Result<Vec<String>, String> {
        let area = Area::<3>::new();
        unsafe {
            abi::store_keys(prefix.as_ptr(), prefix.len(), area.at());
            if area.is_error() {
                return Err(area.string(1));
            }
            let pairs: Vec<Pair> = area.list(1);
            Ok(pairs.into_iter().map(|pair| pair.string()).collect())
        }
    }
}

/// Other tools of the gateway. Needs the grant `call`.
pub mod tools {
    use super::{Area, String, abi};

    /// Arguments as a JSON object; the answer is the tool's result, as MCP has it.
    pub fn call(name: &str, arguments: &str) -> Result<String, String> {
        let area = Area::<3>::new();
        unsafe {
            abi::tools_call(
                name.as_ptr(),
                name.len(),
                arguments.as_ptr(),
                arguments.len(),
                area.at(),
            );
            if area.is_error() {
                Err(area.string(1))
            } else {
                Ok(area.string(1))
            }
        }
    }

    /// Has `name` called unless this is called again for `key`, or `disarm`, within so long.
    pub fn arm(key: &str, after_ms: u32, name: &str, arguments: &str) -> Result<(), String> {
        let area = Area::<3>::new();
        unsafe {
            abi::tools_arm(
                key.as_ptr(),
                key.len(),
                after_ms,
                name.as_ptr(),
                name.len(),
                arguments.as_ptr(),
                arguments.len(),
                area.at(),
            );
            area.nothing()
        }
    }

    pub fn disarm(key: &str) {
        unsafe { abi::tools_disarm(key.as_ptr(), key.len()) }
    }
}

/// Makes the plugin one that serves tools: `tool_plugin!(call)`, with `fn call(name: &str, arguments: &str) -> Result<String, String>`.
///
/// `arguments` is a JSON object, the answer a result as MCP has it, the error a text that the model is to read. The manifest
/// tells which tools there are.
#[macro_export]
macro_rules! tool_plugin {
    ($call:expr) => {
        #[unsafe(export_name = "tidegate:plugin/tool@0.1.0#list-tools")]
        unsafe extern "C" fn tidegate_list_tools() -> usize {
            $crate::exports::give("[]")
        }

        #[unsafe(export_name = "tidegate:plugin/tool@0.1.0#call-tool")]
        unsafe extern "C" fn tidegate_call_tool(
            name: usize,
            name_bytes: usize,
            arguments: usize,
            arguments_bytes: usize,
        ) -> usize {
            let (name, arguments) = unsafe {
                (
                    $crate::exports::take(name, name_bytes),
                    $crate::exports::take(arguments, arguments_bytes),
                )
            };
            let call: fn(
                &str,
                &str,
            )
                -> Result<$crate::alloc::string::String, $crate::alloc::string::String> = $call;
            $crate::exports::give_result(call(&name, &arguments))
        }
    };
}

/// Makes the plugin one that filters: `filter_plugin!(request, result)`, with `fn request(call: &str) -> Verdict` and
/// `fn result(call: &str, result: &str) -> Verdict`. All three texts are JSON objects.
#[macro_export]
macro_rules! filter_plugin {
    ($request:expr, $result:expr) => {
        #[unsafe(export_name = "tidegate:plugin/filter@0.1.0#inspect-request")]
        unsafe extern "C" fn tidegate_inspect_request(call: usize, call_bytes: usize) -> usize {
            let call = unsafe { $crate::exports::take(call, call_bytes) };
            let inspect: fn(&str) -> $crate::Verdict = $request;
            $crate::exports::give_verdict(inspect(&call))
        }

        #[unsafe(export_name = "tidegate:plugin/filter@0.1.0#inspect-result")]
        unsafe extern "C" fn tidegate_inspect_result(
            call: usize,
            call_bytes: usize,
            result: usize,
            result_bytes: usize,
        ) -> usize {
            let (call, result) = unsafe {
                (
                    $crate::exports::take(call, call_bytes),
                    $crate::exports::take(result, result_bytes),
                )
            };
            let inspect: fn(&str, &str) -> $crate::Verdict = $result;
            $crate::exports::give_verdict(inspect(&call, &result))
        }
    };
}

/// What the macros' code uses.
#[doc(hidden)]
pub mod exports {
    use super::{Area, String, Verdict, abi};

    /// # Safety
    /// The gateway wrote UTF-8 there, into memory that `cabi_realloc` gave it.
    pub unsafe fn take(at: usize, bytes: usize) -> String {
        unsafe { abi::string(at, bytes) }
    }

    pub fn give(text: &str) -> usize {
        Area::<2>::lasting([text.as_ptr() as usize, text.len()])
    }

    fn tagged(tag: usize, text: String) -> usize {
        let text = text.leak();
        Area::<3>::lasting([tag, text.as_ptr() as usize, text.len()])
    }

    pub fn give_result(result: Result<String, String>) -> usize {
        match result {
            Ok(text) => tagged(0, text),
            Err(text) => tagged(1, text),
        }
    }

    pub fn give_verdict(verdict: Verdict) -> usize {
        match verdict {
            Verdict::Pass => tagged(0, String::new()),
            Verdict::Change(text) => tagged(1, text),
            Verdict::Refuse(text) => tagged(2, text),
            Verdict::Ask(text) => tagged(3, text),
        }
    }
}
