//! The programs that a server consists of.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::run_command;

/// They stand beside each other wherever a server is installed.
pub(crate) const PROGRAMS: [&str; 3] = ["aod", "aod-egress", "aod-supervisor"];

/// Builds them, as a release of a commit or for work on this machine. Always this selection: another would build
/// the dependencies again.
pub(crate) fn build(root: &Path, is_release: bool, commit: Option<&str>) -> Result<()> {
    let mut words = vec!["build"];
    if is_release {
        words.push("--release");
    }
    for program in PROGRAMS {
        words.extend(["-p", program]);
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(words).current_dir(root);
    if let Some(commit) = commit {
        // `aod --version` says it.
        cargo.env("AOD_COMMIT", commit);
    }
    run_command(&mut cargo)
}
