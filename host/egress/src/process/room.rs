//! How much is read at once, so that all connections together take bounded memory.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How many connections there are.
static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);
/// So many of them may read much at once: more than an agent's work needs.
const FEW: usize = 8;
const MUCH: usize = 64 << 10;
/// Less than what readers begin with, so that none of them takes it for a reason to read more.
const LITTLE: usize = 4 << 10;

/// How much of an answer is read at once, and kept for a client that takes no more.
pub(super) fn at_once() -> usize {
    match CONNECTIONS.load(Ordering::Relaxed) <= FEW {
        true => MUCH,
        false => LITTLE,
    }
}

/// Counts a connection, until this is dropped.
pub(super) struct ConnectionGuard(());

impl ConnectionGuard {
    pub(super) fn take() -> Self {
        CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        Self(())
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        CONNECTIONS.fetch_sub(1, Ordering::Relaxed);
    }
}
