//! `cargo xtask conformance`: the official conformance suite of the Model Context Protocol, against
//! the endpoint that offers agents their own tools.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;

use crate::machine::{self, Need};
use crate::{run_command, target, test};

/// The suite, and the Node.js that it needs.
const PACKAGES: [&str; 2] = ["@modelcontextprotocol/conformance@0.1.16", "node@22"];

/// Installs the suite below the target folder and runs what of it applies.
pub(crate) fn run(root: &Path) -> Result<()> {
    machine::prepare(&[Need::Node])?;
    let folder = target(root).join("tools/conformance");
    std::fs::create_dir_all(&folder)?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--loglevel=error"]);
    run_command(
        npm.arg("--prefix")
            .arg(&folder)
            .args(PACKAGES)
            .stdout(Stdio::null()),
    )?;
    test::build(root, test::FEATURES)?;
    let mut suite = Command::new(env!("CARGO"));
    suite
        .current_dir(root)
        .args(["test", "--quiet", "--workspace"])
        .args(test::FEATURES)
        .args(["--test", "egress", "conformance", "--"])
        .args(["--ignored", "--nocapture"])
        .env("AOD_MCP_CONFORMANCE", folder);
    run_command(&mut suite)
}
