//! Health and metrics.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

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
        let sizes = self.store.total_sizes().await?;
        family(
            "aod_session_bytes",
            "What sessions take of the disk, as it was at the end of their last turns.",
            &[
                ("{part=\"home\"}", sizes.home),
                ("{part=\"workspace\"}", sizes.workspace),
                ("{part=\"log\"}", sizes.log),
                ("{part=\"checkpoints\"}", sizes.checkpoints),
            ],
        );
        let (ready, failed) = self.store.checkpoint_counts().await?;
        family(
            "aod_checkpoints",
            "Checkpoints of sessions that are kept, and turns of which none could be made.",
            &[("{state=\"ready\"}", ready), ("{state=\"failed\"}", failed)],
        );
        let (ready, compiling, failed) = self.runtimes.counts();
        family(
            "aod_runtimes",
            "Declared runtimes by health.",
            &[
                ("{health=\"ready\"}", ready),
                ("{health=\"compiling\"}", compiling),
                ("{health=\"failed\"}", failed),
            ],
        );
        let refused = self.turns.refused_connections();
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "# HELP aod_egress_refused_total Connections of sandboxes that were refused, each target \
             once in a process of a turn.\n\
             # TYPE aod_egress_refused_total counter\naod_egress_refused_total {refused}\n"
        );
        self.webhooks.metrics(&mut text).await?;
        Ok(text)
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
