//! `cargo xtask chaos`: kill everything, many times, set the clock, fill the disk, and see that
//! nothing is lost.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::machine::{self, Need};
use crate::{plugins, run_command, test};

/// Kill hosts, supervisors and CLIs under load, set the clock, and fill the disk.
#[derive(Debug, clap::Args)]
pub(crate) struct Chaos {
    /// How often each is killed
    #[arg(long, default_value_t = 100)]
    kills: u32,
    /// Which way the dice fall; each run prints its seed
    #[arg(long)]
    seed: Option<u64>,
    /// Run only tests whose name contains this
    filter: Option<String>,
}

impl Chaos {
    pub(crate) fn run(&self, root: &Path) -> Result<()> {
        machine::prepare(&[Need::Wasm, Need::Bubblewrap, Need::Faketime])?;
        plugins::build(root, false)?;
        test::build(root, test::FEATURES)?;
        let mut chaos = Command::new(env!("CARGO"));
        chaos
            .current_dir(root)
            .args(["test", "--workspace"])
            .args(test::FEATURES)
            .args(["--test", "chaos", "--", "--nocapture", "--test-threads=1"])
            .args(&self.filter)
            .env("AOD_CHAOS_KILLS", self.kills.to_string());
        if let Some(seed) = self.seed {
            chaos.env("AOD_CHAOS_SEED", seed.to_string());
        }
        run_command(&mut chaos)
    }
}
