//! Compiling in a process of its own.
//!
//! A compiler takes hundreds of megabytes, of which a process that lives on keeps the most, and
//! cannot be stopped. So a server compiles each component in a child process that ends with it:
//! one that takes too long is killed, one that takes too much fails alone, and a fault of the
//! compiler is not one of the server. The child sees the component's bytes and nothing else of the
//! server, not even its environment, and what it gives is taken from nobody but it.

mod child;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::error::ComponentError;

pub use child::compile_component;

/// The most that is read of what a child says of its failure, in bytes.
const MAX_MESSAGE: usize = 4 << 10;

/// The command that compiles one component: a program that calls [`compile_component`] with the
/// last two of its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiler {
    /// The program. It has to be the one that runs, or what it compiles cannot be used:
    /// `/proc/self/exe` is, even where another lies at its path by now.
    pub program: PathBuf,
    /// What it is called.
    pub name: OsString,
    /// The arguments that come before those of [`compile_component`].
    pub arguments: Vec<OsString>,
}

impl Compiler {
    /// Compiles a component for the engine with this hash. Returns the code, as a file that lies
    /// in memory and in no folder.
    pub(crate) fn compile(
        &self,
        engine: &str,
        component: &[u8],
        deadline: Duration,
    ) -> Result<File, Failure> {
        let end = Instant::now() + deadline;
        let input = memory_file("component")?;
        // Where it is read from is left at its start.
        input.write_all_at(component, 0)?;
        let (code, message) = (memory_file("code")?, memory_file("message")?);
        let child = Command::new(&self.program)
            .arg0(&self.name)
            .args(&self.arguments)
            .arg(engine)
            .arg(std::process::id().to_string())
            .env_clear()
            .current_dir("/")
            .stdin(input)
            .stdout(code.try_clone()?)
            .stderr(message.try_clone()?)
            .spawn()?;
        let mut child = Reaped(child);
        if !child.ends_before(end)? {
            return Err(Failure::Slow);
        }
        let status = child.0.wait()?;
        if status.success() {
            return Ok(code);
        }
        let message = read_message(&message)?;
        Err(match (status.code(), status.signal()) {
            (Some(code), _) if code == i32::from(child::REFUSED) => Failure::Refused(message),
            // What the allocator says before it gives up.
            _ if message.contains("memory allocation of") => Failure::Memory,
            (_, Some(signal)) => Failure::Crashed(format!("signal {signal}: {message}")),
            _ => Failure::Crashed(message),
        })
    }
}

/// Why there is no code.
pub(crate) enum Failure {
    /// The compiler says what is wrong with the component.
    Refused(String),
    /// It took too long, and was killed.
    Slow,
    /// It needs more memory than it may have.
    Memory,
    /// It ended otherwise.
    Crashed(String),
    /// It cannot be started or spoken to.
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Failure {
    /// What is said of the component; `limit` is what the compiler was granted.
    pub(crate) fn of_component(self, limit: Duration) -> ComponentError {
        ComponentError::Compile(match self {
            Self::Slow => return ComponentError::SlowCompile { limit },
            Self::Memory => return ComponentError::LargeCompile,
            Self::Refused(message) => message,
            Self::Crashed(message) => format!("the compiler crashed: {message}"),
            Self::Io(error) => format!("the compiler cannot be run: {error}"),
        })
    }
}

/// A child that is killed, where it still runs, and reaped when this is dropped.
struct Reaped(Child);

impl Reaped {
    /// Waits for its end; false when it does not come before `end`.
    fn ends_before(&mut self, end: Instant) -> io::Result<bool> {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("a child without an id"))?;
        // The child is not reaped yet, so that its id is its own.
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            // A time that cannot be said is one that is never over.
            let timeout = Timespec::try_from(left).ok();
            let mut ended = [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)];
            match poll(&mut ended, timeout.as_ref()) {
                Err(rustix::io::Errno::INTR) => {}
                Ok(0) => return Ok(false),
                Ok(_) => return Ok(true),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Drop for Reaped {
    fn drop(&mut self) {
        // It has ended, or is to; there is nobody to tell that it cannot be killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn memory_file(name: &str) -> io::Result<File> {
    Ok(File::from(memfd_create(name, MemfdFlags::CLOEXEC)?))
}

fn read_message(file: &File) -> io::Result<String> {
    let mut message = vec![0; MAX_MESSAGE];
    let read = file.read_at(&mut message, 0)?;
    message.truncate(read);
    let message = String::from_utf8_lossy(&message);
    Ok(message.trim().to_owned())
}
