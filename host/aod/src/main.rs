//! The `aod` command: the server and its clients.

mod cli;
mod client;
mod config;
mod doctor;
mod run;
mod serve;
mod tokens;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match cli.dispatch() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("aod: {error:#}");
            ExitCode::FAILURE
        }
    }
}
