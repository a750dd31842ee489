//! What the host keeps beside each guest.

use wasmtime::ResourceLimiter;

use crate::limits::Limits;
use crate::wasi::Wasi;

/// What the host keeps beside each guest.
pub(crate) struct State {
    pub(crate) limiter: Limiter,
    /// Made when a guest first asks for it; most never do.
    pub(crate) wasi: Option<Box<Wasi>>,
}

impl State {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            limiter: Limiter {
                memory: limits.memory,
                granted: 0,
                refused: false,
            },
            wasi: None,
        }
    }
}

/// Grants memory up to a sum over all memories of a store, and remembers that it refused.
pub(crate) struct Limiter {
    memory: usize,
    granted: usize,
    /// Whether a guest asked for more than it may have: when it fails after that, this is why.
    pub(crate) refused: bool,
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        match self.granted.checked_add(more) {
            Some(sum) if sum <= self.memory => {
                self.granted = sum;
                Ok(true)
            }
            _ => {
                self.refused = true;
                Ok(false)
            }
        }
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= crate::engine::TABLE_ELEMENTS)
    }

    fn instances(&self) -> usize {
        crate::engine::CORE_INSTANCES as usize
    }

    fn tables(&self) -> usize {
        crate::engine::TABLES as usize
    }

    fn memories(&self) -> usize {
        crate::engine::MEMORIES as usize
    }
}
