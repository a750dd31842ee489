//! The launched process and its tree.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use aod_supervisor::{Interrupt, Launch, SignalTarget};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions};

use super::data_fds;
use super::harden::IGNORED;

/// A running command, in a session and process group of its own.
pub struct Child {
    pid: Pid,
    pidfd: OwnedFd,
    swept: bool,
}

/// Our ends of its pipes, non-blocking.
pub struct Pipes {
    pub stdin: Option<File>,
    pub stdout: File,
    pub stderr: File,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    pub code: Option<i32>,
    pub signal: Option<i32>,
}

impl Child {
    /// Starts it, with `umask`, the placed descriptors `data`, and a pipe for its stdin or none.
    pub fn start(
        launch: &Launch,
        data: &[OwnedFd],
        with_stdin: bool,
        umask: Mode,
    ) -> io::Result<(Self, Pipes)> {
        use std::os::fd::AsRawFd as _;
        let kept: Vec<i32> = data.iter().map(|fd| fd.as_raw_fd()).collect();
        let mut command = Command::new(&launch.program);
        if let Some((name, arguments)) = launch.argv.split_first() {
            command.arg0(name).args(arguments);
        }
        command
            .env_clear()
            .envs(launch.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&launch.cwd)
            .stdin(if with_stdin {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // Opened here: between fork and exec nothing may be allocated.
        let cgroup = match &launch.cgroup {
            Some(folder) => Some(
                OpenOptions::new()
                    .write(true)
                    .open(folder.join("cgroup.procs"))?,
            ),
            None => None,
        };
        let parent = rustix::process::getpid();
        // SAFETY: between fork and exec this makes system calls only, and allocates nothing but
        // on the path of an error, in a process that had one thread.
        unsafe {
            command.pre_exec(move || prepare(parent, umask, &kept, cgroup.as_ref()));
        }
        let mut child = command.spawn()?;
        let pid = Pid::from_child(&child);
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        let pipe = |fd: Option<OwnedFd>| -> io::Result<File> {
            let fd = fd.ok_or(io::ErrorKind::BrokenPipe)?;
            let flags = rustix::fs::fcntl_getfl(&fd)?;
            rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?;
            Ok(fd.into())
        };
        let pipes = Pipes {
            stdin: match child.stdin.take() {
                Some(stdin) => Some(pipe(Some(stdin.into()))?),
                None => None,
            },
            stdout: pipe(child.stdout.take().map(Into::into))?,
            stderr: pipe(child.stderr.take().map(Into::into))?,
        };
        let child = Self {
            pid,
            pidfd,
            swept: false,
        };
        Ok((child, pipes))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().cast_unsigned()
    }

    /// Readable once it has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// How it ended, if it has. It stays a zombie, so that its group's number stays its own.
    pub fn status(&self) -> Option<Status> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), options).ok()??;
        Some(Status {
            code: status.exit_status(),
            signal: status.terminating_signal(),
        })
    }

    /// Sends the signal to stop to whom it is meant for.
    pub fn interrupt(&self, interrupt: Interrupt) {
        let Some(signal) = interrupt.signal.and_then(Signal::from_named_raw) else {
            return;
        };
        let main = find_main(self.pid, interrupt.main_depth);
        // It may end meanwhile; then there is nobody to ask.
        let _ = match (interrupt.to, main) {
            (SignalTarget::None, _) => Ok(()),
            (SignalTarget::Main, Some(main)) => rustix::process::kill_process(main, signal),
            (SignalTarget::Group, Some(main)) => rustix::process::getpgid(Some(main))
                .and_then(|group| rustix::process::kill_process_group(group, signal)),
            (_, None) => rustix::process::kill_process_group(self.pid, signal),
        };
    }

    /// Kills the launched process and its group. A sandbox dies with the process that launched
    /// it; what left the group is swept once that is gone.
    pub fn kill(&self) {
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
        self.kill_group();
    }

    /// Once it has ended: kills what it left behind, and reaps what has died of that. True when
    /// nothing is left. All orphans of the turn are ours, because we are their subreaper.
    pub fn sweep(&mut self) -> bool {
        if !self.swept {
            // Only while the zombie keeps the number from being used again.
            self.kill_group();
            self.swept = true;
        }
        for orphan in children(rustix::process::getpid()) {
            let _ = rustix::process::kill_process(orphan, Signal::KILL);
        }
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some(_)) => {}
                Ok(None) => return false,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return true,
            }
        }
    }

    fn kill_group(&self) {
        let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
    }
}

/// In the child, between fork and exec.
fn prepare(parent: Pid, umask: Mode, kept: &[i32], cgroup: Option<&File>) -> io::Result<()> {
    rustix::process::setsid()?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    if rustix::process::getppid() != Some(parent) {
        // The supervisor died before the line above could take effect.
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    for signal in IGNORED {
        // SAFETY: the default action installs no handler.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    if let Some(cgroup) = cgroup {
        // 0 is whoever writes it.
        rustix::io::write(cgroup, b"0")?;
    }
    rustix::process::umask(umask);
    kept.iter().try_for_each(|fd| data_fds::keep(*fd))
}

/// The CLI, `depth` generations below the launched process.
fn find_main(launched: Pid, depth: u32) -> Option<Pid> {
    (0..depth).try_fold(launched, |pid, _| children(pid).first().copied())
}

/// The children of a process's main thread, oldest first.
fn children(pid: Pid) -> Vec<Pid> {
    let pid = pid.as_raw_nonzero();
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    list.unwrap_or_default()
        .split_ascii_whitespace()
        .filter_map(|word| Pid::from_raw(word.parse().ok()?))
        .collect()
}
