//! Connections that the sandbox did not get.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use aod_egress::{Outcome, Report, TokenReport};
use aod_log::Record;
use aod_resources::event::Level;

use super::{Fold, Step, notice};

/// Connections that were told as refused since this process began. One for the process, as its
/// metrics are.
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// How many connections of sandboxes were told as refused since this process began.
pub(in crate::turn) fn refused_connections() -> u64 {
    REFUSED.load(Ordering::Relaxed)
}

impl Fold {
    /// Tells what its egress program reported.
    pub(super) fn take_network(
        &mut self,
        record: &Record<'_>,
        step: &mut Step<'_>,
    ) -> io::Result<()> {
        if let Ok(TokenReport::Counted(counts)) = serde_json::from_slice(record.payload) {
            self.counted.add(counts);
            return Ok(());
        }
        let Ok(report) = serde_json::from_slice::<Report>(record.payload) else {
            return Ok(());
        };
        let (code, verb) = match report.outcome {
            Outcome::Failed => ("network.failed", "failed"),
            _ => {
                REFUSED.fetch_add(1, Ordering::Relaxed);
                ("network.refused", "was refused")
            }
        };
        let text = format!(
            "a connection to {} {verb}: {}",
            report.target, report.reason
        );
        self.tell(notice(Level::Warning, code, text), step)
    }
}
