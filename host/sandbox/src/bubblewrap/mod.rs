//! The driver on top of bubblewrap.

use std::path::{Path, PathBuf};

use crate::{Launch, Probe, SandboxDriver, SandboxError, SandboxSpec};

pub(crate) const NAME: &str = "bubblewrap";

/// Settings of the `bubblewrap` driver.
#[derive(Clone, Debug, Default)]
pub struct BubblewrapConfig {
    /// The `bwrap` program; looked up in `PATH` where not given.
    pub program: Option<PathBuf>,
    /// A delegated cgroup v2 folder without processes in it, in which each sandbox gets a folder
    /// of its own. Where not given, the server's own group and the one above are tried.
    pub cgroup: Option<PathBuf>,
}

/// Runs commands in namespaces of their own, by Linux's `bwrap`.
#[derive(Clone, Debug)]
pub struct Bubblewrap {
    config: BubblewrapConfig,
}

impl Bubblewrap {
    /// The driver with these settings.
    #[must_use]
    pub fn new(config: BubblewrapConfig) -> Self {
        Self { config }
    }
}

impl SandboxDriver for Bubblewrap {
    fn name(&self) -> &'static str {
        NAME
    }

    fn place(&self, _host: &Path, inside: &Path) -> PathBuf {
        inside.to_path_buf()
    }

    fn private_dir(&self, _home: &Path) -> PathBuf {
        PathBuf::from("/run/aod")
    }

    fn launch(&self, _spec: &SandboxSpec) -> Result<Launch, SandboxError> {
        let _ = &self.config;
        Err(SandboxError::Unsupported {
            driver: NAME,
            what: "launches yet".into(),
        })
    }

    fn probe(&self) -> Probe {
        Probe {
            driver: NAME.into(),
            usable: false,
            checks: Vec::new(),
        }
    }
}
