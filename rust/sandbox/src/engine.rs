//! The one engine of a process, what it compiles, and the clock that interrupts guests.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Condvar, LazyLock, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use wasmparser::Parser;
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    RegallocAlgorithm, WasmBacktraceDetails,
};

use crate::failure::Failure;
use crate::grants::TABLE_ELEMENTS;

/// How exact a deadline is.
const TICK: Duration = Duration::from_millis(5);
/// Of a guest; its thread has room for the host's functions beyond it.
const WASM_STACK: usize = 512 << 10;

/// Instances at once, of all plugins: each thread that guests run on has one, and those that call each other several.
const INSTANCES: u32 = 40;
/// Core modules that they are made of, and tables of those.
const PARTS: u32 = 8 * INSTANCES;
/// A component with a JavaScript engine has three.
const MEMORIES: u32 = 60;
/// Of one memory, whatever an operator allows.
const MEMORY: usize = 1 << 30;
/// Of a memory that an instance gave back, so much is cleared and kept instead of being asked for anew: most guests need
/// no more, and a call of a small one costs a third.
const KEPT_WARM: usize = 128 << 10;
const WARM_INSTANCES: u32 = 8;

/// Room for instances that is reserved once. What is not used of it is only addresses.
fn pool() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(INSTANCES)
        .total_core_instances(PARTS)
        .total_memories(MEMORIES)
        .total_tables(PARTS)
        .max_memory_size(MEMORY)
        .table_elements(TABLE_ELEMENTS)
        .linear_memory_keep_resident(KEPT_WARM)
        .table_keep_resident(KEPT_WARM)
        .max_unused_warm_slots(WARM_INSTANCES);
    pool
}

/// `target`: a triple; None for this box.
fn config(target: Option<&str>) -> Result<Config, Failure> {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .concurrency_support(false)
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_regalloc_algorithm(RegallocAlgorithm::Backtracking)
        .wasm_memory64(false);
    if let Some(triple) = target {
        config.target(triple).map_err(refused)?;
    }
    Ok(config)
}

fn refused(error: wasmtime::Error) -> Failure {
    Failure::Refused(format!("{error:#}"))
}

/// Native code for a plugin. `target`: a triple such as `aarch64-unknown-linux-gnu`; None for this box.
///
/// Takes memory and time in proportion to the plugin, 100 MB and seconds for one with a JavaScript engine: for a
/// process of its own.
///
/// # Errors
/// [`Failure::Refused`] for what is no WASM, or for a target that is not known.
pub fn compile(wasm: &[u8], target: Option<&str>) -> Result<Vec<u8>, Failure> {
    let engine = Engine::new(&config(target)?).map_err(refused)?;
    if Parser::is_component(wasm) {
        engine.precompile_component(wasm).map_err(refused)
    } else if wasm.starts_with(b"\0asm") {
        engine.precompile_module(wasm).map_err(refused)
    } else {
        Err(Failure::Refused(
            "it is no WASM: the first bytes are not those of a module or component".into(),
        ))
    }
}

/// Names what code must have been compiled by and for to run here, or on `target`. Usable as a file name.
///
/// # Errors
/// [`Failure::Refused`] for a target that is not known.
pub fn engine_key(target: Option<&str>) -> Result<String, Failure> {
    // Said by name even for this box: what is found out about its processor is not part of the key.
    let triple = target.map_or_else(
        || format!("{}-unknown-linux-gnu", std::env::consts::ARCH),
        str::to_owned,
    );
    let engine = Engine::new(&config(Some(&triple))?).map_err(refused)?;
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    Ok(format!("{triple}-{:016x}", hasher.finish()))
}

/// The engine that runs guests, and how many run.
pub(crate) struct Running {
    pub(crate) engine: Engine,
    guests: Mutex<usize>,
    some: Condvar,
}

static RUNNING: LazyLock<Arc<Running>> = LazyLock::new(|| {
    let engine = config(None).and_then(|mut config| {
        config.allocation_strategy(pool());
        // Where so many addresses are not to be had, each instance asks for its own.
        Engine::new(&config)
            .or_else(|_| {
                Engine::new(config.allocation_strategy(InstanceAllocationStrategy::OnDemand))
            })
            .map_err(refused)
    });
    let running = Arc::new(Running {
        engine: engine.expect("the engine's settings go together"),
        guests: Mutex::new(0),
        some: Condvar::new(),
    });
    let seen = Arc::downgrade(&running);
    thread::Builder::new()
        .name("tidegate-tick".into())
        .stack_size(64 << 10)
        .spawn(move || tick(&seen))
        .expect("a thread can be started");
    running
});

impl Running {
    /// Made when first asked for.
    pub(crate) fn get() -> Arc<Self> {
        Arc::clone(&RUNNING)
    }

    /// A guest runs until what is returned is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> Entered {
        let mut guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
        *guests += 1;
        if *guests == 1 {
            self.some.notify_one();
        }
        Entered(Arc::clone(self))
    }
}

pub(crate) struct Entered(Arc<Running>);

impl Drop for Entered {
    fn drop(&mut self) {
        *self.0.guests.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
    }
}

/// Ticks while a guest runs; sleeps, without waking up the box, while none does.
fn tick(seen: &Weak<Running>) {
    while let Some(running) = seen.upgrade() {
        {
            let guests = running
                .guests
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            drop(
                running
                    .some
                    .wait_while(guests, |guests| *guests == 0)
                    .unwrap_or_else(PoisonError::into_inner),
            );
        }
        thread::sleep(TICK);
        running.engine.increment_epoch();
    }
}
