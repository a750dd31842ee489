//! Telling the starter what was counted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aod_launch::{TokenCounts, TokenReport};
use tokio::time::Instant;

use super::reporter::tell_starter;

/// Figures that change again so soon are told together.
const PAUSE: Duration = Duration::from_millis(20);

/// What all answers had. Clones share it.
///
/// It is told at once where it can be: before whoever asked has the end of an answer, so that the
/// figures are on record before what comes of it.
#[derive(Clone, Default)]
pub(super) struct Tokens(Arc<Mutex<Untold>>);

#[derive(Default)]
struct Untold {
    counts: TokenCounts,
    last: Option<Instant>,
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
        let since = untold.last.map_or(PAUSE, |last| last.elapsed());
        match PAUSE.checked_sub(since) {
            Some(rest) if !rest.is_zero() => {
                if !std::mem::replace(&mut untold.is_due, true) {
                    let tokens = self.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(rest).await;
                        tokens.tell();
                    });
                }
            }
            _ => tell(&mut untold),
        }
    }

    /// Tells what was not told yet.
    pub(super) fn tell(&self) {
        tell(&mut self.lock());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Untold> {
        // Nothing can panic while it is being changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(untold: &mut Untold) {
    untold.is_due = false;
    let counts = std::mem::take(&mut untold.counts);
    if !counts.is_empty() {
        untold.last = Some(Instant::now());
        tell_starter(&TokenReport::Counted(counts));
    }
}
