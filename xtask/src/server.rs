//! The programs that a server consists of.

use std::path::Path;

use anyhow::Result;

use crate::cargo;

/// They stand beside each other wherever a server is installed.
pub(crate) const PROGRAMS: [&str; 3] = ["aod", "aod-egress", "aod-supervisor"];

/// Builds them, as a release or for work on this machine. Always this selection: another would build
/// the dependencies again.
pub(crate) fn build(root: &Path, is_release: bool) -> Result<()> {
    let mut words = vec!["build"];
    if is_release {
        words.push("--release");
    }
    for program in PROGRAMS {
        words.extend(["-p", program]);
    }
    cargo(root, &words)
}
