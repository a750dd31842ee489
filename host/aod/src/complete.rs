//! What a shell completes values with: asked of the server, within moments, or nothing.

use std::time::Duration;

use anyhow::Result;
use clap_complete::CompletionCandidate;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::client::{Client, Listing, blocking};
use crate::terminal::{short, tame};

/// Longer than that, nobody waits for a completion.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most characters of an explanation.
const LABEL: usize = 60;

/// The newest sessions, with their states and titles.
pub(crate) fn sessions() -> Vec<CompletionCandidate> {
    #[derive(Deserialize)]
    struct Session {
        id: String,
        status: String,
        title: Option<String>,
    }
    candidates("/sessions?limit=100", |session: Session| {
        let title = session.title.unwrap_or_default();
        (session.id, format!("{} {title}", session.status))
    })
}

/// Agents, with their names.
pub(crate) fn agents() -> Vec<CompletionCandidate> {
    candidates("/agents?limit=100", |it: Named| (it.id, it.name))
}

/// Environments, with their names.
pub(crate) fn environments() -> Vec<CompletionCandidate> {
    candidates("/environments?limit=100", |it: Named| (it.id, it.name))
}

/// Runtimes, with their health.
pub(crate) fn runtimes() -> Vec<CompletionCandidate> {
    #[derive(Deserialize)]
    struct Runtime {
        name: String,
        health: String,
    }
    candidates("/runtimes", |it: Runtime| (it.name, it.health))
}

/// Models, with the runtimes that serve them.
pub(crate) fn models() -> Vec<CompletionCandidate> {
    #[derive(Deserialize)]
    struct Model {
        id: String,
        runtimes: Vec<String>,
    }
    candidates("/models", |it: Model| (it.id, it.runtimes.join(", ")))
}

/// Credentials, by their names.
pub(crate) fn credentials() -> Vec<CompletionCandidate> {
    #[derive(Deserialize)]
    struct Credential {
        name: String,
    }
    candidates("/credentials", |it: Credential| (it.name, String::new()))
}

/// Webhooks, with where they lead.
pub(crate) fn webhooks() -> Vec<CompletionCandidate> {
    #[derive(Deserialize)]
    struct Webhook {
        id: String,
        url: String,
    }
    candidates("/webhooks", |it: Webhook| (it.id, it.url))
}

#[derive(Deserialize)]
struct Named {
    id: String,
    name: String,
}

fn candidates<T: DeserializeOwned>(
    path: &str,
    candidate: impl Fn(T) -> (String, String),
) -> Vec<CompletionCandidate> {
    let asked: Result<Listing<T>> = Client::from_env().and_then(|client| {
        blocking(async { tokio::time::timeout(PATIENCE, client.get(path)).await? })
    });
    // Whoever completes has no place for an error.
    let listed = asked.map(|listed| listed.data).unwrap_or_default();
    let candidates = listed.into_iter().enumerate().map(|(place, item)| {
        let (value, label) = candidate(item);
        let label = short(&tame(&label), LABEL);
        CompletionCandidate::new(value)
            .help((!label.is_empty()).then(|| label.into()))
            .display_order(Some(place))
    });
    candidates.collect()
}
