//! Health and metrics.

use std::fmt::Write as _;

use aod_store::Store;
use aod_turns::{Seals, Turns};
use serde::Serialize;
use thiserror::Error;
use utoipa::ToSchema;

use crate::Result;
use crate::runtimes::Runtimes;

/// What operators ask.
#[derive(Clone, Debug)]
pub struct Health {
    pub(crate) store: Store,
    pub(crate) seals: Seals,
    pub(crate) runtimes: Runtimes,
    pub(crate) turns: Turns,
    pub(crate) sandbox: SandboxHealth,
}

/// The sandbox driver, and what it enforces on this machine.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SandboxHealth {
    /// The driver's name.
    pub driver: String,
    /// What is in force, and what is not.
    pub checks: Vec<SandboxCheck>,
}

/// One property of the sandbox.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SandboxCheck {
    /// What was looked at, such as `seccomp` or `memory`.
    pub name: String,
    /// Whether it is in force.
    pub state: String,
}

/// What is broken.
#[derive(Debug, Error)]
pub enum Unhealthy {
    /// The store.
    #[error("the store does not answer: {0}")]
    Store(#[source] aod_store::Error),
    /// The vault.
    #[error("the vault cannot seal and open: {0}")]
    Vault(#[source] aod_vault::Error),
}

impl Health {
    /// Checks that the store answers and that the vault seals and opens.
    ///
    /// # Errors
    /// What is broken.
    pub async fn check(&self) -> Result<SandboxHealth, Unhealthy> {
        self.store.ping().await.map_err(Unhealthy::Store)?;
        self.seals.vault().self_test().map_err(Unhealthy::Vault)?;
        Ok(self.sandbox.clone())
    }

    /// Figures in the Prometheus text format.
    ///
    /// # Errors
    /// [`crate::Error::Internal`] where the store does not answer.
    pub async fn metrics(&self) -> Result<String> {
        let counts = self.store.session_counts(None).await?;
        let mut text = String::new();
        let mut family = |name: &str, help: &str, values: &[(&str, u64)]| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
            for (labels, value) in values {
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        };
        family(
            "aod_sessions",
            "Sessions by status.",
            &[
                ("{status=\"pending\"}", counts.pending),
                ("{status=\"running\"}", counts.running),
                ("{status=\"completed\"}", counts.completed),
                ("{status=\"failed\"}", counts.failed),
                ("{status=\"terminated\"}", counts.terminated),
            ],
        );
        family(
            "aod_turns_active",
            "Turns that wait or run under this process.",
            &[("", self.turns.count() as u64)],
        );
        family(
            "aod_turns_waiting",
            "Turns that wait for room.",
            &[("", self.turns.waiting() as u64)],
        );
        let (ready, failed) = self.runtimes.counts();
        family(
            "aod_runtimes",
            "Declared runtimes by health.",
            &[
                ("{health=\"ready\"}", ready),
                ("{health=\"failed\"}", failed),
            ],
        );
        Ok(text)
    }
}
