//! Guests that are core modules: ABI 1, bytes in and bytes out.
//!
//! The guest exports `memory`, `tidegate_alloc(len) -> ptr` and `tidegate_call(ptr, len) -> (ptr << 32) | len`. A request
//! and its answer are JSON objects in its memory; so is what a function of the gateway answers, in memory that the guest
//! allocated for it. `docs/plugins.md` has the functions.

use std::borrow::Cow;

use tidegate_codec::Span;
use tidegate_codec::json::member_spans;
use wasmtime::{
    AsContext, AsContextMut, Caller, Extern, ExternType, InstancePre, Linker, Memory, Module,
    Store, TypedFunc,
};
use wasmtime::{Val, ValType};

use crate::call::{Verdict, Work};
use crate::engine::Running;
use crate::failure::Failure;
use crate::guest::{Answer, Guest};
use crate::outbox::Done;
use crate::plugin::World;

const MODULE: &str = "tidegate";
const WASI: &str = "wasi_snapshot_preview1";
/// "Function not supported", as WASI numbers errors.
const ENOSYS: i32 = 52;

/// A module that can be instantiated at once.
pub(crate) struct Ready {
    pre: InstancePre<Guest>,
    world: World,
}

impl Ready {
    pub(crate) fn new(module: &Module, world: World) -> Result<Self, Failure> {
        let refused = |error: wasmtime::Error| Failure::Refused(format!("{error:#}"));
        let mut linker = Linker::new(&Running::get().engine);
        link(&mut linker).map_err(refused)?;
        for import in module.imports().filter(|import| import.module() == WASI) {
            let Some(kind) = import.ty().func().cloned() else {
                continue;
            };
            let exits = import.name() == "proc_exit";
            let supported = kind.results().all(|result| matches!(result, ValType::I32));
            if !supported {
                continue;
            }
            linker
                .func_new(WASI, import.name(), kind, move |_, _, results| {
                    if exits {
                        return Err(
                            Failure::Trapped("it ended itself by `proc_exit`".into()).into()
                        );
                    }
                    results.fill(Val::I32(ENOSYS));
                    Ok(())
                })
                .map_err(refused)?;
        }
        let pre = linker.instantiate_pre(module).map_err(refused)?;
        check(module)?;
        Ok(Self { pre, world })
    }

    /// Does the work in an instance of its own.
    pub(crate) fn run(
        &self,
        store: &mut Store<Guest>,
        work: Work,
    ) -> Result<Done, wasmtime::Error> {
        let (request, filters) = match work {
            Work::ListTools => {
                return Err(
                    Failure::Refused("a core module's manifest lists its tools".into()).into(),
                );
            }
            Work::CallTool(name, arguments) => (
                format!(
                    "{{\"call\":{},\"arguments\":{arguments}}}",
                    serde_json::Value::from(name)
                ),
                false,
            ),
            Work::InspectRequest(call) => {
                (format!("{{\"inspect\":\"request\",\"call\":{call}}}"), true)
            }
            Work::InspectResult(call, result) => (
                format!("{{\"inspect\":\"result\",\"call\":{call},\"result\":{result}}}"),
                true,
            ),
        };
        if filters != (self.world == World::Filter) {
            return Err(Failure::Refused("it is of the other world".into()).into());
        }
        let instance = self.pre.instantiate(&mut *store)?;
        let garbage = |error: wasmtime::Error| Failure::Garbage(error.root_cause().to_string());
        let call = instance
            .get_typed_func::<(u32, u32), u64>(&mut *store, "tidegate_call")
            .map_err(garbage)?;
        let alloc = instance
            .get_typed_func::<u32, u32>(&mut *store, "tidegate_alloc")
            .map_err(garbage)?;
        let memory = instance
            .get_memory(&mut *store, "memory")
            .ok_or_else(|| Failure::Garbage("`memory` is no memory of 32 bits".into()))?;
        let (at, len) = give(&mut *store, memory, &alloc, request.as_bytes())?;
        let answer = call.call(&mut *store, (at, len))?;
        let bytes = taken(store.as_context().data(), memory.data(&*store), answer)?;
        let text = std::str::from_utf8(bytes)
            .map_err(|_| Failure::Garbage("it is not in UTF-8".into()))?;
        if filters { judged(text) } else { served(text) }.map_err(Into::into)
    }
}

