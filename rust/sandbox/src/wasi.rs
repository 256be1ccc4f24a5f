//! WASI 0.2 for components: what a language's library asks for, and of the box only what was granted.
//!
//! Without a grant there are no folders, no environment, no arguments and no input; what is written goes nowhere, the
//! clocks stand still, and random numbers end the call, those that are not meant to be secret are always the same. There
//! is no network with any grant.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceTable};
use wasmtime_wasi::clocks::{HostMonotonicClock, HostWallClock, WasiClocksView};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock::Host as _;
use wasmtime_wasi::p2::bindings::io::poll::{Host as _, HostPollable as _};
use wasmtime_wasi::p2::bindings::random::random::Host as _;
use wasmtime_wasi::p2::bindings::sync::filesystem::types::{
    DescriptorFlags, DescriptorType, ErrorCode, Host as _, HostDescriptor as _, OpenFlags,
    PathFlags,
};
use wasmtime_wasi::{Deterministic, FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::failure::Failure;
use crate::guest::{Guest, need};
use crate::plugin::Given;

/// Random bytes asked for at once.
const RANDOM_BYTES: u64 = 64 << 10;
/// Files, folders, streams and alarms of one call: each open file is a descriptor of the gateway.
const RESOURCES: usize = 128;
/// How long one that waits may not notice that nobody wants its answer any more.
const NAP: Duration = Duration::from_millis(20);

/// WASI's part of a guest.
pub(crate) struct Wasi {
    context: WasiCtx,
    table: ResourceTable,
}

impl Wasi {
    pub(crate) fn new(given: &Given) -> Result<Self, Failure> {
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
            builder
                .insecure_random_seed(0)
                .insecure_random(Deterministic::new(vec![0]));
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
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        Ok(Self {
            context: builder.build(),
            table,
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
            need("time", store.data().given.grants.time)?;
            Ok((store.data_mut().clocks().subscribe_duration(nanos)?,))
        },
    )?;
    clock.func_wrap(
        "subscribe-instant",
        |mut store: StoreContextMut<'_, Guest>, (at,): (u64,)| {
            need("time", store.data().given.grants.time)?;
            Ok((store.data_mut().clocks().subscribe_instant(at)?,))
        },
    )?;
    let mut poll = linker.instance("wasi:io/poll@0.2.12")?;
    poll.func_wrap(
        "[method]pollable.block",
        |mut store: StoreContextMut<'_, Guest>, (one,): (Resource<DynPollable>,)| {
            store.data_mut().wait(async |table| table.block(one).await)
        },
    )?;
    poll.func_wrap(
        "poll",
        |mut store: StoreContextMut<'_, Guest>, (some,): (Vec<Resource<DynPollable>>,)| {
            let ready = store
                .data_mut()
                .wait(async |table| table.poll(some).await)?;
            Ok((ready,))
        },
    )?;
    let mut files = linker.instance("wasi:filesystem/types@0.2.12")?;
    files.func_wrap("[method]descriptor.open-at", open_at)?;
    linker.allow_shadowing(false);
    Ok(())
}

impl Guest {
    /// Waits as WASI has it, until the call's deadline or until nobody waits for the guest. Meanwhile another thread may
    /// take this one's place among those that compute.
    fn wait<T>(
        &mut self,
        ready: impl AsyncFnOnce(&mut ResourceTable) -> wasmtime::Result<T>,
    ) -> wasmtime::Result<T> {
        let deadline = self.deadline();
        let (shared, _waiting) = self.stepping_aside();
        let ready = ready(self.ctx().table);
        wasmtime_wasi::runtime::in_tokio(async {
            let mut ready = std::pin::pin!(ready);
            loop {
                if shared.is_cancelled() {
                    return Err(Failure::Cancelled.into());
                }
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(Failure::Deadline.into());
                }
                if let Ok(ready) = tokio::time::timeout(left.min(NAP), ready.as_mut()).await {
                    return ready;
                }
            }
        })
    }
}

type Opening = (
    Resource<Descriptor>,
    PathFlags,
    String,
    OpenFlags,
    DescriptorFlags,
);
type Opened = (Result<Resource<Descriptor>, ErrorCode>,);

/// Only what is a file or a folder: opening a pipe waits for whoever has its other end, and nothing interrupts that.
fn open_at(
    mut store: StoreContextMut<'_, Guest>,
    (folder, follow, path, how, flags): Opening,
) -> wasmtime::Result<Opened> {
    let mut files = store.data_mut().filesystem();
    let folder_again = Resource::new_borrow(folder.rep());
    // What is not there may be made, and what may not be looked at says so when it is opened.
    if let Ok(found) = files.stat_at(folder_again, follow, path.clone()) {
        let openable = matches!(
            found.type_,
            DescriptorType::RegularFile | DescriptorType::Directory | DescriptorType::SymbolicLink
        );
        if !openable {
            return Ok((Err(ErrorCode::Unsupported),));
        }
    }
    match files.open_at(folder, follow, path, how, flags) {
        Ok(opened) => Ok((Ok(opened),)),
        Err(error) => Ok((Err(files.convert_error_code(error)?),)),
    }
}
