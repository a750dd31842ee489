//! What a supervisor is told, once, over a pipe.

use std::fmt;
use std::path::PathBuf;

use aod_log::Options;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{Zeroize as _, ZeroizeOnDrop};

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
    /// Where the control socket is made; absolute. A stale one is replaced.
    pub control_socket: PathBuf,
    /// Facts for recovery, recorded in the turn's `Begin`.
    pub begin: serde_json::Value,
    /// What to run.
    pub launch: Launch,
    /// What it reads.
    pub stdin: Stdin,
    /// What must not get into the log.
    pub secrets: Vec<Secret>,
    /// How long it may take.
    pub clock: Clock,
    /// How it is asked to stop.
    pub interrupt: Interrupt,
    /// Limits that the kernel was not told.
    #[serde(default)]
    pub watch: Watch,
}

/// Limits that only a watching parent can hold; beyond them the whole tree is killed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Memory of all processes together, in bytes.
    pub memory_bytes: Option<u64>,
    /// Number of processes and threads.
    pub pids: Option<u64>,
}

/// A command, complete: nothing of the host's environment is added.
#[derive(Serialize, Deserialize)]
pub struct Launch {
    /// The file to execute: absolute, or looked up in the launch's own `PATH`.
    pub program: PathBuf,
    /// All arguments, the zeroth included.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// The working directory.
    pub cwd: PathBuf,
    /// A cgroup v2 folder that it joins.
    #[serde(default)]
    pub cgroup: Option<PathBuf>,
    /// Files without a name that the command finds open.
    #[serde(default)]
    pub data_fds: Vec<DataFd>,
}

impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.env.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Launch")
            .field("program", &self.program)
            .field("arguments", &self.argv.len())
            .field("env", &names)
            .field("cwd", &self.cwd)
            .field("data_fds", &self.data_fds)
            .finish()
    }
}

impl Drop for Launch {
    fn drop(&mut self) {
        for (_, value) in &mut self.env {
            value.zeroize();
        }
    }
}

/// A descriptor with content, read from its start.
#[derive(Debug, Serialize, Deserialize)]
pub struct DataFd {
    /// The number that the command finds it under: 3 to 255, each once.
    pub fd: i32,
    /// What it reads there.
    pub content: SecretBytes,
}

/// Bytes that are not shown, and overwritten when they are no longer needed. JSON has them as
/// base64.
#[derive(Clone, Default, PartialEq, Eq, ZeroizeOnDrop)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for SecretBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<String> for SecretBytes {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.0.len())
    }
}

impl Serialize for SecretBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = STANDARD.encode(&self.0);
        let done = serializer.serialize_str(&text);
        text.zeroize();
        done
    }
}

impl<'de> Deserialize<'de> for SecretBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(&text);
        text.zeroize();
        // The decoder's own message would quote the input.
        bytes
            .map(Self)
            .map_err(|_| serde::de::Error::custom("not base64"))
    }
}

/// What the command reads from its stdin.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stdin {
    /// Nothing: `/dev/null`.
    #[default]
    None,
    /// This, then the end.
    Text(SecretBytes),
    /// This, then what comes over the control socket, until it is closed there.
    Open(SecretBytes),
}

/// A value that is replaced by `[redacted:NAME]` wherever the command prints it.
#[derive(Serialize, Deserialize)]
pub struct Secret {
    /// What stands in its place.
    pub name: String,
    /// The value.
    pub value: String,
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
    /// How long it has to exit once its result was seen.
    pub after_result_grace_ms: u64,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            timeout_ms: 600_000,
            idle_ms: 0,
            grace_ms: 5_000,
            after_result_grace_ms: 0,
        }
    }
}

/// How the command is asked to stop, before force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Interrupt {
    /// The signal's number; without one it is killed at once.
    pub signal: Option<i32>,
    /// Who gets it.
    pub to: SignalTarget,
    /// How many processes stand between the launched one and the CLI: 0 where the CLI itself was
    /// launched, 2 for a sandbox launcher with an init of its own.
    pub main_depth: u32,
    /// Whether the CLI is asked over its stdin where its user stops it, instead of by the signal.
    pub by_dialogue: bool,
}

impl Default for Interrupt {
    fn default() -> Self {
        Self {
            signal: Some(2),
            to: SignalTarget::Main,
            main_depth: 0,
            by_dialogue: false,
        }
    }
}

/// Who gets the signal to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalTarget {
    /// The CLI's process.
    #[default]
    Main,
    /// The process group of the CLI.
    Group,
    /// Nobody: it is killed at once.
    None,
}
