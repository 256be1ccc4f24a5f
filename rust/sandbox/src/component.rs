//! Guests that are components: the worlds of `wasm/wit/plugin.wit`.

use wasmtime::component::{
    Component, ComponentExportIndex, ComponentType, InstancePre, Lift, Linker,
};
use wasmtime::{Store, StoreContextMut};

use crate::call::{Verdict, Work};
use crate::engine::Running;
use crate::failure::Failure;
use crate::guest::{Answer, Guest};
use crate::outbox::Done;
use crate::plugin::World;
use crate::wasi;

const PACKAGE: &str = "tidegate:plugin";
const VERSION: &str = "0.1.0";

/// A component that can be instantiated at once, and where its functions are.
pub(crate) struct Ready {
    pre: InstancePre<Guest>,
    functions: Functions,
}

enum Functions {
    Tool {
        list: ComponentExportIndex,
        call: ComponentExportIndex,
    },
    Filter {
        request: ComponentExportIndex,
        result: ComponentExportIndex,
    },
}

#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "lifting makes them from numbers")]
enum Level {
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warning")]
    Warning,
    #[component(name = "error")]
    Error,
}

#[derive(ComponentType, Lift)]
#[component(variant)]
enum Said {
    #[component(name = "pass")]
    Pass,
    #[component(name = "change")]
    Change(String),
    #[component(name = "refuse")]
    Refuse(String),
    #[component(name = "ask")]
    Ask(String),
}

impl Ready {
    /// Whether it imports WASI, and the component, ready.
    pub(crate) fn new(component: &Component, world: World) -> Result<(Self, bool), Failure> {
        let engine = &Running::get().engine;
        let refused = |error: wasmtime::Error| Failure::Refused(format!("{error:#}"));
        let has_wasi = component
            .component_type()
            .imports(engine)
            .any(|(name, _)| name.starts_with("wasi:"));
        let mut linker = Linker::new(engine);
        link(&mut linker).map_err(refused)?;
        if has_wasi {
            wasi::link(&mut linker).map_err(refused)?;
        }
        let pre = linker.instantiate_pre(component).map_err(refused)?;
        let interface = match world {
            World::Tool => "tool",
            World::Filter => "filter",
        };
        let name = format!("{PACKAGE}/{interface}@{VERSION}");
        let instance = component.get_export_index(None, &name).ok_or_else(|| {
            Failure::Refused(format!("it is no {interface}: it does not export `{name}`"))
        })?;
        let function = |function: &str| {
            component
                .get_export_index(Some(&instance), function)
                .ok_or_else(|| Failure::Refused(format!("`{name}` has no `{function}`")))
        };
        let functions = match world {
            World::Tool => Functions::Tool {
                list: function("list-tools")?,
                call: function("call-tool")?,
            },
            World::Filter => Functions::Filter {
                request: function("inspect-request")?,
                result: function("inspect-result")?,
            },
        };
        Ok((Self { pre, functions }, has_wasi))
    }

    /// Does the work in an instance of its own.
    pub(crate) fn run(
        &self,
        store: &mut Store<Guest>,
        work: Work,
    ) -> Result<Done, wasmtime::Error> {
        let instance = self.pre.instantiate(&mut *store)?;
        match (work, &self.functions) {
            (Work::ListTools, Functions::Tool { list, .. }) => {
                let function = instance.get_typed_func::<(), (String,)>(&mut *store, list)?;
                let (tools,) = function.call(&mut *store, ())?;
                Ok(Done::Result(text(store, tools)?))
            }
            (Work::CallTool(name, arguments), Functions::Tool { call, .. }) => {
                let function = instance
                    .get_typed_func::<(&str, &str), (Result<String, String>,)>(&mut *store, call)?;
                match function.call(&mut *store, (&name, &arguments))?.0 {
                    Ok(result) => Ok(Done::Result(text(store, result)?)),
                    Err(error) => Ok(Done::Error(text(store, error)?)),
                }
            }
            (Work::InspectRequest(call), Functions::Filter { request, .. }) => {
                let function = instance.get_typed_func::<(&str,), (Said,)>(&mut *store, request)?;
                let (said,) = function.call(&mut *store, (&call,))?;
                verdict(store, said)
            }
            (Work::InspectResult(call, outcome), Functions::Filter { result, .. }) => {
                let function =
                    instance.get_typed_func::<(&str, &str), (Said,)>(&mut *store, result)?;
                let (said,) = function.call(&mut *store, (&call, &outcome))?;
                verdict(store, said)
            }
            _ => Err(Failure::Refused("it is of the other world".into()).into()),
        }
    }
}

