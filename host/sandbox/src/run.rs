//! Runs a launch to its end: for provisioning steps and probes.

use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aod_launch::{
    EgressServer, Input, LimitExceeded, LimitPoller, Output, Pipes, Process, StartOptions, start,
};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};

use crate::{Launch, SandboxError};

/// How long output is still read after the command ended, when something keeps the pipe open.
const DRAIN: Duration = Duration::from_secs(2);

/// How [`run()`] treats a command.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// What the command reads; its stdin ends after that.
    pub stdin: Vec<u8>,
    /// After this long the whole sandbox is killed.
    pub timeout: Option<Duration>,
    /// Kills the whole sandbox when triggered.
    pub cancel: Option<Cancel>,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this code. A sandbox reports a command that died by signal `n` as `128 + n`.
    Exited(i32),
    /// The started process died by this signal.
    Signaled(i32),
    /// It took too long and was killed.
    TimedOut,
    /// It was cancelled and killed.
    Cancelled,
    /// It used more than it may and was killed.
    OverLimit(LimitExceeded),
}

impl Ended {
    /// Whether it exited with code 0.
    #[must_use]
    pub fn success(self) -> bool {
        self == Self::Exited(0)
    }
}

/// A switch that ends a running command from another thread. Clones are one switch.
#[derive(Clone, Debug)]
pub struct Cancel(Arc<OwnedFd>);

impl Cancel {
    /// A switch that nobody has triggered.
    ///
    /// # Errors
    ///
    /// When no descriptor is left.
    pub fn new() -> Result<Self, SandboxError> {
        rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map(|fd| Self(Arc::new(fd)))
            .map_err(|source| SandboxError::io("make a cancellation switch", source))
    }

