//! The `aod` command: the server and its clients.

mod cli;
mod client;
mod config;
mod credentials;
mod doctor;
mod files;
mod listener;
mod login;
mod output;
mod report;
mod run;
mod runtime;
mod serve;
mod session;
mod tokens;
mod vault;
mod webhooks;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match protect_memory().and_then(|()| cli.dispatch()) {
        Ok(code) => code,
        // As a program that is ended by SIGPIPE: whoever read the result has seen enough of it.
        Err(error) if output::is_closed(&error) => ExitCode::from(141),
        Err(error) => {
            eprintln!("aod: {}", output::explain(&error));
            ExitCode::FAILURE
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
