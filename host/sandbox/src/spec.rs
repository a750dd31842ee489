//! The description of a sandboxed command.

use std::fmt;
use std::net::{IpAddr, SocketAddrV4};
use std::path::PathBuf;

use aod_launch::{DiskLimit, EnvVar, SecretBytes, Tunnel};
use zeroize::Zeroizing;

/// Everything a driver needs to know about one command.
#[derive(Clone)]
pub struct SandboxSpec {
    /// The command and its arguments, as the sandbox sees them. Visible in the host's process
    /// list, hence never secret. A command without a slash is looked up in `PATH` inside.
    pub argv: Vec<String>,
    /// The command's environment, whole: nothing is inherited. `HOME`, `USER`, `LOGNAME`, `SHELL`,
    /// `PATH`, `TMPDIR` and `LANG` are added where they are not given. Of a name given twice the
    /// last value counts.
    pub env: Vec<EnvVar>,
    /// The working directory, as the sandbox sees it.
    pub cwd: PathBuf,
    /// The host's folder that becomes the home, readable and writable.
    pub home: PathBuf,
    /// The host's folder that becomes the workspace, readable and writable.
    pub workspace: PathBuf,
    /// Further folders and files that can be read.
    pub read_only: Vec<Mount>,
    /// Further folders and files that can be read and written.
    pub writable: Vec<Mount>,
    /// What lies over the system's own folders.
    pub system_layer: Option<SystemLayer>,
    /// The system that the command changes as its root, in the place of one that it cannot change.
    pub system_change: Option<SystemChange>,
    /// Files that exist for this command only and never on a disk.
    pub private_files: Vec<PrivateFile>,
    /// Names that resolve to these addresses, besides `localhost`.
    pub hosts: Vec<(String, IpAddr)>,
    /// What the command can reach.
    pub network: Network,
    /// What the command can use.
    pub limits: Limits,
}

impl SandboxSpec {
    /// A command that sees the system, `home` and `workspace`, and runs in the workspace with no
    /// network and default limits.
    #[must_use]
    pub fn new(argv: Vec<String>, home: impl Into<PathBuf>, workspace: impl Into<PathBuf>) -> Self {
        Self {
            argv,
            env: Vec::new(),
            cwd: PathBuf::from(crate::WORKSPACE),
            home: home.into(),
            workspace: workspace.into(),
            read_only: Vec::new(),
            writable: Vec::new(),
            system_layer: None,
            system_change: None,
            private_files: Vec::new(),
            hosts: Vec::new(),
            network: Network::None,
            limits: Limits::default(),
        }
    }

    /// What the command may leave on the disk.
    pub(crate) fn disk_limit(&self) -> Option<DiskLimit> {
        let writable = self.writable.iter().map(|mount| &mount.host);
        let change = self.system_change.iter().map(|change| &change.files);
        let folders = [&self.home, &self.workspace].into_iter();
        let folders = folders.chain(writable).chain(change);
        Some(DiskLimit {
            bytes: self.limits.disk_bytes?,
            folders: folders.cloned().collect(),
        })
    }
}

impl fmt::Debug for SandboxSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxSpec")
            .field("argv", &self.argv)
            .field(
                "env",
                &self.env.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            )
            .field("cwd", &self.cwd)
            .field("home", &self.home)
            .field("workspace", &self.workspace)
            .field("read_only", &self.read_only)
            .field("writable", &self.writable)
            .field("system_layer", &self.system_layer)
            .field("system_change", &self.system_change)
            .field("private_files", &self.private_files)
            .field("hosts", &self.hosts)
            .field("network", &self.network)
            .field("limits", &self.limits)
            .finish()
    }
}

/// A folder or file of the host, and where it appears inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The path on the host. Must exist; symbolic links are followed.
    pub host: PathBuf,
    /// The path inside: absolute, without `.` and `..`.
    pub inside: PathBuf,
}

impl Mount {
    /// `host`, seen at `inside`.
    pub fn new(host: impl Into<PathBuf>, inside: impl Into<PathBuf>) -> Self {
        Self {
            host: host.into(),
            inside: inside.into(),
        }
    }
}

