//! What a driver hands to whoever starts the command.

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::spec::EnvVar;

/// A command ready to be started on the host.
///
/// Whoever starts it, must
/// - start `program` with exactly `argv`, `env` and `cwd`, and with nothing inherited but stdin,
///   stdout, stderr and `data_fds` (`close_range` with `CLOSE_RANGE_CLOEXEC` sees to that);
/// - give each of `data_fds` at its number, as something that can be read to its end without help
///   from the starter (a sealed memory file; a pipe blocks when the content exceeds its buffer);
/// - where `cgroup` is set, join it between `fork` and `exec`, by writing `0` to its
///   `cgroup.procs`;
/// - start it from a thread that lives as long as the command is to live: the kernel kills the
///   sandbox when the *thread* that forked it ends;
/// - watch what `watch` names, since the kernel does not;
/// - to end it for good, send `SIGKILL` to the started process (its process group, for the driver
///   without isolation).
///
/// No further limits have to be set: rlimits are part of the arguments.
#[derive(Clone)]
pub struct Launch {
    /// Absolute path of the program.
    pub program: PathBuf,
    /// Its arguments, without the program's name. Never secret.
    pub argv: Vec<String>,
    /// Its environment, whole.
    pub env: Vec<EnvVar>,
    /// Its working directory on the host.
    pub cwd: PathBuf,
    /// Data it reads from inherited descriptors.
    pub data_fds: Vec<DataFd>,
    /// How many generations below the started process the command itself is: 0 for the started
    /// process, 2 for a grandchild. Signals other than `SIGKILL` are meant for the command. Where
    /// there are several processes at that depth (orphans are adopted by the sandbox's init), the
    /// command is the one whose innermost id in `/proc/<pid>/status`, line `NSpid`, is 2.
    pub main_depth: u32,
    /// The cgroup v2 folder that holds the memory and process limits, made for this launch.
    pub cgroup: Option<PathBuf>,
    /// Limits that the kernel was not told.
    pub watch: Watch,
}

impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launch")
            .field("program", &self.program)
            .field("argv", &self.argv)
            .field(
                "env",
                &self.env.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            )
            .field("cwd", &self.cwd)
            .field("data_fds", &self.data_fds)
            .field("main_depth", &self.main_depth)
            .field("cgroup", &self.cgroup)
            .field("watch", &self.watch)
            .finish()
    }
}

/// Content that the started process finds at a descriptor. May hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct DataFd {
    /// The descriptor's number in the started process, 3 or more.
    pub fd: i32,
    /// What is read from it; wiped from memory when dropped.
    pub content: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for DataFd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataFd")
            .field("fd", &self.fd)
            .field(
                "content",
                &format_args!("[redacted, {} bytes]", self.content.len()),
            )
            .finish()
    }
}

/// Limits that only a watching parent can hold: it adds up what the command's processes use, and
/// kills them beyond.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// Memory of all processes together, in bytes.
    pub memory_bytes: Option<u64>,
    /// Number of processes and threads.
    pub pids: Option<u64>,
}
