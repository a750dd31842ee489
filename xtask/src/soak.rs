//! `cargo xtask soak`: good and hostile sessions on one server, for a while.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::machine::{self, Need};
use crate::{plugins, run_command, test};

/// Run good and hostile sessions on one server for a while, and see that the good ones do not
/// suffer and nothing is left of the others.
#[derive(Debug, clap::Args)]
pub(crate) struct Soak {
    /// How long; runs of less than 10 minutes show latencies and do not judge them
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    minutes: u32,
}

impl Soak {
    pub(crate) fn run(&self, root: &Path) -> Result<()> {
        machine::prepare(&[Need::Wasm, Need::Bubblewrap])?;
        plugins::build(root, false)?;
        test::build(root, test::FEATURES)?;
        run(root, self.minutes)
    }
}

/// Runs it with what [`test::build`] has built.
fn run(root: &Path, minutes: u32) -> Result<()> {
    let mut soak = Command::new(env!("CARGO"));
    soak.current_dir(root)
        .args(["test", "--quiet", "--workspace"])
        .args(test::FEATURES)
        .args(["--test", "soak", "--", "--ignored", "--nocapture"])
        .env("AOD_SOAK_MINUTES", minutes.to_string());
    run_command(&mut soak)
}