/// Files that lie over the system's own, for one sandbox: programs that the host does not have.
/// They can be read and not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemLayer {
    /// The host's folder with a `usr` that lies over `/usr`, an `etc` that lies over what is shown
    /// of `/etc`, an `opt` that is seen at `/opt`, and a `var` of which what is in `lib` and `cache`
    /// is seen; each may be missing.
    pub files: PathBuf,
    /// A folder of the host's with empty folders `usr` and `etc` in it: mount points, in which
    /// outside of the sandbox's own namespaces nothing is ever seen.
    pub views: PathBuf,
}

/// A system that a command changes as root, as package managers do, while the host's own stays as
/// it is. What it writes becomes the files of a [`SystemLayer`]. Only the machine's root can have it.
///
/// The command is the machine's root with what that needs to own files and to become other users,
/// and nothing more. It sees `/usr` of the host, and of its `/etc` and `/var` nothing but `base`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemChange {
    /// A folder of the host's with the folders `usr`, `etc`, `var` and `opt`, to which goes what is
    /// written there.
    pub files: PathBuf,
    /// A folder of the host's with the folders `etc` and `var`, as the command finds them.
    pub base: PathBuf,
    /// A folder beside `files` with empty folders `usr`, `etc` and `var`, for the kernel.
    pub work: PathBuf,
    /// A folder with empty folders `usr`, `etc` and `var` in it: mount points, as of a layer.
    pub views: PathBuf,
}

/// A file that only the command sees.
///
/// It can be placed in a temporary folder (`/run`, `/tmp`) or over a path in the home or the
/// workspace. In the latter case an empty file stays on the host's disk as the mount point, the
/// command can write to the file but not replace it by a rename, and what it wrote is gone when it
/// ends.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateFile {
    /// The path inside: absolute, without `.` and `..`.
    pub path: PathBuf,
    /// Permission bits, usually `0o600`.
    pub mode: u32,
    /// What the file holds; wiped from memory when dropped.
    pub content: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for PrivateFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateFile")
            .field("path", &self.path)
            .field("mode", &format_args!("{:#o}", self.mode))
            .field(
                "content",
                &format_args!("[redacted, {} bytes]", self.content.len()),
            )
            .finish()
    }
}

/// What a sandbox can reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Network {
    /// An empty network namespace: a loopback device of its own and nothing more.
    #[default]
    None,
    /// As [`Network::None`], with sockets on its loopback device that a program outside serves.
    Egress(Egress),
    /// The host's network namespace, its loopback included.
    Host,
}

/// The way out of a network namespace that has no route anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Egress {
    /// Where the program listens, inside.
    pub listen: Vec<SocketAddrV4>,
    /// A network device for programs that know no proxy, and who resolves names for them.
    pub tunnel: Option<Tunnel>,
    /// The program: an absolute path of the host. See [`aod_launch::Egress`].
    pub program: PathBuf,
    /// What it reads from stdin. It may hold secrets, which the command never sees.
    pub config: SecretBytes,
}

/// Upper bounds for a sandbox. `None` means: as much as the server's own process may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory of all processes together, in bytes, temporary folders included.
    pub memory_bytes: Option<u64>,
    /// Processes and threads together.
    pub pids: Option<u64>,
    /// CPU time of a single process, in seconds; the kernel kills it beyond.
    pub cpu_seconds: Option<u64>,
    /// Open descriptors of a single process.
    pub open_files: Option<u64>,
    /// Size of a single file, in bytes.
    pub file_size: Option<u64>,
    /// What home, workspace and the folders of [`SandboxSpec::writable`] hold together, in bytes.
    /// Where home and workspace have a project ([`crate::project_quota`]) and nothing else is
    /// writable, the kernel refuses more. Otherwise it is polled: a burst passes. Where they hold
    /// more before the command starts, it may leave no more than that. They have to be on one file
    /// system.
    pub disk_bytes: Option<u64>,
    /// Size of each temporary folder (`/tmp`, `/dev/shm`, `/run`), in bytes; never more than
    /// `memory_bytes`.
    pub temporary_bytes: Option<u64>,
}

impl Default for Limits {
    /// Bounds that a coding agent and its compilers do not reach in normal work.
    fn default() -> Self {
        Self {
            memory_bytes: Some(4 << 30),
            pids: Some(2048),
            cpu_seconds: None,
            open_files: Some(65_536),
            file_size: Some(16 << 30),
            disk_bytes: Some(20 << 30),
            temporary_bytes: Some(1 << 30),
        }
    }
}
