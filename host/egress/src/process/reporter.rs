//! Telling the starter what was not connected.

use std::collections::HashSet;
use std::io::Write as _;
use std::sync::Mutex;

use aod_egress::{Outcome, Report};
use serde::Serialize;

/// So many different reports are told, and that there were more: the sandbox chooses the names in
/// them.
const MAX_REPORTS: usize = 100;
/// The longest text in a report, in characters.
const MAX_TEXT: usize = 400;

/// Tells each report once.
#[derive(Default)]
pub(super) struct Reporter(Mutex<HashSet<Report>>);

impl Reporter {
    pub(super) fn tell(&self, outcome: Outcome, host: &str, port: u16, reason: &str) {
        let short = |text: &str| text.chars().take(MAX_TEXT).collect::<String>();
        let mut report = Report {
            outcome,
            target: match port {
                0 => short(host),
                _ => short(&format!("{host}:{port}")),
            },
            reason: short(reason),
        };
        let Ok(mut told) = self.0.lock() else { return };
        if told.contains(&report) {
            return;
        }
        match told.len() {
            ..MAX_REPORTS => {}
            MAX_REPORTS => {
                report.target = "others".to_owned();
                report.reason = format!(
                    "{MAX_REPORTS} of them have been told of; no more are, until there has been \
                     no connection for a while"
                );
            }
            _ => return,
        }
        told.insert(report.clone());
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
