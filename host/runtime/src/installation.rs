//! How a runtime's CLI is installed, found and started.

use indexmap::IndexMap;
use sha2::Digest as _;

use crate::settings::Settings;
use crate::types::{self, InstallStep};

/// A CLI as the adapter and `runtimes.toml` together have it.
#[derive(Clone, Debug, PartialEq)]
pub struct Cli {
    /// The program: a name to be found in `PATH`, or, where `runtimes.toml` says so, a path.
    pub command: String,
    /// Arguments that make it print its version.
    pub version_args: Vec<String>,
    /// The versions that the adapter was tested with, as a semver requirement.
    pub tested: String,
    /// How to install it. Empty: it is there already.
    pub install: Vec<InstallStep>,
    /// Variables that every turn of this runtime has.
    pub env: IndexMap<String, String>,
}

impl Cli {
    pub(crate) fn new(described: &types::Cli, settings: &Settings) -> Self {
        let install = match (&settings.install, &settings.command) {
            (Some(steps), _) => steps.clone(),
            // Whoever says where the CLI is has installed it.
            (None, Some(_)) => Vec::new(),
            (None, None) => described.install.clone(),
        };
        Self {
            command: settings
                .command
                .clone()
                .unwrap_or_else(|| described.command.clone()),
            version_args: described.version_args.clone(),
            tested: described.tested.clone(),
            install,
            env: settings.env.clone(),
        }
    }

    /// Whether a version is one that the adapter was tested with; `None` where it is no version, or
    /// the adapter says nothing that can be held against one.
    #[must_use]
    pub fn is_tested(&self, version: &str) -> Option<bool> {
        let requirement = semver::VersionReq::parse(&self.tested).ok()?;
        Some(requirement.matches(&semver::Version::parse(version).ok()?))
    }

    /// The name of the folder into which the steps install. Two runtimes with the same steps and
    /// command share it; another version gets another one. None: there is nothing to install.
    #[must_use]
    pub fn install_key(&self) -> Option<String> {
        if self.install.is_empty() {
            return None;
        }
        let mut hash = sha2::Sha256::new();
        let mut part = |text: &str| {
            hash.update(text.len().to_le_bytes());
            hash.update(text);
        };
        part(&self.command);
        for step in &self.install {
            match step {
                InstallStep::Npm(package) => {
                    part("npm");
                    part(package);
                }
                InstallStep::Run(argv) => {
                    part("run");
                    part(&argv.len().to_string());
                    argv.iter().for_each(|word| part(word));
                }
            }
        }
        let hash = hash.finalize();
        let hex: String = hash
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() || c == '-' {
                c
            } else {
                '_'
            }
        };
        let name = self.command.rsplit('/').next().unwrap_or_default();
        let name: String = name.chars().take(32).map(plain).collect();
        Some(format!("{name}-{hex}"))
    }
}