    /// Ends every command that runs or will run with this switch.
    pub fn trigger(&self) {
        // Fails only when the counter is full, that is when it was triggered already.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }
}

/// Starts `launch`, hands its combined output to `on_output` as it comes, in pieces cut anywhere,
/// and returns when it and all that it started have ended. Blocks; the command dies when the
/// calling thread does.
///
/// # Errors
///
/// When the command cannot be started or watched. It does not run then.
pub fn run(
    launch: &Launch,
    options: &RunOptions,
    on_output: &mut dyn FnMut(&[u8]),
) -> Result<Ended, SandboxError> {
    let started = Instant::now();
    let deadline = options.timeout.map(|timeout| started + timeout);
    let mut limits = Limits {
        poller: LimitPoller::new(launch),
        started,
    };
    let input = match options.stdin.as_slice() {
        [] => Input::Null,
        content => Input::Content(content),
    };
    let (mut process, mut pipes) = start(
        launch,
        StartOptions {
            input,
            output: Output::Joined,
            umask: None,
        },
    )?;
    let result = follow(
        &mut process,
        &mut pipes,
        deadline,
        options.cancel.as_ref(),
        &mut limits,
        on_output,
    );
    // Before the process is waited for: nothing of its network outlives it.
    let network = pipes.egress.take().map(EgressServer::end);
    let status = process.end(DRAIN);
    if let Some(network) = network.filter(|sockets| !sockets.is_empty()) {
        // The kernel takes a while to take a device down, which nobody has to wait for. Where there
        // can be no thread, it is waited for.
        let _ = std::thread::Builder::new().spawn(move || drop(network));
    }
    // The kernel has killed all of a group that wanted more memory than it may have.
    let cut = result?.or_else(|| process.out_of_memory().map(Ended::OverLimit));
    let status = status.map_err(|source| SandboxError::io("wait for a command", source))?;
    Ok(cut.unwrap_or_else(|| match status.code {
        Some(code) => Ended::Exited(code),
        None => Ended::Signaled(status.signal.unwrap_or(0)),
    }))
}

/// Reads output until the command has ended; answers why it has to be cut off, if it has.
fn follow(
    process: &mut Process,
    pipes: &mut Pipes,
    mut deadline: Option<Instant>,
    cancel: Option<&Cancel>,
    limits: &mut Limits,
    on_output: &mut dyn FnMut(&[u8]),
) -> Result<Option<Ended>, SandboxError> {
    let mut buffer = vec![0; 64 << 10];
    let (mut open, mut alive, mut cut) = (true, true, None);
    while open || alive {
        let ready = wait(
            pipes.egress.iter().flat_map(EgressServer::wanted),
            open.then(|| pipes.stdout.as_fd()),
            alive.then(|| process.pidfd()),
            cancel
                .filter(|_| cut.is_none())
                .map(|cancel| cancel.0.as_fd()),
            [deadline, limits.due().filter(|_| alive && cut.is_none())]
                .into_iter()
                .flatten()
                .min(),
        )
        .map_err(|source| SandboxError::io("wait for a command's output", source))?;
        if let Some(egress) = &mut pipes.egress {
            let mut tell = |line: &[u8]| {
                on_output(b"[network] ");
                on_output(line);
                on_output(b"\n");
            };
            // Whoever connects meanwhile sees the connection fail.
            if let Err(error) = egress.advance(&mut tell) {
                on_output(format!("[network] {error}\n").as_bytes());
                pipes.egress = None;
            }
        }
        if ready.output {
            match pipes.stdout.read(&mut buffer) {
                Ok(0) => open = false,
                Ok(read) => on_output(&buffer[..read]),
                Err(error) if is_transient(&error) => {}
                Err(source) => return Err(SandboxError::io("read a command's output", source)),
            }
        }
        if alive
            && cut.is_none()
            && let Some(exceeded) = limits.poll(process.id())
        {
            cut = Some(Ended::OverLimit(exceeded));
            process.kill();
            deadline = Some(Instant::now() + DRAIN);
        }
        let overdue = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if ready.cancelled || (overdue && alive && cut.is_none()) {
            cut = Some(if ready.cancelled {
                Ended::Cancelled
            } else {
                Ended::TimedOut
            });
            process.kill();
            deadline = Some(Instant::now() + DRAIN);
        } else if overdue {
            break;
        }
        if ready.ended {
            alive = false;
            // What the command left behind in its process group, where no namespace ends it.
            process.kill();
            deadline = Some(Instant::now() + DRAIN);
        }
    }
    Ok(cut)
}

/// The limits that are polled while the command runs.
struct Limits {
    poller: LimitPoller,
    started: Instant,
}

impl Limits {
    fn due(&self) -> Option<Instant> {
        let due = Duration::from_millis(self.poller.due()?);
        Some(self.started + due)
    }

    fn poll(&mut self, root: u32) -> Option<LimitExceeded> {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.poller.poll(now, root)
    }
}

/// What happened while waiting.
struct Ready {
    output: bool,
    ended: bool,
    cancelled: bool,
}

fn wait<'a>(
    egress: impl Iterator<Item = BorrowedFd<'a>>,
    output: Option<BorrowedFd<'a>>,
    process: Option<BorrowedFd<'a>>,
    cancel: Option<BorrowedFd<'a>>,
    deadline: Option<Instant>,
) -> io::Result<Ready> {
    let sources = [output, process, cancel];
    let mut fds: Vec<PollFd<'_>> = sources
        .into_iter()
        .flatten()
        .chain(egress)
        .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
        .collect();
    loop {
        let timeout = deadline.map(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            Timespec {
                tv_sec: left.as_secs() as i64,
                tv_nsec: left.subsec_nanos().into(),
            }
        });
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) => break,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    let mut polled = fds.iter();
    let mut ready = sources
        .map(|source| source.is_some() && polled.next().is_some_and(|fd| !fd.revents().is_empty()));
    Ok(Ready {
        output: ready[0],
        ended: ready[1],
        cancelled: std::mem::take(&mut ready[2]),
    })
}

fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
