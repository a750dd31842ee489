//! What dependencies may be: `deny.toml`, checked by cargo-deny.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::{run_command, target};

/// The version that is installed.
const VERSION: &str = "0.20.2";

/// Installs cargo-deny below the target folder, once, and has it check everything that needs no
/// database.
pub(crate) fn check(root: &Path) -> Result<()> {
    let tools = target(root).join("tools");
    let program = tools.join("bin/cargo-deny");
    if !is_installed(&program) {
        let mut install = Command::new(env!("CARGO"));
        install
            .args(["install", "--quiet", "--locked", "--force"])
            // Not optimized: it is built in a third of the time, and runs for seconds.
            .arg("--debug")
            .env("CARGO_PROFILE_DEV_DEBUG", "false")
            .env_remove("CARGO_TARGET_DIR")
            .arg("--root")
            .arg(&tools)
            .arg(format!("cargo-deny@{VERSION}"));
        run_command(&mut install)?;
    }
    let mut check = Command::new(program);
    check
        .current_dir(root)
        .args(["--workspace", "check", "bans", "licenses", "sources"]);
    run_command(&mut check)
}

fn is_installed(program: &Path) -> bool {
    let version = Command::new(program).arg("--version").output();
    version.is_ok_and(|output| {
        String::from_utf8_lossy(&output.stdout).trim() == format!("cargo-deny {VERSION}")
    })
}
