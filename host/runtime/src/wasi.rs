//! WASI for guests whose toolchains cannot do without: all of it, and nothing behind it.
//!
//! There are no files, no sockets, no environment and no arguments; standard streams are closed;
//! clocks stand still; randomness is the same in every instance. Nothing here waits: what a guest
//! subscribes to is ready at once, since a guest that waits in the host is not bound by the
//! deadline of its call.

use std::time::Duration;

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi::random::Deterministic;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxView, WasiView};

use crate::state::State;

/// Handles that a guest may hold: nothing that it can open is worth more.
const MAX_HANDLES: usize = 1024;

/// Bytes of randomness that a guest may ask for at once.
const MAX_RANDOM: u64 = 64 * 1024;

/// One guest's view of nothing.
pub(crate) struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
}

impl Wasi {
    fn new() -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        let seed: Vec<u8> = (0..=u8::MAX)
            .map(|byte| byte.wrapping_mul(167) ^ 0x5a)
            .collect();
        let ctx = WasiCtx::builder()
            .secure_random(Deterministic::new(seed.clone()))
            .insecure_random(Deterministic::new(seed))
            .insecure_random_seed(0x0a0d)
            .max_random_size(MAX_RANDOM)
            .wall_clock(Stopped)
            .monotonic_clock(Stopped)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        Self { ctx, table }
    }
}

impl State {
    fn wasi(&mut self) -> &mut Wasi {
        self.wasi.get_or_insert_with(|| Box::new(Wasi::new()))
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi();
        WasiCtxView {
            ctx: &mut wasi.ctx,
            table: &mut wasi.table,
        }
    }
}

/// A linker that knows all of WASI.
pub(crate) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    // The stock clock would really wait for as long as a guest asks.
    linker.allow_shadowing(true);
    monotonic_clock::add_to_linker::<State, StoppedClock>(&mut linker, |state| state.wasi())?;
    linker.allow_shadowing(false);
    Ok(linker)
}

struct StoppedClock;

impl HasData for StoppedClock {
    type Data<'a> = &'a mut Wasi;
}

impl monotonic_clock::Host for &mut Wasi {
    fn now(&mut self) -> wasmtime::Result<monotonic_clock::Instant> {
        Ok(0)
    }

    fn resolution(&mut self) -> wasmtime::Result<monotonic_clock::Duration> {
        Ok(1)
    }

    fn subscribe_instant(
        &mut self,
        _when: monotonic_clock::Instant,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        let ready = self.table.push(AtOnce)?;
        subscribe(&mut self.table, ready)
    }

    fn subscribe_duration(
        &mut self,
        _duration: monotonic_clock::Duration,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        self.subscribe_instant(0)
    }
}

/// Something that has already happened.
struct AtOnce;

impl Pollable for AtOnce {
    fn ready<'a, 'async_trait>(
        &'a mut self,
    ) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + 'async_trait>>
    where
        'a: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(std::future::ready(()))
    }
}

/// The clock that stands still.
struct Stopped;

impl HostWallClock for Stopped {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for Stopped {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        0
    }
}