fn verdict(store: &Store<Guest>, said: Said) -> Result<Done, wasmtime::Error> {
    Ok(Done::Verdict(match said {
        Said::Pass => Verdict::Pass,
        Said::Change(json) => Verdict::Change(text(store, json)?),
        Said::Refuse(why) => Verdict::Refuse(text(store, why)?),
        Said::Ask(question) => Verdict::Ask(text(store, question)?),
    }))
}

/// A guest's text. It was copied when the guest returned, which then gave back the memory it was in; how long it can be
/// is bounded by that memory.
fn text(store: &Store<Guest>, text: String) -> Result<String, wasmtime::Error> {
    let most = store.data().given.bounds.output_bytes;
    if text.len() > most {
        Err(Failure::OutputTooLarge(text.len()).into())
    } else {
        Ok(text)
    }
}

type At<'a> = StoreContextMut<'a, Guest>;

fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let name = |interface: &str| format!("{PACKAGE}/{interface}@{VERSION}");
    linker
        .instance(&name("settings"))?
        .func_wrap("get", |store: At<'_>, (): ()| {
            Ok((store.data().given.settings.clone(),))
        })?;
    linker.instance(&name("log"))?.func_wrap(
        "write",
        |mut store: At<'_>, (level, text): (Level, String)| {
            Ok(store.data_mut().log(level as u8, &text)?)
        },
    )?;
    let mut clock = linker.instance(&name("clock"))?;
    clock.func_wrap("now-ms", |store: At<'_>, (): ()| {
        Ok((store.data().now_ms()?,))
    })?;
    clock.func_wrap("monotonic-ms", |store: At<'_>, (): ()| {
        Ok((store.data().monotonic_ms()?,))
    })?;
    linker
        .instance(&name("http"))?
        .func_wrap("send", |store: At<'_>, (request,): (String,)| {
            Ok((store.data().http(request)?,))
        })?;
    let mut tools = linker.instance(&name("tools"))?;
    tools.func_wrap(
        "call",
        |store: At<'_>, (tool, arguments): (String, String)| {
            Ok((store.data().call_tool(tool, arguments)?,))
        },
    )?;
    tools.func_wrap(
        "arm",
        |store: At<'_>, (key, after_ms, tool, arguments): (String, u32, String, String)| {
            let answer: Answer = store.data().arm(key, after_ms, tool, arguments)?;
            Ok((answer.map(drop),))
        },
    )?;
    tools.func_wrap("disarm", |store: At<'_>, (key,): (String,)| {
        Ok(store.data().disarm(key)?)
    })?;
    let mut kept = linker.instance(&name("store"))?;
    kept.func_wrap("get", |store: At<'_>, (key,): (String,)| {
        Ok((store.data().kept()?.get(&key),))
    })?;
    kept.func_wrap("set", |store: At<'_>, (key, value): (String, String)| {
        Ok((store.data().kept()?.set(&key, &value),))
    })?;
    kept.func_wrap("delete", |store: At<'_>, (key,): (String,)| {
        Ok((store.data().kept()?.delete(&key),))
    })?;
    kept.func_wrap("keys", |store: At<'_>, (prefix,): (String,)| {
        Ok((store.data().kept()?.keys(&prefix),))
    })?;
    Ok(())
}