/// Whether the module exports what ABI 1 says.
fn check(module: &Module) -> Result<(), Failure> {
    let missing =
        |what: &str| Failure::Refused(format!("it is no plugin: it does not export {what}"));
    let function = |name: &str, parameters: usize, result: fn(&ValType) -> bool| {
        let Some(ExternType::Func(kind)) = module.get_export(name) else {
            return false;
        };
        let takes = kind.params().len() == parameters && kind.params().all(|one| one.is_i32());
        takes && kind.results().len() == 1 && kind.results().all(|one| result(&one))
    };
    match module.get_export("memory") {
        Some(ExternType::Memory(memory)) if !memory.is_64() => {}
        _ => return Err(missing("`memory`, of 32 bits")),
    }
    if !function("tidegate_alloc", 1, ValType::is_i32) {
        return Err(missing("`tidegate_alloc(i32) -> i32`"));
    }
    if !function("tidegate_call", 2, ValType::is_i64) {
        return Err(missing("`tidegate_call(i32, i32) -> i64`"));
    }
    Ok(())
}

/// The bytes that `packed` names. Nothing that a guest says of its memory is believed.
fn taken<'a>(guest: &Guest, memory: &'a [u8], packed: u64) -> Result<&'a [u8], Failure> {
    let (at, len) = ((packed >> 32) as usize, (packed & 0xffff_ffff) as usize);
    if len > guest.given.bounds.output_bytes {
        return Err(Failure::OutputTooLarge(len));
    }
    at.checked_add(len)
        .and_then(|end| memory.get(at..end))
        .ok_or_else(|| Failure::Garbage(format!("{len} bytes at {at} are not in its memory")))
}

/// Puts `bytes` into memory that the guest allocates: where, and how many.
fn give(
    mut store: impl AsContextMut<Data = Guest>,
    memory: Memory,
    alloc: &TypedFunc<u32, u32>,
    bytes: &[u8],
) -> Result<(u32, u32), wasmtime::Error> {
    let len = u32::try_from(bytes.len()).map_err(|_| Failure::OutOfMemory)?;
    let at = alloc.call(&mut store, len)?;
    if at == 0 && len > 0 {
        return Err(Failure::OutOfMemory.into());
    }
    let start = at as usize;
    memory
        .data_mut(&mut store)
        .get_mut(start..start.saturating_add(bytes.len()))
        .ok_or_else(|| {
            Failure::Garbage(format!(
                "`tidegate_alloc` answered {at}, which has no room for {len} bytes"
            ))
        })?
        .copy_from_slice(bytes);
    Ok((at, len))
}

/// The one member of an answer. Two with one name would be read differently by different readers.
fn member(text: &str) -> Result<(Cow<'_, str>, &str), Failure> {
    let whole = Span::new(0, text.len());
    let members = member_spans(text.as_bytes(), whole)
        .map_err(|_| Failure::Garbage("it is no JSON object".into()))?;
    match <[_; 1]>::try_from(members) {
        Ok([(name, value)]) => Ok((name, &text[value.start..value.end])),
        Err(_) => Err(Failure::Garbage("an answer has one member".into())),
    }
}

fn string(value: &str) -> Result<String, Failure> {
    serde_json::from_str(value).map_err(|_| Failure::Garbage("a text was expected".into()))
}

fn served(text: &str) -> Result<Done, Failure> {
    match member(text)? {
        (name, value) if name == "result" => Ok(Done::Result(value.to_owned())),
        (name, value) if name == "error" => Ok(Done::Error(string(value)?)),
        _ => Err(Failure::Garbage("neither `result` nor `error`".into())),
    }
}

fn judged(text: &str) -> Result<Done, Failure> {
    let (name, value) = member(text)?;
    Ok(Done::Verdict(match &*name {
        "pass" if value == "true" => Verdict::Pass,
        "change" => Verdict::Change(value.to_owned()),
        "refuse" => Verdict::Refuse(string(value)?),
        "ask" => Verdict::Ask(string(value)?),
        _ => {
            return Err(Failure::Garbage(
                "none of `pass`, `change`, `refuse` and `ask`".into(),
            ));
        }
    }))
}

// -- what the gateway does for it -----------------------------------------------------------------------------

type At<'a> = Caller<'a, Guest>;

fn memory(caller: &mut At<'_>) -> Result<Memory, Failure> {
    caller
        .get_export("memory")
        .and_then(Extern::into_memory)
        .ok_or_else(|| Failure::Garbage("`memory` is no memory of 32 bits".into()))
}

