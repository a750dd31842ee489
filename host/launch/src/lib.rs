//! A command that is ready to be started, and the one way to start, signal and end it.
//!
//! A sandbox driver describes what has to be started in a [`Launch`]. It travels as JSON over a
//! pipe to the supervisor of a turn, or stays in the server for a provisioning step. Both call
//! [`start`], which gives the command nothing but what its launch names.
//!
//! A launch also says how the command is reached once it runs, as values: [`SignalRoute`] for the
//! signals that ask it to stop, [`KillRoute`] for its end by force, [`PolledLimits`] for the limits
//! that no kernel facility enforces. Whoever starts it follows these and knows nothing about the
//! driver. A driver whose command runs elsewhere, in a container or on another machine, launches a
//! client that passes signals on and ends with the command, and needs no other starter.
//!
//! The same crate has the [`init`] under which sandboxes run, because an end by force must not rest
//! on a process that the command can tamper with.
//!
//! This crate is small on purpose: the supervisor, one process for each running turn, links it.

mod allowance;
mod child;
mod data;
mod disk;
mod egress;
mod fairness;
mod flag;
mod held;
pub mod init;
mod ipc;
mod launch;
mod limits;
mod memory;
mod netns;
pub mod overlay;
mod process;
mod process_bound;
mod renewal;
mod secret_bytes;
mod start;
mod tokens;
mod tunnel;
mod usage;

pub use allowance::{Allowance, AllowanceReport};
pub use egress::{
    ALLOWANCE, Egress, EgressServer, FIRST_SOCKET, IN_USE_FLAG, REPLIES, WITHOUT_DEVICE,
};
pub use flag::Flag;
pub use held::{CallAnswer, CallReply, CallReport, HeldCall, HeldKind};
pub use launch::{DataFd, DiskLimit, EnvVar, KillRoute, Launch, PolledLimits, SignalRoute};
pub use limits::{LimitExceeded, LimitPoller};
pub use memory::protect_memory;
pub use process::{Process, SignalTarget, Status};
pub use renewal::{CredentialReport, RenewedCredential};
pub use secret_bytes::SecretBytes;
pub use start::{Input, Output, Pipes, StartError, StartOptions, start};
pub use tokens::{TokenCounts, TokenReport};
pub use tunnel::{MTU, Tunnel};
