//! Sandbox drivers: how a command is run in isolation.
//!
//! A driver turns a description of what a command may see and use, a [`SandboxSpec`], into a
//! [`Launch`]: the program to start on the host, its arguments, its environment, the data it reads
//! from inherited descriptors, and how it is signalled and killed. The driver starts nothing
//! itself. The supervisor carries out a turn's launch; [`run()`] carries out provisioning steps.
//!
//! # What the `bubblewrap` driver guarantees
//!
//! - User, mount, pid, ipc, uts and (where the kernel has them) cgroup namespaces of its own, uid
//!   and gid 1000, an empty capability set, `no_new_privs`, no controlling terminal, and a seccomp
//!   filter ([`seccomp`]).
//! - The command sees a read-only system (`/usr` and its aliases, a pared-down `/etc`), its home,
//!   its workspace, what the spec mounts, its own `/proc`, a minimal `/dev` and empty temporary
//!   folders. Nothing else of the host's files or processes.
//! - Environment values and private files reach the command through descriptors. They are in no
//!   argument list, not in the environment of any process outside the sandbox, and on no disk.
//! - With [`Network::None`] and [`Network::Egress`] a network namespace of its own, without a route
//!   anywhere and without the host's abstract sockets. What [`Egress`] serves on its loopback
//!   device is the one way out.
//! - Killing the started process with `SIGKILL`, or the death of the thread that started it, ends
//!   every process of the sandbox: the kernel kills a pid namespace with its init. The init is
//!   [`aod_launch::init`], which the command can neither trace nor write to.
//!
//! # What it does not guarantee yet
//!
//! - [`Network::Host`] shares the host's network namespace: the host's loopback services and its
//!   abstract unix sockets are within reach.
//! - Memory and process counts are held by cgroup v2 where a group is delegated. Elsewhere the
//!   process count is held by an rlimit for an ordinary user, and not at all by the kernel for
//!   root; memory is not held by the kernel (`RLIMIT_AS` breaks JavaScript engines, which reserve
//!   far more address space than they use). [`Launch::polled_limits`] names the limits that whoever
//!   starts the command polls.
//! - Started by root, uid 1000 inside is root's own uid outside, without any capability there.
//!   Whoever can should run the server as an ordinary user.
//! - Disk use of the home and the workspace ([`Limits::disk_bytes`]) is held by the kernel where
//!   they have a project ([`project_quota`]) or an image ([`disk_image`]). Elsewhere it is measured, and held by the kernel per
//!   file only ([`Limits::file_size`]).
//!
//! # What the `process` driver guarantees
//!
//! Nothing: it runs the command as the server's own user, and says so in its [`Probe`].

mod bubblewrap;
mod cgroup;
mod check;
mod disk;
pub mod disk_image;
mod environment;
mod error;
mod limits;
mod mount_point;
mod probe;
mod process;
pub mod project_quota;
mod run;
pub mod seccomp;
mod spec;

use std::path::{Path, PathBuf};

pub use aod_launch::{EnvVar, Launch, LimitExceeded, PolledLimits, SecretBytes, Tunnel};
pub use bubblewrap::{Bubblewrap, BubblewrapConfig};
pub use disk::DiskBy;
pub use error::SandboxError;
pub use probe::{Check, Probe, State};
pub use process::Process;
pub use run::{Cancel, Ended, RunOptions, run};
pub use spec::{
    Egress, Limits, Mount, Network, PrivateFile, SandboxSpec, SystemChange, SystemLayer,
};

/// Where a sandbox's home is, as the command inside sees it.
pub const HOME: &str = "/home/agent";
/// Where a sandbox's workspace is, as the command inside sees it.
pub const WORKSPACE: &str = "/workspace";
/// User and group id of the command inside a sandbox.
pub const UID: u32 = 1000;

/// A way of running commands apart from the host.
///
/// Drivers hold configuration and what they found out about the machine, but no state of any
/// sandbox: a launch depends on its spec alone, and the host may be restarted between any two.
pub trait SandboxDriver: Send + Sync {
    /// The name by which configuration chooses the driver.
    fn name(&self) -> &'static str;

    /// Where the host's folder or file `host` appears to the command when it is to be mounted at
    /// `inside`. A driver with mounts answers `inside`, one without answers `host`; callers use the
    /// answer in paths they hand to the command (home, workspace, mounts) and in the spec.
    fn place(&self, host: &Path, inside: &Path) -> PathBuf;

    /// A folder, as the command sees it, for private files that need no particular place.
    /// `home` is the host's path of the sandbox's home.
    fn private_dir(&self, home: &Path) -> PathBuf;

    /// Turns a description into what has to be started.
    ///
    /// May create empty mount points inside the spec's home and workspace, so it must not be
    /// called while another command of the same sandbox runs.
    ///
    /// # Errors
    ///
    /// When the spec is invalid, asks for what this driver cannot give, or names paths that are
    /// not there.
    fn launch(&self, spec: &SandboxSpec) -> Result<Launch, SandboxError>;

    /// Whether sandboxes can have a [`SystemLayer`] on this machine. It is tried once and
    /// remembered; the first call blocks for some tens of milliseconds.
    ///
    /// # Errors
    /// [`SandboxError::NoLayers`], which says what is in the way and what to do.
    fn check_layers(&self) -> Result<(), SandboxError>;

    /// Whether commands can have a [`SystemChange`] whose folders are below `folder`. It is tried
    /// once and remembered; the first call blocks for some tens of milliseconds.
    ///
    /// # Errors
    /// [`SandboxError::NoSystemChange`], which says what is in the way.
    fn check_system_change(&self, folder: &Path) -> Result<(), SandboxError>;

    /// Finds out what works and what is enforced on this machine, by trying it. Blocks for some
    /// tens of milliseconds.
    fn probe(&self) -> Probe;

    /// Ends what is left of sandboxes whose starter was killed while it made them, and answers how
    /// many there were. No command runs in those, and none ever will. Looks at all processes of the
    /// machine.
    fn end_orphans(&self) -> usize {
        0
    }
}

/// The driver that configuration calls `name`, with default settings. `init` is the
/// `aod-supervisor` program, under which commands run; it is looked for beside the running program
/// where not given. `shares_network` says that sandboxes will have the host's network, `data` below
/// which folder their homes and workspaces will be, and `disk` what is to bound those.
///
/// # Errors
///
/// When there is no such driver.
pub fn driver(
    name: &str,
    init: Option<PathBuf>,
    shares_network: bool,
    data: &Path,
    disk: DiskBy,
) -> Result<Box<dyn SandboxDriver>, SandboxError> {
    match name {
        bubblewrap::NAME => Ok(Box::new(Bubblewrap::new(BubblewrapConfig {
            init,
            shares_network,
            data: Some(data.to_owned()),
            disk,
            ..BubblewrapConfig::default()
        }))),
        process::NAME => Ok(Box::new(Process::new(init.or_else(init_program)))),
        other => Err(SandboxError::UnknownDriver { name: other.into() }),
    }
}

/// `aod-supervisor` beside the running program, if it is there.
fn init_program() -> Option<PathBuf> {
    let program = std::env::current_exe()
        .ok()?
        .with_file_name("aod-supervisor");
    program.is_file().then_some(program)
}
