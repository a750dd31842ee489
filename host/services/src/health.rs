//! Health and metrics.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aod_metrics::{IntGaugeVec, as_gauge, metrics};
use aod_resources::CheckState;
use aod_sandbox::{Probe, State};
use aod_store::Store;
use aod_turns::{Seals, Turns};
use serde::Serialize;
use thiserror::Error;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use crate::Result;
use crate::machine::Machine;
use crate::runtimes::Runtimes;
use crate::webhooks::Webhooks;

/// What operators ask.
#[derive(Clone, Debug)]
pub struct Health {
    pub(crate) store: Store,
    pub(crate) seals: Seals,
    pub(crate) runtimes: Runtimes,
    pub(crate) turns: Turns,
    pub(crate) machine: Machine,
    pub(crate) webhooks: Webhooks,
    pub(crate) checked: Checked,
    pub(crate) limits: ServerLimits,
}

/// What the server allows at most.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct ServerLimits {
    /// How many sessions of one user may be pending or running.
    pub sessions_per_user: u32,
    /// How many turns of all users may run at once; the others wait.
    pub running_turns: usize,
    /// Seconds that a turn may take where its session says nothing.
    pub turn_timeout: u32,
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
    pub state: CheckState,
}

/// The answer to a question about health is good for so long: anybody may ask it.
const FRESH: Duration = Duration::from_secs(1);

/// The last answer, and when it was found.
pub(crate) type Checked = Arc<Mutex<Option<(Instant, Result<(), Broken>)>>>;

/// What is broken, in words that anybody may read; the cause is for users.
#[derive(Clone, Debug, Error)]
#[error("the {part} does not work")]
pub struct Broken {
    /// The part of the server.
    pub part: &'static str,
    /// What it said.
    pub cause: String,
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
    /// Checks that the store answers and that the vault seals and opens, at most once a second.
    ///
    /// # Errors
    /// What is broken.
    pub async fn check(&self) -> Result<(), Broken> {
        // Whoever asks meanwhile waits for this answer.
        let mut checked = self.checked.lock().await;
        match &*checked {
            Some((at, found)) if at.elapsed() < FRESH => found.clone(),
            _ => {
                let found = self.look().await;
                *checked = Some((Instant::now(), found.clone()));
                found
            }
        }
    }

    async fn look(&self) -> Result<(), Broken> {
        let broken = |part, cause: String| Broken { part, cause };
        let store = self.store.ping().await;
        store.map_err(|error| broken("store", error.to_string()))?;
        let vault = self.seals.vault().self_test();
        vault.map_err(|error| broken("vault", error.to_string()))
    }

    /// The sandbox driver, and what it enforces on this machine. In a server's first moments this
    /// waits until it is known; none if it cannot be found out.
    pub async fn sandbox(&self) -> Option<SandboxHealth> {
        self.machine.probe().await.map(|probe| told(&probe))
    }

    /// What the server allows at most.
    pub const fn limits(&self) -> ServerLimits {
        self.limits
    }

    /// Figures in the Prometheus text format.
    ///
    /// # Errors
    /// [`crate::Error::Internal`] where the store does not answer.
    pub async fn metrics(&self) -> Result<String> {
        let metrics = metrics();
        let set = |family: &IntGaugeVec, values: &[(&str, u64)]| {
            for (label, value) in values {
                family.with_label_values(&[label]).set(as_gauge(*value));
            }
        };
        let counts = self.store.session_counts(None).await?;
        let of_status = [
            ("pending", counts.pending),
            ("running", counts.running),
            ("completed", counts.completed),
            ("failed", counts.failed),
            ("terminated", counts.terminated),
        ];
        set(&metrics.sessions, &of_status);
        metrics
            .turns_active
            .set(as_gauge(self.turns.count() as u64));
        metrics
            .turns_waiting
            .set(as_gauge(self.turns.waiting() as u64));
        let sizes = self.store.total_sizes().await?;
        let of_part = [
            ("home", sizes.home),
            ("workspace", sizes.workspace),
            ("log", sizes.log),
            ("checkpoints", sizes.checkpoints),
        ];
        set(&metrics.session_bytes, &of_part);
        let (ready, failed) = self.store.checkpoint_counts().await?;
        set(
            &metrics.checkpoints,
            &[("ready", ready), ("failed", failed)],
        );
        let (ready, compiling, failed) = self.runtimes.counts();
        let of_health = [
            ("ready", ready),
            ("compiling", compiling),
            ("failed", failed),
        ];
        set(&metrics.runtimes, &of_health);
        self.webhooks.measure().await?;
        Ok(metrics.text())
    }
}

/// What a driver found, as it is told.
fn told(probe: &Probe) -> SandboxHealth {
    let state = |found| match found {
        State::Enforced => CheckState::Enforced,
        State::Partial => CheckState::Partial,
        State::NotEnforced => CheckState::NotEnforced,
        State::Failed => CheckState::Failed,
    };
    let check = |check: &aod_sandbox::Check| SandboxCheck {
        name: check.name.to_owned(),
        state: state(check.state),
    };
    SandboxHealth {
        driver: probe.driver.clone(),
        checks: probe.checks.iter().map(check).collect(),
    }
}
