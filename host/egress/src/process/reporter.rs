//! Telling the starter what was not connected.

use std::collections::HashSet;
use std::io::Write as _;
use std::sync::Mutex;

use aod_egress::{Outcome, Report};
use serde::Serialize;

/// So many different reports are told, and no more: the sandbox chooses the names in them.
const MAX_REPORTS: usize = 100;
/// The longest text in a report, in characters.
const MAX_TEXT: usize = 400;

/// Tells each report once.
#[derive(Default)]
pub(super) struct Reporter(Mutex<HashSet<Report>>);

impl Reporter {
    pub(super) fn tell(&self, outcome: Outcome, host: &str, port: u16, reason: &str) {
        let short = |text: &str| text.chars().take(MAX_TEXT).collect::<String>();
        let report = Report {
            outcome,
            target: short(&format!("{host}:{port}")),
            reason: short(reason),
        };
        let Ok(mut told) = self.0.lock() else { return };
        if told.len() >= MAX_REPORTS || !told.insert(report.clone()) {
            return;
        }
        // All reports together fit into the pipe, so that this never waits.
        tell_starter(&report);
    }
}

/// Writes a line for the starter, which always reads.
pub(super) fn tell_starter(report: &impl Serialize) {
    if let Ok(mut line) = serde_json::to_vec(report) {
        line.push(b'\n');
        let _ = std::io::stdout().lock().write_all(&line);
    }
}
