//! Telling the starter what was counted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aod_launch::{TokenCounts, TokenReport};

use super::reporter::tell_starter;

/// Figures that come so soon after each other are told together.
const PAUSE: Duration = Duration::from_millis(20);

/// What all answers had. Clones share it.
///
/// It is told before whoever asked has the end of an answer, so that the figures are on record before
/// what comes of it. No answer's beginning waits for that, or has to share the processor with whoever
/// is told.
#[derive(Clone, Default)]
pub(super) struct Tokens(Arc<Mutex<Untold>>);

#[derive(Default)]
struct Untold {
    counts: TokenCounts,
    /// Whether it will be told.
    is_due: bool,
}

impl Tokens {
    /// Adds what was counted.
    pub(super) fn add(&self, more: TokenCounts) {
        if more.is_empty() {
            return;
        }
        let mut untold = self.lock();
        untold.counts += more;
        if !std::mem::replace(&mut untold.is_due, true) {
            let tokens = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(PAUSE).await;
                tokens.lock().is_due = false;
                tokens.tell();
            });
        }
    }

    /// Tells what was not told yet.
    pub(super) fn tell(&self) {
        let counts = std::mem::take(&mut self.lock().counts);
        if !counts.is_empty() {
            tell_starter(&TokenReport::Counted(counts));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Untold> {
        // Nothing can panic while it is being changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
