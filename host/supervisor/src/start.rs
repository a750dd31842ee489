//! Starting a supervisor.

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::TurnSpec;

/// How long a supervisor has to report. It waits for the log's lock for a third of this.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest report, in bytes.
const MAX_REPORT: usize = 64 << 10;

/// A supervisor that holds the log, has recorded the turn's beginning and started its CLI.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The supervisor's process.
    pub supervisor_pid: u32,
    /// The process it launched.
    pub pid: u32,
    /// The log's generation: of all records of this turn.
    pub generation: u32,
    /// The last number in the log before the turn's `Begin`: where to read on from.
    pub after_id: u64,
}

/// What a supervisor reports over its pipe, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The CLI runs.
    Started(Started),
    /// It does not.
    Failed {
        /// What was wrong.
        failure: StartFailure,
        /// The particulars, without secrets.
        message: String,
    },
}

/// What kept a supervisor from starting the CLI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartFailure {
    /// The specification is invalid.
    Spec,
    /// Another writer holds the log.
    Locked,
    /// The log cannot be written.
    Log,
    /// The control socket cannot be made.
    Control,
    /// The command cannot be executed. The log has a `Begin` and an `Exited`.
    Launch,
}

/// Why there is no supervisor.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The specification cannot be sent.
    #[error("the turn cannot be described to its supervisor")]
    Encode(#[source] serde_json::Error),
    /// The binary cannot be run.
    #[error("cannot run the supervisor {}: is it installed beside the server?", binary.display())]
    Run {
        /// The binary.
        binary: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It could not start the CLI.
    #[error("the turn was not started: {message}")]
    Failed {
        /// What was wrong.
        failure: StartFailure,
        /// The particulars.
        message: String,
    },
    /// It ended without a report.
    #[error("the supervisor {} ended before it had started the turn", binary.display())]
    Died {
        /// The binary.
        binary: PathBuf,
    },
    /// It did not report in time. It may still start the CLI; the log's lock shows whether it did.
    #[error("the supervisor {} did not report in time", binary.display())]
    TimedOut {
        /// The binary.
        binary: PathBuf,
    },
}

/// A supervisor's process that waits for its turn's specification. Starting a process takes time,
/// so the host does it in parallel with the other preparations of a turn. The process ends by
/// itself when the host does, and is killed when this value is dropped.
#[derive(Debug)]
pub struct Waiting {
    binary: PathBuf,
    child: Child,
}

impl Waiting {
    /// Starts `binary`. Blocks: not for an async thread.
    ///
    /// # Errors
    /// [`SpawnError::Run`].
    pub fn start(binary: &Path) -> Result<Self, SpawnError> {
        let child = Command::new(binary)
            .arg("--spec")
            .env_clear()
            .current_dir("/")
            // Signals that a terminal sends to the host's group are not meant for it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        match child {
            Ok(child) => Ok(Self {
                binary: binary.to_owned(),
                child,
            }),
            Err(source) => Err(SpawnError::Run {
                binary: binary.to_owned(),
                source,
            }),
        }
    }

    /// Sends it `spec` and waits until the CLI runs or could not be started. The supervisor detaches
    /// from this process: it has a session of its own, is no child of ours, and keeps none of our
    /// descriptors but its pipes. Blocks: not for an async thread.
    ///
    /// # Errors
    /// See [`SpawnError`]. After all but [`SpawnError::TimedOut`] nothing runs.
    pub fn begin(mut self, spec: &TurnSpec) -> Result<Started, SpawnError> {
        let json = Zeroizing::new(serde_json::to_vec(spec).map_err(SpawnError::Encode)?);
        let report = converse(&mut self.child, &json);
        if report.is_ok() {
            // The started process forks the supervisor and ends at once.
            let _ = self.child.wait();
        }
        let binary = self.binary.clone();
        match report {
            Ok(Answer::Report(Report::Started(started))) => Ok(started),
            Ok(Answer::Report(Report::Failed { failure, message })) => {
                Err(SpawnError::Failed { failure, message })
            }
            Ok(Answer::End) => Err(SpawnError::Died { binary }),
            Ok(Answer::Silence) => Err(SpawnError::TimedOut { binary }),
            Err(source) => Err(SpawnError::Run { binary, source }),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // Does nothing where it has ended, or has forked its supervisor.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a supervisor with its turn: [`Waiting::start`] and [`Waiting::begin`] in one.
///
/// # Errors
/// As these.
pub fn spawn(binary: &Path, spec: &TurnSpec) -> Result<Started, SpawnError> {
    Waiting::start(binary)?.begin(spec)
}

enum Answer {
    Report(Report),
    End,
    Silence,
}

fn converse(child: &mut Child, json: &[u8]) -> io::Result<Answer> {
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(json) {
            // It has ended; whether it sent a report says more.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            result => result?,
        }
    }
    match child.stdout.take() {
        Some(stdout) => read_report(stdout),
        None => Ok(Answer::End),
    }
}

fn read_report(mut stdout: ChildStdout) -> io::Result<Answer> {
    let deadline = Instant::now() + PATIENCE;
    let mut line = Vec::new();
    let mut chunk = [0; 4096];
    while !line.ends_with(b"\n") && line.len() < MAX_REPORT {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: left.as_secs() as i64,
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        let mut polled = [PollFd::from_borrowed_fd(stdout.as_fd(), PollFlags::IN)];
        match rustix::event::poll(&mut polled, Some(&timeout)) {
            Ok(0) if left.is_zero() => return Ok(Answer::Silence),
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
        match stdout.read(&mut chunk) {
            Ok(0) => return Ok(Answer::End),
            Ok(count) => line.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Answer::Report(serde_json::from_slice(&line)?))
}
