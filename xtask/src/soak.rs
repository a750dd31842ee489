//! `cargo xtask soak`: good and hostile sessions on one server, for a while.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::machine::{self, Need};
use crate::{cargo, plugins, run_command, test};

/// Run good and hostile sessions on one server for a while, and see that the good ones do not
/// suffer and nothing is left of the others.
#[derive(Debug, clap::Args)]
pub(crate) struct Soak {
    /// How long; runs of less than 10 minutes show latencies and do not judge them
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    minutes: u32,
}

/// As users have it: how long a session waits for a server without optimizations tells of those.
const RELEASE: &[&str] = &["--release"];

impl Soak {
    pub(crate) fn run(&self, root: &Path) -> Result<()> {
        machine::prepare(&[Need::Wasm, Need::Bubblewrap])?;
        plugins::build(root, false)?;
        let programs = ["build", "--quiet", "--workspace", "--bins"];
        cargo(root, &[&programs[..], RELEASE, test::FEATURES].concat())?;
        run(root, self.minutes, RELEASE)
    }
}

/// The shortest one, with what [`test::build`] has built: nothing may be lost, nothing left.
///
/// # Errors
/// Where it finds a fault.
pub(crate) fn smoke(root: &Path) -> Result<()> {
    run(root, 1, &[])
}

fn run(root: &Path, minutes: u32, profile: &[&str]) -> Result<()> {
    let mut soak = Command::new(env!("CARGO"));
    soak.current_dir(root)
        .args(["test", "--quiet", "--workspace"])
        .args(profile)
        .args(test::FEATURES)
        .args(["--test", "soak", "--", "--ignored", "--nocapture"])
        .env("AOD_SOAK_MINUTES", minutes.to_string());
    run_command(&mut soak)
}
