//! The last records of turns and of their process.

use serde::{Deserialize, Serialize};

/// How a turn's CLI ended; the payload of the log's `Exited` record, one for each `Begin` unless
/// the supervisor itself was killed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exited {
    /// The exit code, where it exited by itself.
    pub code: Option<i32>,
    /// The signal that ended it, where one did.
    pub signal: Option<i32>,
    /// Why it ended.
    pub reason: Reason,
    /// Whether it was killed because it did not end when it was asked to, or was not asked.
    #[serde(default)]
    pub killed: bool,
    /// How many bytes of its output were not UTF-8 and were replaced.
    #[serde(default)]
    pub replaced_bytes: u64,
    /// How many bytes of output it wrote.
    #[serde(default)]
    pub output_bytes: u64,
    /// What went wrong, where something other than the CLI did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How a turn ended whose CLI stays for the next one; the payload of the log's `TurnEnded` record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnEnded {
    /// Why it ended: [`Reason::Exit`] where its adapter said that it is over,
    /// [`Reason::Interrupted`] or [`Reason::Limit`].
    pub reason: Reason,
    /// How many bytes of its output were not UTF-8 and were replaced.
    pub replaced_bytes: u64,
    /// How many bytes of output the CLI wrote in it.
    pub output_bytes: u64,
}

/// Why a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The CLI exited or died by itself.
    Exit,
    /// It took longer than it may.
    Timeout,
    /// It wrote nothing for longer than it may.
    Idle,
    /// Its adapter closed it ([`Effect::Close`](crate::Effect::Close)), and it did not exit in time.
    AfterResult,
    /// It reached a limit of the turn.
    Limit,
    /// It was interrupted on request.
    Interrupted,
    /// It was terminated on request.
    Terminated,
    /// It used more than its sandbox may.
    OverLimit,
    /// The log could not be written.
    LogError,
    /// It could not be started.
    StartFailed,
}
