//! The clock by which calls are interrupted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the epoch moves.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Ticks without a call after which the thread sleeps until the next one.
const IDLE_TICKS: u32 = 100;

/// Moves an engine's epoch while calls are in flight. A server with nothing to do is not woken a
/// hundred times a second, and a call does not pay for waking the thread unless there was a pause.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    in_flight: AtomicUsize,
    parked: AtomicBool,
    stop: AtomicBool,
}

impl Ticker {
    pub(crate) fn start(engine: &wasmtime::Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = std::thread::Builder::new()
            .name("aod-epoch".into())
            .spawn({
                let (engine, shared) = (engine.clone(), Arc::clone(&shared));
                move || run(&engine, &shared)
            })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Keeps the epoch moving until the guard is dropped.
    pub(crate) fn in_flight(&self) -> InFlight<'_> {
        self.shared.in_flight.fetch_add(1, Ordering::SeqCst);
        // Either this sees that the thread has parked, or the thread sees the call: both orders
        // are sequentially consistent.
        if self.shared.parked.load(Ordering::SeqCst) {
            self.unpark();
        }
        InFlight { ticker: self }
    }

    fn unpark(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.unpark();
        if let Some(thread) = self.thread.take() {
            // The thread does nothing that can panic, and there is nobody to tell here.
            let _ = thread.join();
        }
    }
}

/// A call is in flight as long as this lives.
pub(crate) struct InFlight<'a> {
    ticker: &'a Ticker,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.ticker.shared.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

fn run(engine: &wasmtime::Engine, shared: &Shared) {
    let mut idle = 0;
    while !shared.stop.load(Ordering::SeqCst) {
        idle = if shared.in_flight.load(Ordering::SeqCst) == 0 {
            idle + 1
        } else {
            0
        };
        if idle > IDLE_TICKS {
            shared.parked.store(true, Ordering::SeqCst);
            if shared.in_flight.load(Ordering::SeqCst) == 0 && !shared.stop.load(Ordering::SeqCst) {
                std::thread::park();
            }
            shared.parked.store(false, Ordering::SeqCst);
            idle = 0;
        }
        std::thread::sleep(TICK);
        engine.increment_epoch();
    }
}
