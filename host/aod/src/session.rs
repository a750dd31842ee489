//! `aod session`: what belongs to sessions of a server.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use crate::files::FilesCommand;

#[derive(Debug, Subcommand)]
pub(crate) enum SessionCommand {
    /// Files of a session's workspace.
    Files {
        #[command(subcommand)]
        command: FilesCommand,
    },
}

impl SessionCommand {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Self::Files { command } => command.run(),
        }
    }
}
