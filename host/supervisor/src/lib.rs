//! The small process that owns one running turn and outlives the host.
//!
//! The host describes a turn in a [`TurnSpec`] and calls [`spawn`]; the `aod-supervisor` binary
//! then starts the CLI, is the log's only writer until the CLI has ended, and enforces the turn's
//! clock, whether the host lives or not. The host sends it requests through [`Control`] and learns the
//! end from the log, where the last record of the turn is an [`Exited`].
//!
//! [`Redactor`] replaces secrets in what is written; the host uses it for the output of
//! provisioning steps, too.

mod control;
mod effect;
mod exited;
mod fragment;
mod redact;
mod socket;
mod spec;
mod start;

pub use aod_launch::{CallAnswer, HeldKind, Launch, RenewedCredential, SecretBytes, SignalTarget};
pub use control::{
    Conclusion, ConclusionKind, Control, ControlError, CredentialUpdate, MAX_REQUEST, NextTurn,
    Reply, Request, kill_supervisor,
};
pub use effect::{Answer, AskedCall, CallRecord, CredentialRecord, Effect, Note, TurnInput};
pub use exited::{Exited, Reason, TurnEnded};
pub use fragment::{Filled, Fragment};
pub use redact::{LinePosition, Redactor, Stream};
pub use socket::listen;
pub use spec::{Clock, Interrupt, Secret, Stdin, TurnSpec};
pub use start::{Report, SpawnError, StartFailure, Started, Waiting, spawn};
