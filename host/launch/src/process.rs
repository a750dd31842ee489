//! A started launch: how it ended, how it is signalled, how it is killed.

use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions};
use serde::{Deserialize, Serialize};

use crate::{KillRoute, Launch, LimitExceeded, SignalRoute};

/// How long a process that is dropped may take to kill what belongs to it.
const PATIENCE: Duration = Duration::from_secs(2);

/// How a started process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its exit code, where it exited by itself.
    pub code: Option<i32>,
    /// The number of the signal that ended it, where one did.
    pub signal: Option<i32>,
}

/// Who gets a signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalTarget {
    /// The command's process.
    #[default]
    Main,
    /// The process group of the command.
    Group,
}

/// A started process, in a session and process group of its own. When it is dropped it is killed,
/// unless it was waited for.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    pidfd: OwnedFd,
    signal_route: SignalRoute,
    kill_route: KillRoute,
    cgroup: Option<PathBuf>,
    /// Its zombie is gone, and its number may be another's.
    reaped: bool,
    /// It has been asked to kill everything.
    asked: bool,
}

impl Process {
    /// Of the calling process's child `pid`, which is killed where that fails.
    pub(crate) fn new(pid: libc::pid_t, launch: &Launch) -> io::Result<Self> {
        let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
        match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Self {
                pid,
                pidfd,
                signal_route: launch.signal_route,
                kill_route: launch.kill_route,
                cgroup: launch.cgroup.clone(),
                reaped: false,
                asked: false,
            }),
            Err(errno) => {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
                let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
                Err(errno.into())
            }
        }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().cast_unsigned()
    }

    /// A descriptor that becomes readable when it has ended.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// How it ended, if it has. It stays a zombie, so that its number stays its own.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        self.wait_id(options).ok()?
    }

    /// The limit of memory, where the kernel has killed all of its cgroup for wanting more.
    #[must_use]
    pub fn out_of_memory(&self) -> Option<LimitExceeded> {
        let read = |file| std::fs::read_to_string(self.cgroup.as_ref()?.join(file)).ok();
        let events = read("memory.events")?;
        // Where the whole machine had none left, only the second has happened.
        for name in ["oom ", "oom_kill "] {
            let times = events.lines().find_map(|it| it.strip_prefix(name))?;
            if times.trim() == "0" {
                return None;
            }
        }
        let limit = read("memory.max")?.trim().parse().ok()?;
        Some(LimitExceeded::Memory { used: limit, limit })
    }

    /// Waits for its end, and reaps it.
    ///
    /// # Errors
    /// When it was waited for before.
    pub fn wait(&mut self) -> io::Result<Status> {
        loop {
            match self.wait_id(WaitIdOptions::EXITED) {
                Ok(Some(status)) => {
                    self.reaped = true;
                    return Ok(status);
                }
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn wait_id(&self, options: WaitIdOptions) -> io::Result<Option<Status>> {
        let status = rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), options)?;
        Ok(status.map(|status| Status {
            code: status.exit_status(),
            signal: status.terminating_signal(),
        }))
    }

    /// Sends the signal of this number to the command, by the launch's [`SignalRoute`]. Nothing
    /// happens where there is no such signal or the command has ended.
    pub fn signal(&self, number: i32, target: SignalTarget) {
        let Some(signal) = Signal::from_named_raw(number) else {
            return;
        };
        if self.reaped {
            return;
        }
        let main = match self.signal_route {
            SignalRoute::Started => Some(self.pid),
            SignalRoute::Descendant { depth } => descendant(self.pid, depth),
        };
        // It may end meanwhile; then there is nobody to ask.
        let _ = match (target, main) {
            (SignalTarget::Main, Some(main)) => rustix::process::kill_process(main, signal),
            (SignalTarget::Group, Some(main)) => rustix::process::getpgid(Some(main))
                .and_then(|group| rustix::process::kill_process_group(group, signal)),
            (_, None) => rustix::process::kill_process_group(self.pid, signal),
        };
    }

    /// Kills it and what belongs to it, by the launch's [`KillRoute`]. Harmless where it has ended.
    /// A second call uses more force, where there is more.
    pub fn kill(&mut self) {
        if let Some(cgroup) = &self.cgroup {
            // Absent before Linux 5.14; what follows does not rely on it.
            let _ = std::fs::write(cgroup.join("cgroup.kill"), "1");
        }
        if self.reaped {
            return;
        }
        if self.kill_route == KillRoute::Init && !self.asked {
            self.asked = true;
            let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::TERM);
            return;
        }
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
        // A launcher's group, too: none of it is worth keeping.
        let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
    }

    /// Kills it, and waits for its end. Uses more force when it has not ended after `patience`.
    ///
    /// # Errors
    /// When it was waited for before.
    pub fn end(&mut self, patience: Duration) -> io::Result<Status> {
        self.kill();
        let timeout = Timespec {
            tv_sec: patience.as_secs().cast_signed(),
            tv_nsec: patience.subsec_nanos().into(),
        };
        let mut ended = [PollFd::new(&self.pidfd, PollFlags::IN)];
        // Interrupted or not, the worst is that it is killed a little early.
        if !matches!(rustix::event::poll(&mut ended, Some(&timeout)), Ok(1..)) {
            self.kill();
        }
        self.wait()
    }

    /// Once it has ended: kills all children of the calling process, and reaps what has died of
    /// them. True when nothing is left. For a starter that adopts orphans (a subreaper) and has no
    /// other children than this process and what it left behind.
    pub fn sweep(&mut self) -> bool {
        self.kill();
        for orphan in children(rustix::process::getpid()) {
            let _ = rustix::process::kill_process(orphan, Signal::KILL);
        }
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, _))) => self.reaped |= pid == self.pid,
                Ok(None) => return false,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => {
                    self.reaped = true;
                    return true;
                }
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.reaped {
            let _ = self.end(PATIENCE);
        }
        if let Some(cgroup) = &self.cgroup {
            // Busy while its last processes are torn down. Where that takes too long, whoever makes
            // another group removes it later.
            let _ = wait_until_empty(cgroup);
            let _ = std::fs::remove_dir(cgroup);
        }
    }
}

/// Waits until no process is in a cgroup any more.
fn wait_until_empty(cgroup: &Path) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut events = std::fs::File::open(cgroup.join("cgroup.events"))?;
    loop {
        let mut text = String::new();
        events.rewind()?;
        events.read_to_string(&mut text)?;
        if text.lines().any(|line| line == "populated 0") {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let timeout = Timespec {
            tv_sec: left.as_secs().cast_signed(),
            tv_nsec: left.subsec_nanos().into(),
        };
        // It is told as an exceptional condition that the file has changed.
        let mut changed = [PollFd::new(&events, PollFlags::PRI)];
        match rustix::event::poll(&mut changed, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// The process so many generations below another.
fn descendant(started: Pid, depth: u32) -> Option<Pid> {
    (0..depth).try_fold(started, |pid, _| children(pid).first().copied())
}

/// The children of a process's main thread, oldest first.
pub(crate) fn children(pid: Pid) -> Vec<Pid> {
    let pid = pid.as_raw_nonzero();
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    list.unwrap_or_default()
        .split_ascii_whitespace()
        .filter_map(|word| Pid::from_raw(word.parse().ok()?))
        .collect()
}
