//! Carrying out a launch to its end: provisioning steps and probes.

use std::io::{self, PipeReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::fs::{MemfdFlags, SealFlags, SeekFrom};
use rustix::process::{Pid, PidfdFlags, Signal};

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
    let deadline = options.timeout.map(|timeout| Instant::now() + timeout);
    let (mut running, mut output) = Running::start(launch, &options.stdin)?;
    let result = follow(
        &mut running,
        &mut output,
        deadline,
        options.cancel.as_ref(),
        on_output,
    );
    running.kill();
    let status = running.child.wait();
    let cut = result?;
    let status = status.map_err(|source| SandboxError::io("wait for a command", source))?;
    Ok(cut.unwrap_or_else(|| match status.code() {
        Some(code) => Ended::Exited(code),
        None => Ended::Signaled(status.signal().unwrap_or(0)),
    }))
}

/// Reads output until the command has ended; answers why it has to be cut off, if it has.
fn follow(
    running: &mut Running,
    output: &mut PipeReader,
    mut deadline: Option<Instant>,
    cancel: Option<&Cancel>,
    on_output: &mut dyn FnMut(&[u8]),
) -> Result<Option<Ended>, SandboxError> {
    let mut buffer = vec![0; 64 << 10];
    let (mut open, mut alive, mut cut) = (true, true, None);
    while open || alive {
        let ready = wait(
            open.then(|| output.as_fd()),
            alive.then(|| running.pidfd.as_fd()),
            cancel
                .filter(|_| cut.is_none())
                .map(|cancel| cancel.0.as_fd()),
            deadline,
        )
        .map_err(|source| SandboxError::io("wait for a command's output", source))?;
        if ready.output {
            match output.read(&mut buffer) {
                Ok(0) => open = false,
                Ok(read) => on_output(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(SandboxError::io("read a command's output", source)),
            }
        }
        let overdue = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if ready.cancelled || (overdue && alive && cut.is_none()) {
            cut = Some(if ready.cancelled {
                Ended::Cancelled
            } else {
                Ended::TimedOut
            });
            running.kill();
            deadline = Some(Instant::now() + DRAIN);
        } else if overdue {
            break;
        }
        if ready.ended {
            alive = false;
            // What the command left behind in its process group, where no namespace ends it.
            running.kill();
            deadline = Some(Instant::now() + DRAIN);
        }
    }
    Ok(cut)
}

/// What happened while waiting.
struct Ready {
    output: bool,
    ended: bool,
    cancelled: bool,
}

fn wait(
    output: Option<BorrowedFd<'_>>,
    process: Option<BorrowedFd<'_>>,
    cancel: Option<BorrowedFd<'_>>,
    deadline: Option<Instant>,
) -> io::Result<Ready> {
    let sources = [output, process, cancel];
    let mut fds: Vec<PollFd<'_>> = sources
        .iter()
        .flatten()
        .map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN))
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

/// A started command. Killed when dropped.
struct Running {
    child: Child,
    pidfd: OwnedFd,
    group: Option<Pid>,
    cgroup: Option<std::path::PathBuf>,
}

impl Running {
    fn start(launch: &Launch, stdin: &[u8]) -> Result<(Self, PipeReader), SandboxError> {
        let failed = |source: io::Error| {
            SandboxError::io(format!("start `{}`", launch.program.display()), source)
        };
        let (reader, writer) = io::pipe().map_err(failed)?;
        let mut command = Command::new(&launch.program);
        command
            .args(&launch.argv)
            .env_clear()
            .envs(
                launch
                    .env
                    .iter()
                    .map(|(name, value)| (name, value.as_str())),
            )
            .current_dir(&launch.cwd)
            .stdout(writer.try_clone().map_err(failed)?)
            .stderr(writer)
            .stdin(if stdin.is_empty() {
                Stdio::null()
            } else {
                memory_file(stdin, 3).map_err(failed)?.into()
            })
            .process_group(0);
        give_descriptors(&mut command, launch).map_err(failed)?;
        let child = command.spawn().map_err(failed)?;
        // The command's copies of the pipe's writing end are in `command`: reading must end with
        // the sandbox, not with this function's caller.
        drop(command);
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let mut running = Unwatched(Some(child));
        let pidfd = pid
            .ok_or(rustix::io::Errno::SRCH)
            .and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()))
            .map_err(|errno| failed(errno.into()))?;
        match running.0.take() {
            Some(child) => Ok((
                Self {
                    child,
                    pidfd,
                    group: pid,
                    cgroup: launch.cgroup.clone(),
                },
                reader,
            )),
            None => Err(failed(io::ErrorKind::NotFound.into())),
        }
    }

    /// Kills the started process and its group; a sandbox goes down with it. Harmless afterwards:
    /// the number stays taken until the process is waited for.
    fn kill(&mut self) {
        if let Some(group) = self.group {
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.kill();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(cgroup) = &self.cgroup {
            // Busy while its last processes are being torn down; the next launch sweeps then.
            let _ = std::fs::remove_dir(cgroup);
        }
    }
}

/// A child that must not be left behind when watching it cannot be set up.
struct Unwatched(Option<Child>);

impl Drop for Unwatched {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Makes the started process find `launch`'s data at their numbers and join its cgroup.
fn give_descriptors(command: &mut Command, launch: &Launch) -> io::Result<()> {
    let above = launch
        .data_fds
        .iter()
        .map(|data| data.fd + 1)
        .max()
        .unwrap_or(3);
    let sources = launch
        .data_fds
        .iter()
        .map(|data| Ok((memory_file(&data.content, above)?, data.fd)))
        .collect::<io::Result<Vec<_>>>()?;
    let cgroup = match &launch.cgroup {
        Some(folder) => Some(
            std::fs::OpenOptions::new()
                .write(true)
                .open(folder.join("cgroup.procs"))?,
        ),
        None => None,
    };
    // SAFETY: between fork and exec the closure only makes system calls on descriptors opened
    // before; it neither allocates nor locks. The sources lie above every target, so that no
    // target is a source that is still needed.
    unsafe {
        command.pre_exec(move || {
            if let Some(mut procs) = cgroup.as_ref() {
                procs.write_all(b"0")?;
            }
            // What this process has open without the close-on-exec flag must not reach the sandbox.
            let (first, last, flags) = (3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
            if libc::syscall(libc::SYS_close_range, first, last, flags) < 0 {
                return Err(io::Error::last_os_error());
            }
            for (source, target) in &sources {
                if libc::dup2(source.as_raw_fd(), *target) < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
    Ok(())
}

/// An unnamed file in memory that holds `content`, can no longer be changed, is read from its
/// beginning, and whose descriptor is `lowest` or more.
fn memory_file(content: &[u8], lowest: i32) -> io::Result<OwnedFd> {
    let fd = rustix::fs::memfd_create("aod-data", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = std::fs::File::from(fd);
    file.write_all(content)?;
    rustix::fs::seek(&file, SeekFrom::Start(0))?;
    rustix::fs::fcntl_add_seals(
        &file,
        SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL,
    )?;
    Ok(rustix::io::fcntl_dupfd_cloexec(&file, lowest)?)
}
