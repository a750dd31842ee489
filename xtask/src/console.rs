//! `cargo xtask console`: the console's files from their sources, by pinned tools.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::machine::{self, Need};
use crate::run_command;

/// Build the console from its sources into console/dist, which the server has in it.
#[derive(Debug, clap::Args)]
pub(crate) struct Console {
    /// Build nothing: fail where console/dist is not what the sources give, byte for byte, or is
    /// larger than it may be
    #[arg(long)]
    check: bool,
}

impl Console {
    pub(crate) fn run(self, root: &Path) -> Result<()> {
        machine::prepare(&[Need::Node])?;
        match self.check {
            true => check(root),
            false => {
                install(&folder(root))?;
                node(root, &["build.mjs"])
            }
        }
    }
}

/// Checks types, and that what is committed is what the sources give.
pub(crate) fn check(root: &Path) -> Result<()> {
    install(&folder(root))?;
    node(root, &["node_modules/typescript/bin/tsc", "--noEmit"])?;
    node(root, &["build.mjs", "--check"])
}

fn folder(root: &Path) -> std::path::PathBuf {
    root.join("console")
}

fn node(root: &Path, arguments: &[&str]) -> Result<()> {
    run_command(
        Command::new("node")
            .args(arguments)
            .current_dir(folder(root)),
    )
}

/// Installs what package-lock.json names, once, and lets none of it run anything.
pub(crate) fn install(folder: &Path) -> Result<()> {
    let lock = fs::read(folder.join("package-lock.json"))
        .with_context(|| format!("{} has no package-lock.json", folder.display()))?;
    let stamp = folder.join("node_modules/.installed");
    if fs::read(&stamp).is_ok_and(|there| there == lock) {
        return Ok(());
    }
    let mut npm = Command::new("npm");
    npm.args([
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
    ]);
    run_command(npm.current_dir(folder).stdout(Stdio::null()))?;
    fs::write(&stamp, lock).context("cannot note what was installed")
}
