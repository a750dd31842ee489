//! Connections that the sandbox did not get.

use std::io;

use aod_egress::{AllowanceReport, Outcome, Report, TokenReport};
use aod_log::Record;
use aod_metrics::metrics;
use aod_resources::event::Level;
use aod_supervisor::CredentialRecord;

use super::{Fold, Step, notice};

impl Fold {
    /// Tells what its egress program reported.
    pub(super) fn take_network(
        &mut self,
        record: &Record<'_>,
        step: &mut Step<'_>,
    ) -> io::Result<()> {
        if let Ok(told) = serde_json::from_slice(record.payload) {
            return self.take_credential(told, step);
        }
        if let Ok(TokenReport::Counted(counts)) = serde_json::from_slice(record.payload) {
            self.counted.add(counts);
            return Ok(());
        }
        if let Ok(AllowanceReport::RequestsSpent { most }) = serde_json::from_slice(record.payload)
        {
            self.rounds.refuse(most);
            return Ok(());
        }
        let Ok(report) = serde_json::from_slice::<Report>(record.payload) else {
            return Ok(());
        };
        let (code, verb) = match report.outcome {
            Outcome::Failed => {
                metrics().egress_failed.inc();
                ("network.failed", "failed")
            }
            _ => {
                metrics().egress_refused.inc();
                ("network.refused", "was refused")
            }
        };
        let text = format!(
            "a connection to {} {verb}: {}",
            report.target, report.reason
        );
        self.tell(notice(Level::Warning, code, text), step)
    }

    /// Takes what is on record of a credential that the turn's gateways have.
    fn take_credential(&mut self, told: CredentialRecord, step: &mut Step<'_>) -> io::Result<()> {
        let (credential, problem) = match told {
            CredentialRecord::CredentialRefused(credential) => {
                self.refusals += 1;
                self.refused_tokens.insert(credential, self.refusals);
                return Ok(());
            }
            CredentialRecord::CredentialTold {
                credential,
                problem,
            } => (credential, problem),
        };
        self.refused_tokens.remove(&credential);
        match problem {
            Some(problem) => {
                let text = format!("the provider refuses {credential}: {problem}");
                self.tell(notice(Level::Warning, "credential.refused", text), step)
            }
            None => Ok(()),
        }
    }
}
