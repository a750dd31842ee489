//! `aod session diff`.

use std::fmt::Write as _;

use anyhow::Result;
use aod_resources::RepositoryDiff;
use reqwest::Method;

use super::Target;
use crate::client::{Client, Listing, segment};
use crate::output::outln;
use crate::terminal::{Sink, tame};

/// Which session's changes.
#[derive(Debug, clap::Args)]
pub(crate) struct Diff {
    #[command(flatten)]
    target: Target,
    /// Only the repository at this path in the workspace.
    #[arg(long, value_name = "PATH")]
    repository: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Diff {
    pub(super) async fn run(self, client: &Client) -> Result<()> {
        let id = self.target.id(client).await?;
        let mut path = format!("/sessions/{id}/diff");
        if let Some(repository) = &self.repository {
            path.push_str(&format!("?repository={}", segment(repository)));
        }
        if self.json {
            let listed = client.json(Method::GET, &path, None).await?;
            return Ok(outln!("{:#}", listed["data"])?);
        }
        let listed: Listing<RepositoryDiff> = client.get(&path).await?;
        if listed.data.is_empty() {
            eprintln!("the session has no repositories");
        }
        for diff in &listed.data {
            if let Some(error) = &diff.error {
                eprintln!("aod: {}: {}", diff.url, tame(error));
            }
            let text = match Sink::Stdout.is_terminal() {
                true => coloured(&tame(&diff.diff), Sink::Stdout.has_styles()),
                false => diff.diff.clone(),
            };
            crate::output::write(format_args!("{text}"))?;
            if diff.truncated {
                eprintln!("aod: {}: the diff is cut, since it is too long", diff.url);
            }
        }
        Ok(())
    }
}

fn coloured(diff: &str, has_styles: bool) -> String {
    if !has_styles {
        return diff.to_owned();
    }
    let mut text = String::with_capacity(diff.len() + diff.len() / 4);
    for line in diff.lines() {
        let style = match line.as_bytes() {
            [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] | [b'd', b'i', b'f', b'f', ..] => "1",
            [b'+', ..] => "32",
            [b'-', ..] => "31",
            [b'@', b'@', ..] => "36",
            _ => "0",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\x1b[{style}m{line}\x1b[0m");
    }
    text
}
