//! The description of a turn, which the host sends to a supervisor once, over a pipe.

use std::fmt;
use std::path::PathBuf;

use aod_launch::{Launch, SignalTarget};
use aod_log::Options;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

use crate::Fragment;

/// One turn: what to run, how long, and where its records go. It holds secrets: it travels over
/// a pipe, is never stored, and its debug output has no values.
#[derive(Debug, Serialize, Deserialize)]
pub struct TurnSpec {
    /// The session's id.
    pub session: String,
    /// The turn's number, from 1.
    pub turn: u32,
    /// The log's folder; absolute.
    pub log_dir: PathBuf,
    /// How the log is written.
    #[serde(default)]
    pub log: Options,
    /// The number of the log's last entry, behind which its own go on.
    #[serde(default)]
    pub last_id: u64,
    /// Where the control socket is made; absolute. A stale one is replaced.
    pub control_socket: PathBuf,
    /// What the host needs to resume the turn after a restart; recorded in the turn's `Begin`.
    pub begin: serde_json::Value,
    /// What to run.
    pub launch: Launch,
    /// What it reads.
    pub stdin: Stdin,
    /// What fragments may name, and must not get into the log.
    pub secrets: Vec<Secret>,
    /// How long it may take.
    pub clock: Clock,
    /// How it is asked to stop.
    pub interrupt: Interrupt,
    /// The most requests to its model that the turn may make, where what serves the sandbox's network
    /// passes them on; none: as many as it likes.
    #[serde(default)]
    pub max_requests: Option<u32>,
}

/// What the command reads from its stdin. The supervisor fills in the secrets that it names.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stdin {
    /// Nothing: `/dev/null`.
    #[default]
    None,
    /// This, then the end.
    Text(Vec<Fragment>),
    /// This, then what comes over the control socket, until it is closed there.
    Open(Vec<Fragment>),
}

impl fmt::Debug for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Text(fragments) => write!(f, "Text([{} fragments])", fragments.len()),
            Self::Open(fragments) => write!(f, "Open([{} fragments])", fragments.len()),
        }
    }
}

/// A value that fragments name, and that is replaced by `[redacted:NAME]` wherever the command
/// prints it.
#[derive(Serialize, Deserialize)]
pub struct Secret {
    /// What stands in its place.
    pub name: String,
    /// The value.
    pub value: String,
    /// Whether everybody may see it, so that nothing is replaced.
    #[serde(default)]
    pub is_open: bool,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.name)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.value.zeroize();
    }
}

/// The turn's limits, in milliseconds; 0 switches one off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Clock {
    /// How long the turn may take.
    pub timeout_ms: u64,
    /// How long it may be silent.
    pub idle_ms: u64,
    /// How long it has between the signal to stop and its end by force.
    pub grace_ms: u64,
    /// How long it has to exit once its adapter has asked for [`Effect::Close`].
    ///
    /// [`Effect::Close`]: crate::Effect::Close
    pub after_result_grace_ms: u64,
    /// How long the process may rest after a turn ([`Effect::EndTurn`]) before it is closed.
    ///
    /// [`Effect::EndTurn`]: crate::Effect::EndTurn
    pub rest_ms: u64,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            timeout_ms: 600_000,
            idle_ms: 0,
            grace_ms: 5_000,
            after_result_grace_ms: 0,
            rest_ms: 0,
        }
    }
}

/// How the command is asked to stop, before force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Interrupt {
    /// The signal's number; without one it is killed at once.
    pub signal: Option<i32>,
    /// Who gets it. How it reaches them is the launch's affair.
    pub to: SignalTarget,
    /// Whether the CLI is asked over its stdin where its user stops it, instead of by the signal.
    pub by_dialogue: bool,
}

impl Default for Interrupt {
    fn default() -> Self {
        Self {
            signal: Some(2),
            to: SignalTarget::Main,
            by_dialogue: false,
        }
    }
}
