//! What the API calls: agents, environments, credentials, sessions, users, runtimes, health.
//!
//! [`Host::start`] opens everything and picks up what an earlier process left. Turns are run by
//! `aod-turns`, and what they write is read by `aod-streams`.

pub mod agents;
mod answers;
mod config;
mod contradiction;
pub mod credentials;
pub mod environments;
pub mod health;
mod host;
mod owner;
pub mod runtimes;
pub mod sessions;
pub mod users;
pub mod vault;

pub use answers::AnswerRefused;
pub use aod_store::Page as Range;
pub use aod_turns::{Error, Paths, Result};
pub use config::{Config, VaultConfig};
pub use host::Host;
pub use sessions::{Ack, Idempotent, SessionFilter, Sessions};
