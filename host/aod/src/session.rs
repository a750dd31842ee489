//! `aod session`: what belongs to sessions of a server.

mod change;
mod diff;
mod list;
mod logs;
mod prompt;
mod queue;
mod show;
mod stop;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use clap_complete::engine::ArgValueCandidates;
use uuid::Uuid;

use crate::client::{Client, SESSION};
use crate::complete;
use crate::files::FilesCommand;

/// Which session.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Target {
    /// The session: its id, or the beginning of it.
    #[arg(add = ArgValueCandidates::new(complete::sessions))]
    session: String,
}

impl Target {
    /// Its id.
    pub(crate) async fn id(&self, client: &Client) -> Result<Uuid> {
        client.id_of(SESSION, &self.session).await
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum SessionCommand {
    /// List your sessions, newest first.
    #[command(visible_alias = "list")]
    Ls(list::List),
    /// Show a session with its turns and its answer.
    Show(show::Show),
    /// Show what a session's agent has said and done; with --follow, also what is to come.
    Logs(logs::Logs),
    /// Follow the turn that is there as `aod run` does: the answer on stdout, and the session's
    /// exit code. Ctrl-C leaves, and the turn goes on.
    #[command(visible_alias = "wait")]
    Attach(prompt::Attach),
    /// Ask a session's agent something more, in the same workspace.
    ///
    /// Ctrl-C interrupts the turn, a second one terminates the session. The exit code is the
    /// session's own.
    Prompt(prompt::Next),
    /// Answer a question of the running turn.
    Answer(change::Answer),
    /// Stop the running turn; the session takes another prompt.
    Interrupt(stop::Interrupt),
    /// Stop a session for good.
    Terminate(stop::Terminate),
    /// Delete a session with its log and its workspace.
    Rm(stop::Remove),
    /// Make a session that begins where a turn of this one has ended.
    Fork(change::Fork),
    /// Put a session back to where a turn of it has ended.
    Restore(change::Restore),
    /// Files of a session's workspace.
    Files {
        #[command(subcommand)]
        command: FilesCommand,
    },
    /// Show what a session has changed in its repositories, as unified diffs.
    Diff(diff::Diff),
    /// Prompts that wait for the end of a session's turn.
    Queue {
        #[command(subcommand)]
        command: queue::QueueCommand,
    },
}

impl SessionCommand {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let client = Client::from_env()?;
        crate::client::blocking(async {
            let done = match self {
                Self::Prompt(prompt) => return prompt.run(&client).await,
                Self::Attach(attach) => return attach.run(&client).await,
                Self::Logs(logs) => return logs.run(&client).await,
                Self::Ls(list) => list.run(&client).await,
                Self::Show(show) => show.run(&client).await,
                Self::Answer(answer) => answer.run(&client).await,
                Self::Interrupt(interrupt) => interrupt.run(&client).await,
                Self::Terminate(terminate) => terminate.run(&client).await,
                Self::Rm(remove) => remove.run(&client).await,
                Self::Fork(fork) => fork.run(&client).await,
                Self::Restore(restore) => restore.run(&client).await,
                Self::Files { command } => command.run(&client).await,
                Self::Diff(diff) => diff.run(&client).await,
                Self::Queue { command } => command.run(&client).await,
            };
            done.map(|()| ExitCode::SUCCESS)
        })
    }
}
