//! The host's side of the control socket: requests as JSON objects, one a line, and one reply each.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aod_launch::RenewedCredential;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{PidfdFlags, Signal};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::effect::{Answer, Effect, TurnInput};
use crate::socket;

/// The longest request that a supervisor takes, in bytes of JSON.
pub const MAX_REQUEST: usize = 16 << 20;
/// Replies are short.
const MAX_REPLY: u64 = 4 << 10;

/// A request to a supervisor.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request {
    /// Ask the CLI to stop, and kill it when the grace is over. The first one is recorded.
    Interrupt,
    /// Ask the CLI to stop because the turn has reached a limit, and kill it when the grace is over.
    /// Recorded like an interruption, with what is said of the limit, unless the turn is being
    /// stopped already.
    Limit(serde_json::Value),
    /// Kill it now, with all it started.
    Terminate,
    /// Carry out what an adapter asks for, if it is the next effect; an earlier one has been
    /// carried out.
    Effect {
        /// Its number within the turn, from 0.
        seq: u64,
        /// What to do.
        effect: Effect,
    },
    /// Record the answer to a question, unless it has one.
    Answer(Answer),
    /// Record what a user tells the turn that runs, unless it was recorded before.
    Input(TurnInput),
    /// What a credential is by now, for the gateways outside of the sandbox. An answer is recorded
    /// ([`CredentialRecord`](crate::CredentialRecord)), and nothing of its value.
    Credential(CredentialUpdate),
    /// Record that time has passed, unless the CLI wrote more than the host has read or this tick
    /// was recorded before.
    Tick {
        /// Its number within the turn, from 0.
        seq: u64,
        /// The number of the last entry of the log that the host has read.
        after: u64,
    },
    /// Record the event that ends the turn for those who follow it, unless it has one. Only while
    /// the process rests: otherwise the host writes it, once the log is free.
    Conclude(Conclusion),
    /// Begin the next turn with the process that rests; its `Begin` is recorded.
    Turn(NextTurn),
    /// The process that rests is no longer wanted: close its stdin, and give it its last grace to
    /// exit.
    Close,
    /// Do nothing; the reply shows that the supervisor lives.
    Ping,
}

/// What a credential is by now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialUpdate {
    /// What the gateways are told.
    pub credential: RenewedCredential,
    /// Why there is no other value, for people.
    #[serde(default)]
    pub problem: Option<String>,
}

/// The event that ends a turn for those who follow it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conclusion {
    /// The turn.
    pub turn: u32,
    /// Which event.
    pub kind: ConclusionKind,
    /// What it says.
    pub payload: serde_json::Value,
}

/// Which event ends a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConclusionKind {
    /// The turn ran to its end.
    Exit,
    /// The host could not finish it.
    Error,
}

/// One more turn of a process that rests.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextTurn {
    /// The turn's number: more than that of the one before.
    pub turn: u32,
    /// What the host needs to resume the turn after a restart; recorded in the turn's `Begin`.
    pub begin: serde_json::Value,
    /// How long the turn may take, in milliseconds; 0: as long as it likes.
    pub timeout_ms: u64,
    /// The most requests to its model that it may make, as a [`TurnSpec`] has it.
    ///
    /// [`TurnSpec`]: crate::TurnSpec
    #[serde(default)]
    pub max_requests: Option<u32>,
}

impl std::fmt::Debug for NextTurn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NextTurn")
            .field("turn", &self.turn)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Interrupt => f.write_str("Interrupt"),
            Self::Limit(limit) => write!(f, "Limit({limit})"),
            Self::Terminate => f.write_str("Terminate"),
            Self::Effect { seq, effect } => write!(f, "Effect({seq}, {effect:?})"),
            Self::Answer(answer) => write!(f, "Answer({:?})", answer.question),
            Self::Input(input) => write!(f, "{input:?}"),
            Self::Credential(update) => {
                write!(f, "Credential({:?})", update.credential.credential)
            }
            Self::Tick { seq, after } => write!(f, "Tick({seq}, after {after})"),
            Self::Conclude(conclusion) => {
                write!(f, "Conclude({}, {:?})", conclusion.turn, conclusion.kind)
            }
            Self::Turn(next) => write!(f, "Turn({})", next.turn),
            Self::Close => f.write_str("Close"),
            Self::Ping => f.write_str("Ping"),
        }
    }
}

