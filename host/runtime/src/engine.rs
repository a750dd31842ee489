//! The WASM engine: how guests are compiled, where they live and how long they may run.

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use wasmtime::component::Linker;
use wasmtime::{
    Config, Enabled, Inlining, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, Store,
};

use crate::compiler::Compiler;
use crate::digest::Digest;
use crate::error::EngineError;
use crate::limits::{Limits, MAX_MEMORY, MAX_REPLY_BYTES};
use crate::precompiled::Precompiled;
use crate::state::State;
use crate::ticker::{InFlight, TICK, Ticker};
use crate::wasi;

/// Instance slots that the pool reserves, largest first. A slot is address space, not memory: one
/// takes a little more than 4 GiB of it, so that compiled code needs no bounds checks.
const POOL_SIZES: [u32; 2] = [4096, 256];

/// Core instances, memories and tables that one component may have. Components from toolchains
/// with shared libraries have several dozen core instances; the others have two or three.
pub(crate) const CORE_INSTANCES: u32 = 96;
pub(crate) const MEMORIES: u32 = 4;
pub(crate) const TABLES: u32 = 16;
pub(crate) const TABLE_ELEMENTS: usize = 65_536;

/// Bytes of memory and of tables that an unused slot keeps, and how many unused slots do.
const KEEP_RESIDENT: usize = 256 << 10;
const WARM_SLOTS: u32 = 32;

/// Stack that a guest may use. Host threads have 2 MiB.
const WASM_STACK: usize = 512 * 1024;

/// Compiles adapters and gives their instances a place to live. Cheap to clone; everything that
/// was compiled by one engine runs in that engine only.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
    /// None: components are compiled in this process.
    compiler: Option<Arc<Compiler>>,
    /// What was compiled when the release was made.
    precompiled: Option<Arc<Precompiled>>,
}

struct Inner {
    engine: wasmtime::Engine,
    bare: Linker<State>,
    wasi: Linker<State>,
    ticker: Ticker,
    pooled: bool,
    /// What is being compiled, whether somebody waits for it or not.
    compiling: Mutex<HashSet<Digest>>,
    /// Told whenever one of them is done.
    compiled: Condvar,
}

/// A component that is being compiled.
pub(crate) struct Compiling {
    engine: Engine,
    digest: Digest,
}

