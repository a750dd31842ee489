//! The small process that owns one running turn and outlives the host.
//!
//! The host describes a turn in a [`TurnSpec`] and calls [`spawn`]; the `aod-supervisor` binary
//! then starts the CLI, is the log's only writer until the CLI has ended, and enforces the turn's
//! clock, whether the host lives or not. The host speaks to it through [`Control`] and learns the
//! end from the log, where the last record of the turn is an [`Exited`].
//!
//! [`Redactor`] keeps secrets out of what is written; the host uses it for the output of
//! provisioning steps, too.

mod control;
mod deed;
mod exited;
mod redact;
mod socket;
mod spec;
mod start;

pub use control::{Control, ControlError, MAX_REQUEST, Reply, Request, kill};
pub use deed::{Answer, Deed, Fragment, Note};
pub use exited::{Exited, Reason};
pub use redact::{Redactor, Stream};
pub use socket::listen;
pub use spec::{
    Clock, DataFd, Interrupt, Launch, Secret, SecretBytes, SignalTarget, Stdin, TurnSpec, Watch,
};
pub use start::{Report, SpawnError, StartFailure, Started, Waiting, spawn};
