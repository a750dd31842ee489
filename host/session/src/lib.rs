//! The life of sessions: provisioning, turns, streams, recovery.
//!
//! This crate joins what the others offer: the store and the vault keep, the log records, the
//! runtime says what to run, the sandbox how, and the supervisor runs it. Its services are what
//! the API calls; [`Host::start`] opens everything and picks up what an earlier process left.

mod admission;
pub mod agents;
mod answers;
mod config;
pub mod credentials;
pub mod environments;
mod error;
pub mod events;
pub mod follow;
pub mod health;
mod host;
mod paths;
mod provision;
mod recover;
mod retention;
pub mod runtimes;
mod seal;
mod secrets;
pub mod sessions;
mod turn;
pub mod users;
pub mod vault;
mod watch;

pub use answers::AnswerRefused;
pub use aod_store::Page as Range;
pub use config::{
    AdmissionConfig, Config, RetentionConfig, SandboxConfig, TurnConfig, VaultConfig,
};
pub use error::{Error, Result};
pub use host::Host;
pub use paths::Paths;
pub use sessions::{Ack, Idempotent, SessionFilter, Sessions};
