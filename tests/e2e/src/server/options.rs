//! How servers are started.

use std::process::Command;

use crate::disk::Disk;
use crate::program::program;
use crate::runtimes::Runtimes;

/// How a server is started.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    pub(super) runtimes: Runtimes,
    environment: Vec<(String, String)>,
    pub(super) disk: Option<Disk>,
    pub(super) is_cold: bool,
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
        }
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

    /// With a setting, as a variable such as `AOD_LIMITS__SESSIONS_PER_USER`.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.environment.push((name.to_owned(), value.to_string()));
        self
    }
}

/// The program, free of the settings of whoever runs the tests.
pub(super) fn command(options: &ServerOptions) -> Command {
    let mut command = Command::new(program("aod"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AOD_") {
            command.env_remove(name);
        }
    }
    command.env("NO_COLOR", "1").env("AOD_LOG__LEVEL", "debug");
    command.envs(
        options
            .environment
            .iter()
            .map(|(name, value)| (name, value)),
    );
    command
}
