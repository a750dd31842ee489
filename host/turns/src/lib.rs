//! Running turns: from an accepted prompt to the terminal event.
//!
//! This crate joins what the others offer: the store and the vault keep, the log records, the
//! runtime says what to run, the sandbox how, and the supervisor runs it. [`Turns`] holds every
//! turn that waits or runs; what users ask for comes from the services above it.

mod adapters;
mod admission;
mod authorities;
mod checkpoints;
mod config;
mod disks;
mod error;
mod expiry;
mod fence;
mod git;
mod hex;
mod journal;
mod mcp;
mod network;
mod oauth;
mod packages;
mod paths;
mod periodic;
mod permissions;
mod placement;
mod provision;
mod recover;
mod removal;
mod retention;
mod seal;
mod secrets;
mod sizes;
mod turn;

pub use adapters::{Adapters, Build};
pub use aod_egress::{HostError, HostPort};
pub use checkpoints::{CheckpointConfig, RestoreError};
pub use config::{
    AdmissionConfig, Config, EgressConfig, LiveConfig, RawEgress, RetentionConfig, SandboxConfig,
    TurnConfig,
};
pub use disks::DiskUse;
pub use error::{Cause, Error, Result};
pub use git::GitConfig;
pub use mcp::{mcp_key, mcp_names};
pub use packages::PackagesConfig;
pub use paths::{FolderError, Paths, SessionPaths};
pub use permissions::unkept_permission;
pub use placement::{
    ControlReply, LocalPlacement, PendingWorker, Placement, PlacementError, WorkerId,
};
pub use provision::{installed_version, missing_program};
pub use recover::recover;
pub use removal::Removal;
pub use seal::{Seals, binding};
pub use secrets::{PLAIN, is_plain_url, is_server_url};
pub use turn::{Parts, Refusal, SteerRefused, TurnObserver, Turns, UserAnswer, json_schema};