/// A supervisor's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// Whether the request was carried out.
    pub ok: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Why a request failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Nobody listens there: the turn is over, or its supervisor was killed.
    #[error("no supervisor listens at {}: the turn is over", path.display())]
    Gone {
        /// The socket's path.
        path: PathBuf,
    },
    /// It did not carry out the request.
    #[error("the supervisor refused: {reason}")]
    Refused {
        /// The reason it gave.
        reason: String,
    },
    /// It did not answer in time.
    #[error("the supervisor at {} did not answer in time", path.display())]
    TimedOut {
        /// The socket's path.
        path: PathBuf,
    },
    /// Anything else.
    #[error("cannot speak to the supervisor at {}", path.display())]
    Io {
        /// The socket's path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A connection to a running supervisor. Blocking, with a timeout on every step.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    stream: BufReader<UnixStream>,
}

impl Control {
    /// Connects to the control socket at `path`; sending and awaiting a reply may each take
    /// `timeout` (zero is taken as one millisecond).
    ///
    /// # Errors
    /// [`ControlError::Gone`], [`ControlError::Io`].
    pub fn connect(path: &Path, timeout: Duration) -> Result<Self, ControlError> {
        let failed = |source| classify(path, source);
        let timeout = timeout.max(Duration::from_millis(1));
        let stream = socket::connect(path, timeout).map_err(failed)?;
        let timeout = Some(timeout);
        stream.set_read_timeout(timeout).map_err(failed)?;
        stream.set_write_timeout(timeout).map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            stream: BufReader::with_capacity(512, stream),
        })
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Errors
    /// [`ControlError::Refused`] where it was not carried out, and all others. After any but
    /// `Refused` the connection cannot be used any more.
    pub fn send(&mut self, request: &Request) -> Result<(), ControlError> {
        let reply = self
            .exchange(request)
            .map_err(|source| classify(&self.path, source))?;
        if reply.ok {
            return Ok(());
        }
        Err(ControlError::Refused {
            reason: reply.error.unwrap_or_else(|| "no reason given".to_owned()),
        })
    }

    fn exchange(&mut self, request: &Request) -> io::Result<Reply> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line)?;
        line.clear();
        (&mut self.stream)
            .take(MAX_REPLY)
            .read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(serde_json::from_slice(&line)?)
    }
}

/// Kills the supervisor that listens at `path`, and its turn with it: for one that does not answer.
/// The log's lock is free then, without an [`Exited`](crate::Exited) record.
///
/// # Errors
/// [`ControlError::Gone`] where nobody listens, [`ControlError::Io`].
pub fn kill_supervisor(path: &Path) -> Result<(), ControlError> {
    let failed = |source: io::Error| classify(path, source);
    let stream = socket::connect(path, Duration::from_secs(1)).map_err(failed)?;
    let kill = || -> io::Result<()> {
        let listener = rustix::net::sockopt::socket_peercred(&stream)?.pid;
        let pidfd = rustix::process::pidfd_open(listener, PidfdFlags::empty())?;
        // Its end would have hung the connection up. So it lived when the descriptor was made, and
        // the number was not yet another process's.
        let mut polled = [PollFd::new(&stream, PollFlags::empty())];
        rustix::event::poll(&mut polled, Some(&Timespec::default()))?;
        if !polled[0].revents().is_empty() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(rustix::process::pidfd_send_signal(&pidfd, Signal::KILL)?)
    };
    kill().map_err(failed)
}

fn classify(path: &Path, source: io::Error) -> ControlError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound
        | io::ErrorKind::ConnectionRefused
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe => ControlError::Gone { path },
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ControlError::TimedOut { path },
        _ => ControlError::Io { path, source },
    }
}
