//! What the API calls: agents, environments, credentials, sessions, users, runtimes, health.
//!
//! [`Host::start`] opens everything and picks up what an earlier process left. Turns are run by
//! `aod-turns`, and what they write is read by `aod-streams`.

mod accepted;
pub mod agents;
mod answers;
pub mod backup;
mod begin;
mod config;
mod contradiction;
pub mod credentials;
pub mod environments;
mod error;
pub mod files;
mod forks;
pub mod health;
mod host;
mod labels;
mod machine;
mod owner;
mod prompts;
mod queue;
pub mod runtimes;
mod session_changes;
pub mod sessions;
mod steer;
mod structured;
pub mod upgrade;
pub mod users;
pub mod vault;
pub mod webhooks;

pub use accepted::{Accepted, Created, Idempotent};
pub use answers::AnswerRefused;
pub use aod_store::Page as Range;
pub use aod_telemetry::Config as TelemetryConfig;
pub use aod_turns::{Cause, Paths, UserAnswer};
pub use aod_webhooks::Config as WebhooksConfig;
pub use config::{Config, VaultConfig};
pub use contradiction::Contradiction;
pub use error::{Error, Kind, OpenError, Result};
pub use host::{Host, Services};
pub use machine::Machine;
pub use owner::OwnerError;
pub use session_changes::{PendingQuestion, SessionsEvent, SessionsFollower};
pub use sessions::{SessionFilter, Sessions};

/// Opens a data folder, and makes it where there is none.
fn data_folder(path: &std::path::Path) -> Result<Paths, OpenError> {
    Paths::create(path).map_err(|error| OpenError::DataFolder {
        path: error.path,
        source: error.source,
    })
}