impl Drop for Compiling {
    fn drop(&mut self) {
        let compiling = &self.engine.inner.compiling;
        let mut compiling = compiling.lock().unwrap_or_else(PoisonError::into_inner);
        compiling.remove(&self.digest);
        self.engine.inner.compiled.notify_all();
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("pooled", &self.inner.pooled)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Makes an engine with a pool of instances, or one that allocates each instance on its own
    /// where the address space for a pool cannot be had.
    ///
    /// # Errors
    ///
    /// The machine is not one that the compiler knows, or a thread cannot be started.
    pub fn new() -> Result<Self, EngineError> {
        for slots in POOL_SIZES {
            match wasmtime::Engine::new(&config(Some(slots))) {
                Ok(engine) => return Self::with(engine, true),
                Err(error) => tracing::debug!(slots, "no instance pool of this size: {error:#}"),
            }
        }
        tracing::warn!("no address space for an instance pool: turns allocate on demand");
        Self::on_demand()
    }

    /// Makes an engine without a pool.
    ///
    /// # Errors
    ///
    /// As [`Engine::new`].
    pub fn on_demand() -> Result<Self, EngineError> {
        let engine = wasmtime::Engine::new(&config(None)).map_err(EngineError::Configuration)?;
        Self::with(engine, false)
    }

    fn with(engine: wasmtime::Engine, pooled: bool) -> Result<Self, EngineError> {
        let bare = Linker::new(&engine);
        let wasi = wasi::linker(&engine).map_err(EngineError::Configuration)?;
        let ticker = Ticker::start(&engine).map_err(EngineError::Thread)?;
        Ok(Self {
            inner: Arc::new(Inner {
                engine,
                bare,
                wasi,
                ticker,
                pooled,
                compiling: Mutex::default(),
                compiled: Condvar::new(),
            }),
            compiler: None,
            precompiled: None,
        })
    }

    /// The same engine, whose components are compiled in processes of their own: what a compiler
    /// takes is given back, and one that takes too long or too much is killed.
    #[must_use]
    pub fn compiling_by(self, compiler: Compiler) -> Self {
        Self {
            compiler: Some(Arc::new(compiler)),
            ..self
        }
    }

    /// The same engine, which need not compile what was compiled into a folder of the release that
    /// the program is of ([`precompile`](crate::precompile)).
    #[must_use]
    pub fn with_precompiled(self, folder: std::path::PathBuf) -> Self {
        Self {
            precompiled: Some(Arc::new(Precompiled::new(folder))),
            ..self
        }
    }

    pub(crate) fn precompiled(&self) -> Option<&Precompiled> {
        self.precompiled.as_deref()
    }

    pub(crate) fn compiler(&self) -> Option<&Compiler> {
        self.compiler.as_deref()
    }

    /// Whether instances come from a pool.
    #[must_use]
    pub fn is_pooled(&self) -> bool {
        self.inner.pooled
    }

    pub(crate) fn raw(&self) -> &wasmtime::Engine {
        &self.inner.engine
    }

    /// Notes that a component is being compiled, until the guard is dropped. Where it is already,
    /// waits for that first; none when it takes longer than `patience`.
    pub(crate) fn begin_compiling(&self, digest: Digest, patience: Duration) -> Option<Compiling> {
        let inner = &self.inner;
        let compiling = inner.compiling.lock();
        let compiling = compiling.unwrap_or_else(PoisonError::into_inner);
        let (mut compiling, _) = inner
            .compiled
            .wait_timeout_while(compiling, patience, |all| all.contains(&digest))
            .unwrap_or_else(PoisonError::into_inner);
        compiling.insert(digest).then(|| Compiling {
            engine: self.clone(),
            digest,
        })
    }

    pub(crate) fn linker(&self, wasi: bool) -> &Linker<State> {
        if wasi {
            &self.inner.wasi
        } else {
            &self.inner.bare
        }
    }

    /// An empty store with a guest's limits.
    pub(crate) fn store(&self, limits: &Limits) -> Store<State> {
        let mut store = Store::new(&self.inner.engine, State::new(limits));
        store.limiter(|state| &mut state.limiter);
        store.set_hostcall_fuel(MAX_REPLY_BYTES);
        store
    }

    /// Starts the clock of one call: until the guard is dropped, and at most for `deadline`, the
    /// store's guest may run.
    pub(crate) fn start_call(&self, store: &mut Store<State>, deadline: Duration) -> InFlight<'_> {
        let ticks = deadline.as_millis().div_ceil(TICK.as_millis());
        // One more, since the current tick has already begun.
        store.set_epoch_deadline(
            u64::try_from(ticks)
                .unwrap_or(u64::MAX - 1)
                .saturating_add(1),
        );
        self.inner.ticker.in_flight()
    }
}

/// Settings of engines. The code that they compile is the same with and without a pool.
pub(crate) fn config(pool: Option<u32>) -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK)
        .cranelift_opt_level(OptLevel::Speed)
        .compiler_inlining(Inlining::Yes)
        .memory_init_cow(true)
        .concurrency_support(false);
    if let Some(slots) = pool {
        let mut pooling = PoolingAllocationConfig::new();
        pooling
            .total_component_instances(slots)
            .total_core_instances(slots.saturating_mul(4))
            .total_memories(slots)
            .total_tables(slots.saturating_mul(2))
            .max_core_instances_per_component(CORE_INSTANCES)
            .max_memories_per_component(MEMORIES)
            .max_tables_per_component(TABLES)
            .max_memory_size(MAX_MEMORY)
            .table_elements(TABLE_ELEMENTS)
            // Cleaning a small instance by hand is cheaper than giving its pages back to the kernel
            // and faulting them in again; what is kept is bounded by the number of warm slots.
            .linear_memory_keep_resident(KEEP_RESIDENT)
            .table_keep_resident(KEEP_RESIDENT)
            .max_unused_warm_slots(WARM_SLOTS)
            .pagemap_scan(Enabled::Auto)
            .max_component_instance_size(4 << 20)
            .max_core_instance_size(4 << 20);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling));
    }
    config
}
