//! `aod session queue`.

use anyhow::Result;
use aod_resources::QueuedPrompt;
use clap::Subcommand;
use reqwest::Method;
use uuid::Uuid;

use super::Target;
use crate::client::{Client, Listing};
use crate::output::outln;
use crate::terminal::Table;

#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// List the prompts that wait, in order.
    Ls {
        #[command(flatten)]
        target: Target,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take a prompt out of the queue.
    Rm {
        #[command(flatten)]
        target: Target,
        /// The prompt's id.
        prompt: Uuid,
    },
}

impl QueueCommand {
    pub(super) async fn run(self, client: &Client) -> Result<()> {
        match self {
            Self::Ls { target, json } => {
                let path = format!("/sessions/{}/queue", target.id(client).await?);
                if json {
                    let listed = client.json(Method::GET, &path, None).await?;
                    return Ok(outln!("{:#}", listed["data"])?);
                }
                let listed: Listing<QueuedPrompt> = client.get(&path).await?;
                let mut table = Table::default();
                for queued in &listed.data {
                    let (id, position) = (queued.id.to_string(), queued.position.to_string());
                    table.row([id.as_str(), position.as_str(), queued.prompt.as_str()]);
                }
                Ok(crate::output::write(format_args!("{}", table.text()))?)
            }
            Self::Rm { target, prompt } => {
                let id = target.id(client).await?;
                let path = format!("/sessions/{id}/queue/{prompt}");
                client.send(Method::DELETE, &path, None).await?;
                eprintln!("taken out of the queue: {prompt}");
                Ok(())
            }
        }
    }
}
