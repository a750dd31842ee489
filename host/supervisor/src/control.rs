//! Speaking to a running supervisor: one JSON object a line, one reply for each.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::deed::{Answer, Deed};
use crate::socket;

/// The longest request that a supervisor takes, in bytes of JSON.
pub const MAX_REQUEST: usize = 16 << 20;
/// Replies are short.
const MAX_REPLY: u64 = 4 << 10;

/// What a supervisor can be asked.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request {
    /// Ask the CLI to stop; force follows after the grace. Recorded, the first time.
    Interrupt,
    /// Kill it now, with all it started.
    Terminate,
    /// Do what an adapter wants done, if it is the next deed; an earlier one has been done.
    Deed {
        /// Its number within the turn, from 0.
        seq: u64,
        /// What to do.
        deed: Deed,
    },
    /// Record the answer to a question, unless it has one.
    Answer(Answer),
    /// Record that time has passed, unless the CLI wrote more than the host has read or this tick
    /// was recorded before.
    Tick {
        /// Its number within the turn, from 0.
        seq: u64,
        /// The number of the last entry of the log that the host has read.
        after: u64,
    },
    /// Nothing; the reply shows that the supervisor lives.
    Ping,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Interrupt => f.write_str("Interrupt"),
            Self::Terminate => f.write_str("Terminate"),
            Self::Deed { seq, deed } => write!(f, "Deed({seq}, {deed:?})"),
            Self::Answer(answer) => write!(f, "Answer({:?})", answer.question),
            Self::Tick { seq, after } => write!(f, "Tick({seq}, after {after})"),
            Self::Ping => f.write_str("Ping"),
        }
    }
}

/// A supervisor's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// Whether it was done.
    pub ok: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Why a supervisor could not be asked, or did not do it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Nobody listens there: the turn is over, or its supervisor was killed.
    #[error("no supervisor listens at {}: the turn is over", path.display())]
    Gone {
        /// The socket's path.
        path: PathBuf,
    },
    /// It did not do it.
    #[error("the supervisor refused: {reason}")]
    Refused {
        /// Its words.
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
        let stream = socket::connect(path).map_err(failed)?;
        let timeout = Some(timeout.max(Duration::from_millis(1)));
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
    /// [`ControlError::Refused`] where it was not done, and all others. After any but `Refused`
    /// the connection is of no more use.
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

/// Kills the supervisor that listens at `path`, and by that all that runs under it. For one that
/// does not answer: it is told apart by the kernel, and need not do anything for it.
///
/// # Errors
/// [`ControlError::Gone`]; [`ControlError::TimedOut`] where too many have asked it in vain for the
/// kernel to take another connection; [`ControlError::Io`].
pub fn kill(path: &Path) -> Result<(), ControlError> {
    let failed = |source| classify(path, source);
    let stream = socket::connect(path).map_err(failed)?;
    let kill = || -> rustix::io::Result<()> {
        let listener = rustix::net::sockopt::socket_peercred(&stream)?.pid;
        let listener = rustix::process::pidfd_open(listener, rustix::process::PidfdFlags::empty())?;
        rustix::process::pidfd_send_signal(&listener, rustix::process::Signal::KILL)
    };
    match kill() {
        Err(rustix::io::Errno::SRCH) => Err(ControlError::Gone {
            path: path.to_owned(),
        }),
        killed => killed.map_err(|error| failed(error.into())),
    }
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
