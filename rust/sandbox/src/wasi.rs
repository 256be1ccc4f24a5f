//! WASI 0.2 for components: what a language's library asks for, and of the box only what was granted.
//!
//! Without a grant there are no folders, no environment, no arguments and no input; what is written goes nowhere, the
//! clocks stand still, and random numbers end the call. There is no network with any grant.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::clocks::{HostMonotonicClock, HostWallClock, WasiClocksView};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock::Host as _;
use wasmtime_wasi::p2::bindings::random::random::Host as _;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::failure::Failure;
use crate::guest::{Guest, need};
use crate::plugin::Given;

/// Random bytes asked for at once.
const RANDOM_BYTES: u64 = 64 << 10;

/// WASI's part of a guest.
pub(crate) struct Wasi {
    context: WasiCtx,
    table: ResourceTable,
}

impl Wasi {
    pub(crate) fn new(given: &Given, _deadline: Instant) -> Result<Self, Failure> {
        let grants = &given.grants;
        let mut builder = WasiCtxBuilder::new();
        builder
            .allow_tcp(false)
            .allow_udp(false)
            .allow_blocking_current_thread(true)
            .max_random_size(RANDOM_BYTES);
        if !grants.time {
            builder.wall_clock(Stopped).monotonic_clock(Stopped);
        }
        if !grants.random {
            builder.insecure_random_seed(0);
        }
        for (inside, outside, writable) in &grants.folders {
            let may = if *writable {
                FsPerms::ReadWrite
            } else {
                FsPerms::ReadOnly
            };
            builder
                .preopened_dir(outside, inside, may)
                .map_err(|error| {
                    Failure::Refused(format!(
                        "the granted folder {} cannot be opened: {error}",
                        outside.display()
                    ))
                })?;
        }
        Ok(Self {
            context: builder.build(),
            table: ResourceTable::new(),
        })
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self
            .wasi
            .as_mut()
            .expect("a plugin that imports WASI has it");
        WasiCtxView {
            ctx: &mut wasi.context,
            table: &mut wasi.table,
        }
    }
}

/// A clock for who may not know the time.
struct Stopped;

impl HostWallClock for Stopped {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        SystemTime::UNIX_EPOCH
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
    }
}

impl HostMonotonicClock for Stopped {
    fn resolution(&self) -> u64 {
        1_000_000_000
    }

    fn now(&self) -> u64 {
        0
    }
}

/// Links all of it. What would wait beyond the call's deadline, or has no grant, is the gateway's own.
pub(crate) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_sync(linker)?;
    linker.allow_shadowing(true);
    let mut random = linker.instance("wasi:random/random@0.2.12")?;
    random.func_wrap(
        "get-random-bytes",
        |mut store: StoreContextMut<'_, Guest>, (bytes,): (u64,)| {
            need("random", store.data().given.grants.random)?;
            Ok((store
                .data_mut()
                .ctx()
                .ctx
                .random()
                .get_random_bytes(bytes)?,))
        },
    )?;
    random.func_wrap(
        "get-random-u64",
        |mut store: StoreContextMut<'_, Guest>, (): ()| {
            need("random", store.data().given.grants.random)?;
            Ok((store.data_mut().ctx().ctx.random().get_random_u64()?,))
        },
    )?;
    let mut clock = linker.instance("wasi:clocks/monotonic-clock@0.2.12")?;
    clock.func_wrap(
        "subscribe-duration",
        |mut store: StoreContextMut<'_, Guest>, (nanos,): (u64,)| {
            let nanos = bounded(store.data(), nanos)?;
            Ok((store.data_mut().clocks().subscribe_duration(nanos)?,))
        },
    )?;
    clock.func_wrap(
        "subscribe-instant",
        |mut store: StoreContextMut<'_, Guest>, (at,): (u64,)| {
            let now = store.data_mut().clocks().now()?;
            let nanos = bounded(store.data(), at.saturating_sub(now))?;
            Ok((store.data_mut().clocks().subscribe_duration(nanos)?,))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

/// As long as the call may still run: nothing interrupts a guest that sleeps.
fn bounded(guest: &Guest, nanos: u64) -> Result<u64, Failure> {
    need("time", guest.given.grants.time)?;
    let left =
        guest.deadline().saturating_duration_since(Instant::now()) + Duration::from_millis(1);
    Ok(nanos.min(u64::try_from(left.as_nanos()).unwrap_or(u64::MAX)))
}
