//! The `aod` command: the server and its clients.

mod ask;
mod backup;
mod cli;
mod client;
mod complete;
mod config;
mod credentials;
mod doctor;
mod exit;
mod files;
mod listener;
mod login;
mod man;
mod output;
mod report;
mod run;
mod runtime;
mod serve;
mod session;
mod signals;
mod template;
mod terminal;
mod tokens;
mod turn;
mod vault;
mod version;
mod watch;
mod webhooks;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;

fn main() -> ExitCode {
    let protected = protect_memory();
    cli::complete();
    let cli = cli::Cli::parse();
    match protected.and_then(|()| cli.dispatch()) {
        Ok(code) => code,
        Err(error) => {
            if !output::is_closed(&error) {
                eprintln!("aod: {}", output::explain(&error));
            }
            exit::code(&error)
        }
    }
}

/// Nearly every command holds secrets at some time, if only the token in its environment: neither
/// a core dump nor a debugger of the same user's is to show them.
fn protect_memory() -> Result<()> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};

    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .context("cannot protect the process's memory")
}
