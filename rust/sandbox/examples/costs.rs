//! `costs MODULE COMPONENT [--quick]`: where the time of a plugin's call goes, for `benches/plugins.py`. One line of JSON.
//!
//! The same guest (`benches/guests/echo.c`) under engines that differ in one thing: how a guest is interrupted, and how
//! an instance gets its memory. Each figure is a median over rounds in which all take turns, in microseconds. The rows
//! `sandbox` go the whole way: a queue, a thread, a fresh instance, and back over the descriptor.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use sha2::{Digest, Sha256};
use tidegate_sandbox::{Bounds, Event, Grants, Kind, Plugin, Sandbox, Work, World, compile};
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, InstancePre, Linker, Module,
    PoolingAllocationConfig, Store, TypedFunc,
};

#[derive(Clone, Copy, PartialEq)]
enum Interrupted {
    Never,
    ByEpoch,
    ByFuel,
}

/// One engine with the guest compiled for it.
struct Variant {
    name: &'static str,
    by: Interrupted,
    engine: Engine,
    ready: InstancePre<()>,
}

impl Variant {
    fn new(name: &'static str, by: Interrupted, pooled: bool, wasm: &[u8]) -> Self {
        let mut config = Config::new();
        config
            .epoch_interruption(by == Interrupted::ByEpoch)
            .consume_fuel(by == Interrupted::ByFuel)
            .concurrency_support(false)
            .wasm_memory64(false);
        if pooled {
            let mut pool = PoolingAllocationConfig::default();
            pool.total_memories(40)
                .linear_memory_keep_resident(128 << 10)
                .table_keep_resident(128 << 10);
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        }
        let engine = Engine::new(&config).unwrap();
        let module = Module::new(&engine, wasm).unwrap();
        let ready = Linker::new(&engine).instantiate_pre(&module).unwrap();
        Self {
            name,
            by,
            engine,
            ready,
        }
    }

    fn instance(&self) -> Instance {
        let mut store = Store::new(&self.engine, ());
        match self.by {
            Interrupted::Never => {}
            Interrupted::ByEpoch => store.set_epoch_deadline(1),
            Interrupted::ByFuel => store.set_fuel(u64::MAX).unwrap(),
        }
        let instance = self.ready.instantiate(&mut store).unwrap();
        Instance {
            memory: instance.get_memory(&mut store, "memory").unwrap(),
            alloc: instance
                .get_typed_func(&mut store, "tidegate_alloc")
                .unwrap(),
            call: instance
                .get_typed_func(&mut store, "tidegate_call")
                .unwrap(),
            store,
        }
    }
}

struct Instance {
    store: Store<()>,
    memory: wasmtime::Memory,
    alloc: TypedFunc<u32, u32>,
    call: TypedFunc<(u32, u32), u64>,
}

impl Instance {
    /// As ABI 1 has it, without looking into the answer.
    fn answer(&mut self, request: &[u8]) -> Vec<u8> {
        let len = u32::try_from(request.len()).unwrap();
        let at = self.alloc.call(&mut self.store, len).unwrap();
        self.memory
            .write(&mut self.store, at as usize, request)
            .unwrap();
        let packed = self.call.call(&mut self.store, (at, len)).unwrap();
        let (at, len) = ((packed >> 32) as usize, (packed & 0xffff_ffff) as usize);
        self.memory.data(&self.store)[at..at + len].to_vec()
    }
}

/// A plugin in a sandbox of its own.
struct Whole {
    name: &'static str,
    sandbox: Sandbox,
    plugin: Plugin,
}

impl Whole {
    fn new(name: &'static str, wasm: &[u8], kind: Kind) -> Self {
        let sandbox = Sandbox::new(None, 4, usize::MAX).unwrap();
        let code = compile(wasm, None).unwrap();
        let file = std::env::temp_dir().join(format!("tidegate-costs-{}", std::process::id()));
        std::fs::write(&file, &code).unwrap();
        let bounds = Bounds {
            deadline: Duration::from_secs(10),
            ..Bounds::default()
        };
        let loaded = sandbox.load(
            name,
            &file,
            Sha256::digest(&code).into(),
            kind,
            World::Tool,
            Grants::default(),
            bounds,
            "{}".into(),
        );
        std::fs::remove_file(&file).unwrap();
        Self {
            name,
            plugin: loaded.unwrap(),
            sandbox,
        }
    }

    fn call(&self, arguments: &str) {
        let work = Work::CallTool("echo".into(), arguments.into());
        let _ = self.plugin.start(work, Duration::from_secs(10));
        #[expect(unsafe_code, reason = "the sandbox outlives the wait")]
        let descriptor = unsafe { BorrowedFd::borrow_raw(self.sandbox.descriptor()) };
        loop {
            poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], None).unwrap();
            for event in self.sandbox.take() {
                if let Event::Ended { outcome, .. } = event {
                    outcome.unwrap();
                    return;
                }
            }
        }
    }
}

/// Microseconds that each of `count` takes on average.
fn timed(count: u32, mut once: impl FnMut()) -> f64 {
    let began = Instant::now();
    for _ in 0..count {
        once();
    }
    began.elapsed().as_secs_f64() * 1e6 / f64::from(count)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [module, component, rest @ ..] = &arguments[..] else {
        panic!("costs MODULE COMPONENT [--quick]");
    };
    let (module, component) = (
        std::fs::read(PathBuf::from(module)).unwrap(),
        std::fs::read(PathBuf::from(component)).unwrap(),
    );
    let (rounds, calls) = if rest.is_empty() {
        (15, 2000)
    } else {
        (3, 300)
    };
    let text = format!(r#"{{"text":"{:<1000}"}}"#, "hello from the bench");
    let echo = format!(r#"{{"call":"echo","arguments":{text}}}"#);
    let work = format!(r#"{{"call":"work","arguments":{text}}}"#);
    let variants = [
        Variant::new("not interrupted", Interrupted::Never, true, &module),
        Variant::new("epoch", Interrupted::ByEpoch, true, &module),
        Variant::new("fuel", Interrupted::ByFuel, true, &module),
        Variant::new(
            "epoch, memory asked for",
            Interrupted::ByEpoch,
            false,
            &module,
        ),
    ];
    let wholes = [
        Whole::new("sandbox, module", &module, Kind::Module),
        Whole::new("sandbox, component", &component, Kind::Component),
    ];
    let mut found: Vec<(String, Vec<f64>)> = Vec::new();
    let mut note = |name: String, micros: f64| match found.iter_mut().find(|row| row.0 == name) {
        Some(row) => row.1.push(micros),
        None => found.push((name, vec![micros])),
    };
    for _ in 0..rounds {
        for variant in &variants {
            let name = variant.name;
            let mut kept = variant.instance();
            note(
                format!("{name}: instance"),
                timed(calls, || drop(variant.instance())),
            );
            note(
                format!("{name}: instance and call"),
                timed(calls, || {
                    variant.instance().answer(echo.as_bytes());
                }),
            );
            note(
                format!("{name}: call of a kept instance"),
                timed(calls, || drop(kept.answer(echo.as_bytes()))),
            );
            note(
                format!("{name}: work"),
                timed(calls / 100, || drop(kept.answer(work.as_bytes()))),
            );
        }
        for whole in &wholes {
            note(
                format!("{}: call", whole.name),
                timed(calls, || whole.call(&text)),
            );
        }
    }
    let rows: Vec<String> = found
        .into_iter()
        .map(|(name, values)| format!("{name:?}:{:.3}", median(values)))
        .collect();
    println!("{{{}}}", rows.join(","));
}
