//! `aod session show`.

use std::fmt::Write as _;

use anyhow::Result;
use aod_resources::{Session, Turn};
use reqwest::Method;

use super::Target;
use super::list::taken;
use crate::client::{Client, Listing};
use crate::output::outln;
use crate::terminal::{Sink, age, short, size, tame};

/// Which session, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    #[command(flatten)]
    target: Target,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(super) async fn run(self, client: &Client) -> Result<()> {
        let id = self.target.id(client).await?;
        let path = format!("/sessions/{id}");
        if self.json {
            let session = client.json(Method::GET, &path, None).await?;
            return Ok(outln!("{session:#}")?);
        }
        let session: Session = client.get(&path).await?;
        let turns: Listing<Turn> = client.get(&format!("{path}/turns")).await?;
        let mut text = shown(&session, &turns.data);
        if Sink::Stdout.is_terminal() {
            text = tame(&text);
        }
        Ok(crate::output::write(format_args!("{text}"))?)
    }
}

fn shown(session: &Session, turns: &[Turn]) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<12}{value}");
    };
    line("session", &session.id.to_string());
    if let Some(title) = &session.title {
        line("title", title);
    }
    line("status", session.status.as_str());
    if let Some(error) = &session.error {
        line("error", error);
    }
    line("runtime", &session.runtime);
    line("model", &session.model);
    for (name, id) in [
        ("agent", session.agent_id),
        ("environment", session.environment_id),
    ] {
        if let Some(id) = id {
            line(name, &id.to_string());
        }
    }
    line(
        "created",
        &format!("{} ({} ago)", session.created_at, age(session.created_at)),
    );
    for repository in &session.resources {
        let commit = repository.commit.as_deref().unwrap_or_default();
        line("repository", &format!("{} {commit}", repository.url));
    }
    for (key, value) in &session.metadata {
        line("label", &format!("{key}={value}"));
    }
    let usage = &session.usage;
    let cost = usage.cost_usd.map(|cost| format!(", {cost:.4} USD"));
    line(
        "usage",
        &format!(
            "{} tokens in, {} out, {} cached{}",
            usage.input_tokens,
            usage.output_tokens,
            usage.cached_tokens,
            cost.unwrap_or_default()
        ),
    );
    if let Some(sizes) = &session.sizes {
        line(
            "size",
            &format!(
                "{}: {} home, {} workspace, {} log, {} checkpoints",
                taken(sizes),
                size(sizes.home),
                size(sizes.workspace),
                size(sizes.log),
                size(sizes.checkpoints)
            ),
        );
    }
    for turn in turns {
        let word = match turn.outcome {
            Some(outcome) => outcome.as_str(),
            None => turn.status.as_str(),
        };
        let prompt = short(&turn.prompt, 100);
        line(
            &format!("turn {}", turn.turn_number),
            &format!("{word:<12}{prompt}"),
        );
    }
    if let Some(answer) = crate::turn::result(session).and_then(|result| result.text) {
        let _ = write!(text, "\n{}\n", answer.trim_end());
    }
    text
}
