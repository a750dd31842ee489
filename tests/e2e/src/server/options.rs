//! How servers are started.

use std::net::TcpListener;
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;

use crate::disk::Disk;
use crate::git::GIT_HOST;
use crate::program::program;
use crate::runtimes::Runtimes;
use crate::stranger::Stranger;

/// How a server is started.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    pub(super) runtimes: Runtimes,
    environment: Vec<(String, String)>,
    pub(super) disk: Option<Disk>,
    pub(super) is_cold: bool,
    pub(super) listener: Option<Arc<TcpListener>>,
    pub(super) stranger: Option<Stranger>,
}

impl ServerOptions {
    /// With these runtimes.
    #[must_use]
    pub fn new(runtimes: Runtimes) -> Self {
        Self {
            runtimes,
            environment: Vec::new(),
            disk: None,
            is_cold: false,
            listener: None,
            stranger: None,
        }
    }

    /// Run by an ordinary user instead of by root, who runs the test.
    #[must_use]
    pub fn by(mut self, stranger: &Stranger) -> Self {
        self.stranger = Some(stranger.clone());
        self
    }

    /// With its data on a disk of its own of that `size`, as a mount option of tmpfs; none where
    /// mounting is not permitted.
    ///
    /// # Panics
    /// When no folder can be made for it.
    #[must_use]
    pub fn on_a_disk_of(mut self, size: &str) -> Option<Self> {
        self.disk = Some(Disk::mount(size)?);
        Some(self)
    }

    /// With nothing compiled before, and used as soon as it listens. Others are lent what earlier
    /// servers have compiled, and waited for until their runtimes are loaded.
    #[must_use]
    pub fn cold(mut self) -> Self {
        self.is_cold = true;
        self
    }

    /// With a socket that the test holds, as a service manager does, instead of one of its own.
    #[must_use]
    pub fn listening_on(mut self, listener: Arc<TcpListener>) -> Self {
        self.listener = Some(listener);
        self
    }

    /// With a setting, as a variable such as `AOD_LIMITS__SESSIONS_PER_USER`.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.environment.push((name.to_owned(), value.to_string()));
        self
    }
}

/// The name by which sandboxes reach servers of the test on this machine, at their own ports.
pub const MODEL_HOST: &str = "model.test";

/// Has all servers hold what sessions have of the disk in another way than they would: `image`.
const DISK_BY: &str = "E2E_DISK_BY";

/// The program, free of the settings of whoever runs the tests.
pub(super) fn command(options: &ServerOptions) -> Command {
    let program = program("aod");
    let mut command = match &options.stranger {
        Some(stranger) => stranger.command(&program),
        None => Command::new(program),
    };
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AOD_") {
            command.env_remove(name);
        }
    }
    command
        .env("NO_COLOR", "1")
        .env("AOD_LOG__LEVEL", "debug")
        // Busy machines take longer, and tests go back to what was copied.
        .env("AOD_CHECKPOINTS__WAIT", "5m")
        .env(
            "AOD_EGRESS__HOSTS",
            format!("{MODEL_HOST}=127.0.0.1,{GIT_HOST}=127.0.0.1"),
        );
    if let Some(by) = std::env::var_os(DISK_BY) {
        command.env("AOD_SANDBOX__DISK_BY", by);
    }
    command.envs(
        options
            .environment
            .iter()
            .map(|(name, value)| (name, value)),
    );
    command
}

/// The program's command behind a shell that gives it a socket as its descriptor 3, as systemd's
/// socket activation does. Its process is the shell's.
pub(super) fn activated(program: &Command, listener: &Arc<TcpListener>) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"", "sh"])
        .arg(program.get_program());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let listener = listener.clone();
    // SAFETY: between fork and exec this makes one system call.
    unsafe {
        command.pre_exec(move || match libc::dup2(listener.as_raw_fd(), 3) {
            3 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    command
}
