//! `aod session interrupt`, `terminate` and `rm`.

use anyhow::Result;
use aod_resources::Session;
use reqwest::Method;

use super::Target;
use crate::client::{Client, SESSION};
use crate::watch::stop_once;

/// Which session's turn.
#[derive(Debug, clap::Args)]
pub(crate) struct Interrupt {
    #[command(flatten)]
    target: Target,
}

/// Which session.
#[derive(Debug, clap::Args)]
pub(crate) struct Terminate {
    #[command(flatten)]
    target: Target,
}

/// Which sessions.
#[derive(Debug, clap::Args)]
pub(crate) struct Remove {
    /// The sessions: their ids, or the beginnings of them.
    #[arg(required = true, value_name = "SESSION",
        add = clap_complete::engine::ArgValueCandidates::new(crate::complete::sessions))]
    sessions: Vec<String>,
    /// Terminate what still runs.
    #[arg(short, long)]
    force: bool,
}

impl Interrupt {
    pub(super) async fn run(self, client: &Client) -> Result<()> {
        let id = self.target.id(client).await?;
        stop_once(client, id, "interrupt").await?;
        eprintln!("interrupting {id}");
        Ok(())
    }
}

impl Terminate {
    pub(super) async fn run(self, client: &Client) -> Result<()> {
        let id = self.target.id(client).await?;
        let ack = stop_once(client, id, "terminate").await?;
        eprintln!("{id} is {}", ack.status.as_str());
        Ok(())
    }
}

impl Remove {
    pub(super) async fn run(self, client: &Client) -> Result<()> {
        for session in &self.sessions {
            let id = client.id_of(SESSION, session).await?;
            if self.force {
                let now: Session = client.get(&format!("/sessions/{id}")).await?;
                if now.status.is_active() {
                    stop_once(client, id, "terminate").await?;
                }
            }
            let path = format!("/sessions/{id}/delete");
            client.send(Method::DELETE, &path, None).await?;
            eprintln!("deleted {id}");
        }
        Ok(())
    }
}
