//! `aod webhook`: a client of `/webhooks`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Subcommand;
use clap_complete::engine::ArgValueCandidates;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::client::{Client, segment};
use crate::complete;
use crate::output::outln;

/// How long a test is waited for: longer than the server waits for a receiver.
const TESTED_IN: Duration = Duration::from_secs(30);
/// How often it is looked whether a test has ended.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Debug, Subcommand)]
pub(crate) enum WebhookCommand {
    /// Add a webhook, and print the secret that its messages are signed with: it is shown once.
    Add {
        /// Where messages are sent: an http or https URL.
        url: String,
        /// What it is told of, such as `turn.completed`; repeatable. Everything by default.
        #[arg(long = "event", value_name = "EVENT")]
        events: Vec<String>,
        /// What it is for.
        #[arg(long)]
        description: Option<String>,
    },
    /// List your webhooks.
    Ls {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Send a message that tells of nothing, and say whether the receiver took it.
    Test {
        /// The webhook's id.
        #[arg(add = ArgValueCandidates::new(complete::webhooks))]
        id: String,
    },
    /// Delete a webhook, with all that was to be sent to it.
    Rm {
        /// The webhook's id.
        #[arg(add = ArgValueCandidates::new(complete::webhooks))]
        id: String,
    },
}

impl WebhookCommand {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let client = Client::from_env()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        match self {
            Self::Add {
                url,
                events,
                description,
            } => {
                let mut body = json!({ "url": url, "description": description });
                if !events.is_empty() {
                    body["events"] = json!(events);
                }
                let made = runtime.block_on(client.json(Method::POST, "/webhooks", Some(&body)))?;
                eprintln!("added {}", text(&made, "id"));
                outln!("{}", text(&made, "secret"))?;
            }
            Self::Ls { json } => {
                let listed = runtime.block_on(client.json(Method::GET, "/webhooks", None))?;
                match json {
                    true => outln!("{}", serde_json::to_string_pretty(&listed["data"])?)?,
                    false => crate::output::write(format_args!("{}", table(&listed["data"])))?,
                }
            }
            Self::Test { id } => runtime.block_on(test(&client, &id))?,
            Self::Rm { id } => {
                runtime.block_on(client.send(Method::DELETE, &path(&id), None))?;
                eprintln!("deleted {id}");
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Has a message sent, and waits until its first try has ended.
async fn test(client: &Client, id: &str) -> Result<()> {
    let path = path(id);
    let sent = client
        .json(Method::POST, &format!("{path}/test"), None)
        .await?;
    let delivery = format!("{path}/deliveries/{}", segment(text(&sent, "id")));
    let deadline = Instant::now() + TESTED_IN;
    loop {
        let now = client.json(Method::GET, &delivery, None).await?;
        if now["state"] == "delivered" {
            eprintln!("the receiver took it ({})", now["last_status"]);
            return Ok(());
        }
        if let Some(error) = now["last_error"].as_str() {
            bail!("the receiver did not take it: {error}");
        }
        if Instant::now() >= deadline {
            bail!("it was not sent within {TESTED_IN:?}: look at GET {delivery} later");
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn path(id: &str) -> String {
    format!("/webhooks/{}", segment(id))
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn table(webhooks: &Value) -> String {
    let mut table = String::new();
    for webhook in webhooks.as_array().into_iter().flatten() {
        let events = webhook["events"].as_array().into_iter().flatten();
        let events: Vec<_> = events.filter_map(Value::as_str).collect();
        let state = match (&webhook["enabled"], &webhook["disabled_reason"]) {
            (Value::Bool(true), _) => "enabled".to_owned(),
            (_, Value::String(why)) => format!("disabled: {why}"),
            _ => "disabled".to_owned(),
        };
        let line = format!(
            "{}  {}  {state}  {}\n",
            text(webhook, "id"),
            text(webhook, "url"),
            events.join(","),
        );
        table.push_str(&line);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_why_a_webhook_is_disabled() {
        let rows = json!([
            {"id": "1", "url": "https://a/", "events": ["turn.failed", "turn.completed"], "enabled": true},
            {"id": "2", "url": "https://b/", "events": [], "enabled": false, "disabled_reason": "410"},
        ]);
        assert_eq!(
            table(&rows),
            "1  https://a/  enabled  turn.failed,turn.completed\n2  https://b/  disabled: 410  \n"
        );
    }
}