/// A text that the guest hands over.
fn text(caller: &mut At<'_>, at: u32, len: u32) -> Result<String, Failure> {
    let memory = memory(caller)?;
    let (at, len) = (at as usize, len as usize);
    let bytes = memory
        .data(&*caller)
        .get(at..at.saturating_add(len))
        .ok_or_else(|| Failure::Trapped(format!("{len} bytes at {at} are not in its memory")))?;
    String::from_utf8(bytes.to_vec())
        .map_err(|_| Failure::Trapped("a text that is not in UTF-8".into()))
}

/// A text handed to the guest, packed as its own answers are.
fn handed(caller: &mut At<'_>, text: &str) -> wasmtime::Result<u64> {
    let memory = memory(caller)?;
    let alloc = caller
        .get_export("tidegate_alloc")
        .and_then(Extern::into_func)
        .ok_or_else(|| Failure::Garbage("`tidegate_alloc` is no function".into()))?
        .typed::<u32, u32>(&*caller)?;
    let (at, len) = give(&mut *caller, memory, &alloc, text.as_bytes())?;
    Ok(u64::from(at) << 32 | u64::from(len))
}

fn answered(caller: &mut At<'_>, answer: Answer) -> wasmtime::Result<u64> {
    let text = match answer {
        Ok(json) => format!("{{\"ok\":{json}}}"),
        Err(error) => format!("{{\"error\":{}}}", serde_json::Value::from(error)),
    };
    handed(caller, &text)
}

fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(MODULE, "settings", |mut caller: At<'_>| {
        let settings = caller.data().given.settings.clone();
        handed(&mut caller, &settings)
    })?;
    linker.func_wrap(
        MODULE,
        "log",
        |mut caller: At<'_>, level: u32, at: u32, len: u32| {
            let line = text(&mut caller, at, len)?;
            Ok(caller
                .data_mut()
                .log(u8::try_from(level).unwrap_or(3), &line)?)
        },
    )?;
    linker.func_wrap(MODULE, "now_ms", |caller: At<'_>| {
        Ok(caller.data().now_ms()?)
    })?;
    linker.func_wrap(MODULE, "monotonic_ms", |caller: At<'_>| {
        Ok(caller.data().monotonic_ms()?)
    })?;
    linker.func_wrap(
        MODULE,
        "store_get",
        |mut caller: At<'_>, at: u32, len: u32| {
            let key = text(&mut caller, at, len)?;
            match caller.data().kept()?.get(&key) {
                Ok(Some(value)) => handed(&mut caller, &value),
                // A guest that cannot be told of an error must not take it for an empty store.
                Ok(None) => Ok(0),
                Err(error) => Err(Failure::Trapped(error).into()),
            }
        },
    )?;
    linker.func_wrap(
        MODULE,
        "store_set",
        |mut caller: At<'_>, key: u32, key_len: u32, value: u32, len: u32| {
            let key = text(&mut caller, key, key_len)?;
            let value = text(&mut caller, value, len)?;
            Ok(u32::from(caller.data().kept()?.set(&key, &value).is_err()))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "store_delete",
        |mut caller: At<'_>, at: u32, len: u32| {
            let key = text(&mut caller, at, len)?;
            Ok(u32::from(caller.data().kept()?.delete(&key).is_err()))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "http_send",
        |mut caller: At<'_>, at: u32, len: u32| {
            let request = text(&mut caller, at, len)?;
            let answer = caller.data().http(request)?;
            answered(&mut caller, answer)
        },
    )?;
    linker.func_wrap(
        MODULE,
        "tools_call",
        |mut caller: At<'_>, name: u32, name_len: u32, arguments: u32, len: u32| {
            let name = text(&mut caller, name, name_len)?;
            let arguments = text(&mut caller, arguments, len)?;
            let answer = caller.data().call_tool(name, arguments)?;
            answered(&mut caller, answer)
        },
    )?;
    linker.func_wrap(
        MODULE,
        "tools_arm",
        |mut caller: At<'_>,
         key: u32,
         key_len: u32,
         ms: u32,
         name: u32,
         name_len: u32,
         arguments: u32,
         len: u32| {
            let key = text(&mut caller, key, key_len)?;
            let name = text(&mut caller, name, name_len)?;
            let arguments = text(&mut caller, arguments, len)?;
            Ok(u32::from(
                caller.data().arm(key, ms, name, arguments)?.is_err(),
            ))
        },
    )?;
    linker.func_wrap(
        MODULE,
        "tools_disarm",
        |mut caller: At<'_>, at: u32, len: u32| {
            let key = text(&mut caller, at, len)?;
            Ok(caller.data().disarm(key)?)
        },
    )?;
    Ok(())
}
