//! `aod session answer`, `fork` and `restore`.

use anyhow::{Context as _, Result};
use aod_resources::Session;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use uuid::Uuid;

use super::Target;
use crate::client::{self, Client, ClientError, SessionAck};
use crate::output::outln;

/// An answer.
#[derive(Debug, clap::Args)]
pub(crate) struct Answer {
    #[command(flatten)]
    target: Target,
    /// The id of the question, or of the call, as `aod session logs` shows it.
    question: String,
    /// The id of one of its choices, or text where it has none.
    #[arg(required_unless_present = "content")]
    answer: Option<String>,
    /// What a call of one of the agent's own tools gives the model; `-` reads it from stdin.
    #[arg(long, value_name = "TEXT", conflicts_with = "answer")]
    content: Option<String>,
    /// Tell the model that the call has failed.
    #[arg(long, requires = "content")]
    is_error: bool,
}

/// A session that begins where a turn of another has ended.
#[derive(Debug, clap::Args)]
pub(crate) struct Fork {
    #[command(flatten)]
    target: Target,
    /// The turn at whose end it begins; the last one where nothing is said.
    #[arg(long, value_name = "N")]
    turn: Option<u32>,
    /// What its agent is asked at once.
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// A name for it.
    #[arg(long)]
    title: Option<String>,
    /// Print the server's answer as JSON.
    #[arg(long)]
    json: bool,
}

/// A session that is put back.
#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    #[command(flatten)]
    target: Target,
    /// The turn at whose end it is to stand.
    turn: u32,
}

impl Answer {
    pub(super) async fn run(self, client: &Client) -> Result<()> {
        let id = self.target.id(client).await?;
        let answer = client::Answer {
            request_id: self.question,
            answer: self.answer,
            content: match self.content.as_deref() {
                Some("-") => {
                    let read = std::io::read_to_string(std::io::stdin());
                    Some(read.context("stdin cannot be read as text")?)
                }
                _ => self.content,
            },
            is_error: self.is_error,
        };
        let _: Value = client
            .post(&format!("/sessions/{id}/answers"), &answer)
            .await?;
        eprintln!("answered");
        Ok(())
    }
}

impl Fork {
    pub(super) async fn run(self, client: &Client) -> Result<()> {
        let id = self.target.id(client).await?;
        let fork = client::Fork {
            turn: self.turn,
            prompt: self.prompt,
            title: self.title,
        };
        let made = client.submit(&format!("/sessions/{id}/fork"), &fork).await;
        let made: Value = known(client, id, "sessions cannot be forked", made).await?;
        match self.json {
            true => outln!("{made:#}")?,
            false => {
                let ack: SessionAck = serde_json::from_value(made)?;
                outln!("{}", ack.id)?;
            }
        }
        Ok(())
    }
}

impl Restore {
    pub(super) async fn run(self, client: &Client) -> Result<()> {
        let id = self.target.id(client).await?;
        let body = serde_json::to_value(client::Restore { turn: self.turn })?;
        let path = format!("/sessions/{id}/restore");
        let done = client.send(Method::POST, &path, Some(&body)).await;
        known(client, id, "sessions cannot be put back", done).await?;
        eprintln!("{id} stands where turn {} has ended", self.turn);
        Ok(())
    }
}

/// A server that is older than this command knows nothing of it: told apart from a session, or a
/// turn, that is not there.
async fn known<T>(client: &Client, session: Uuid, what: &str, done: Result<T>) -> Result<T> {
    let Err(error) = done else { return done };
    let status = ClientError::status(&error);
    if !matches!(
        status,
        Some(StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED)
    ) {
        return Err(error);
    }
    // Where the session is not there, that is what is wrong.
    let _: Session = client.get(&format!("/sessions/{session}")).await?;
    let described = client.json(Method::GET, "/openapi.json", None).await;
    let is_known = described.is_ok_and(|described| {
        let paths = described["paths"].as_object();
        let word = if what.contains("fork") {
            "fork"
        } else {
            "restore"
        };
        paths.is_some_and(|paths| paths.contains_key(&format!("/sessions/{{id}}/{word}")))
    });
    match is_known {
        true => Err(error),
        false => Err(error).context(format!(
            "{what} at {}: the server is older than this command; upgrade it",
            client.url()
        )),
    }
}
