//! `aod session ls`.

use anyhow::Result;
use aod_resources::{Session, Sizes, Status};
use clap_complete::engine::ArgValueCandidates;
use reqwest::Method;
use serde_json::Value;

use crate::ask::pairs;
use crate::client::{AGENT, Client, Listing, segment};
use crate::complete;
use crate::output::outln;
use crate::terminal::{Sink, Table, age, size};

/// The most sessions of a page.
const PAGE: usize = 200;

/// Which sessions, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Only those that stand so.
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(Status::WORDS))]
    status: Option<String>,
    /// Only those made from this agent.
    #[arg(long, value_name = "AGENT", add = ArgValueCandidates::new(complete::agents))]
    agent: Option<String>,
    /// Only those of this runtime.
    #[arg(long, value_name = "NAME", add = ArgValueCandidates::new(complete::runtimes))]
    runtime: Option<String>,
    /// Only those with this label. Can be given several times.
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Only those with this text in the title or in the first prompt.
    #[arg(short = 'q', long = "search", value_name = "TEXT")]
    search: Option<String>,
    /// The most to list.
    #[arg(short = 'n', long, default_value_t = 50, value_name = "N")]
    limit: usize,
    /// Show what home, workspace, log and checkpoints take of the server's disk, each by itself.
    #[arg(long)]
    sizes: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) async fn run(self, client: &Client) -> Result<()> {
        let (sessions, has_more) = self.sessions(client).await?;
        if self.json {
            outln!("{}", serde_json::to_string_pretty(&sessions)?)?;
        } else {
            let sessions: Vec<Session> = serde_json::from_value(Value::Array(sessions))?;
            let table = match self.sizes {
                true => size_table(&sessions),
                false => table(&sessions),
            };
            crate::output::write(format_args!("{table}"))?;
        }
        if has_more {
            eprintln!("there are more: use --limit, or say which");
        }
        Ok(())
    }

    /// As the server has them, and whether there are more.
    async fn sessions(&self, client: &Client) -> Result<(Vec<Value>, bool)> {
        let mut filter = String::new();
        let agent = match &self.agent {
            Some(agent) => Some(client.id_of(AGENT, agent).await?.to_string()),
            None => None,
        };
        let single = [
            ("status", &self.status),
            ("agent_id", &agent),
            ("runtime", &self.runtime),
            ("q", &self.search),
        ];
        for (name, value) in single {
            if let Some(value) = value {
                filter.push_str(&format!("&{name}={}", segment(value)));
            }
        }
        for (key, value) in pairs("--label", &self.labels)? {
            filter.push_str(&format!("&metadata.{}={}", segment(&key), segment(&value)));
        }
        let mut sessions = Vec::new();
        let mut after = String::new();
        loop {
            let page = self.limit.saturating_sub(sessions.len()).clamp(1, PAGE);
            let path = format!("/sessions?limit={page}{filter}{after}");
            let reply = client.json(Method::GET, &path, None).await?;
            let listed: Listing<Value> = serde_json::from_value(reply)?;
            sessions.extend(listed.data);
            match listed.next {
                Some(next) if sessions.len() < self.limit => after = format!("&after={next}"),
                next => return Ok((sessions, next.is_some())),
            }
        }
    }
}

fn table(sessions: &[Session]) -> String {
    let mut table = Table::default();
    if Sink::Stdout.is_terminal() {
        table.row([
            "ID", "STATUS", "RUNTIME", "TURNS", "AGE", "COST", "SIZE", "TITLE",
        ]);
    }
    for session in sessions {
        let cost = session.usage.cost_usd;
        let cost = cost.map_or_else(|| "-".to_owned(), |cost| format!("{cost:.4}"));
        table.row([
            &session.id.to_string(),
            session.status.as_str(),
            &session.runtime,
            &session.turn_count.to_string(),
            &age(session.created_at),
            &cost,
            &session.sizes.as_ref().map_or("-".to_owned(), taken),
            session.title.as_deref().unwrap_or_default(),
        ]);
    }
    table.text()
}

fn size_table(sessions: &[Session]) -> String {
    let mut table = Table::default();
    if Sink::Stdout.is_terminal() {
        table.row([
            "ID",
            "STATUS",
            "HOME",
            "WORKSPACE",
            "LOG",
            "CHECKPOINTS",
            "SIZE",
            "TITLE",
        ]);
    }
    for session in sessions {
        let part = |part: fn(&Sizes) -> u64| match &session.sizes {
            Some(sizes) => size(part(sizes)),
            None => "-".to_owned(),
        };
        table.row([
            &session.id.to_string(),
            session.status.as_str(),
            &part(|sizes| sizes.home),
            &part(|sizes| sizes.workspace),
            &part(|sizes| sizes.log),
            &part(|sizes| sizes.checkpoints),
            &session.sizes.as_ref().map_or("-".to_owned(), taken),
            session.title.as_deref().unwrap_or_default(),
        ]);
    }
    table.text()
}

/// What a session takes of the server's disk, all of it together.
pub(super) fn taken(sizes: &Sizes) -> String {
    let parts = [sizes.home, sizes.workspace, sizes.log, sizes.checkpoints];
    let all = size(parts.into_iter().fold(0, u64::saturating_add));
    match sizes.partial {
        true => format!(">{all}"),
        false => all,
    }
}
