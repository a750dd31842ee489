//! `aod credential`: a client of `/credentials`.

use std::io::{IsTerminal as _, Read as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Subcommand;
use clap_complete::engine::ArgValueCandidates;
use reqwest::Method;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::client::{Client, segment};
use crate::complete;
use crate::output::outln;

/// The largest value that the server takes, in bytes.
const MAX_VALUE: u64 = 64 << 10;

#[derive(Debug, Subcommand)]
pub(crate) enum CredentialCommand {
    /// Register a credential, or give it a new value.
    ///
    /// The value is read from standard input, or asked for without being shown; it is never an
    /// argument, which every process of the machine could read.
    Set {
        /// `provider_key:<provider>`, `runtime_token:<name>` or `env:<NAME>`.
        name: String,
        /// For `env:<NAME>`: a host that it is for, with a port where that is not 443; may be
        /// repeated. Sandboxes then have a placeholder, and requests to these hosts the value.
        /// Without it, a credential keeps the hosts that it has.
        #[arg(long = "host", value_name = "HOST")]
        hosts: Vec<String>,
        /// Take its hosts away: the value enters sandboxes.
        #[arg(long, conflicts_with = "hosts")]
        no_hosts: bool,
    },
    /// List what is registered, and when it was last used.
    Ls {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Delete a credential with its value.
    Rm {
        /// Its name.
        #[arg(add = ArgValueCandidates::new(complete::credentials))]
        name: String,
    },
}

impl CredentialCommand {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let client = Client::from_env()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        match self {
            Self::Set {
                name,
                hosts,
                no_hosts,
            } => {
                let value = read_value(&name)?;
                let mut body = json!({ "value": *value });
                if no_hosts || !hosts.is_empty() {
                    body["hosts"] = json!(hosts);
                }
                let path = path(&name);
                let set = runtime.block_on(client.json(Method::PUT, &path, Some(&body)))?;
                match names(&set["hosts"]) {
                    hosts if hosts.is_empty() => eprintln!("set {name}"),
                    hosts => eprintln!("set {name} for {hosts}"),
                }
                if let Value::String(hint) = &set["hint"] {
                    eprintln!("aod: warning: {hint}");
                }
            }
            Self::Ls { json } => {
                let listed = runtime.block_on(client.json(Method::GET, "/credentials", None))?;
                match json {
                    true => outln!("{}", serde_json::to_string_pretty(&listed["data"])?)?,
                    false => crate::output::write(format_args!("{}", table(&listed["data"])))?,
                }
            }
            Self::Rm { name } => {
                runtime.block_on(client.send(Method::DELETE, &path(&name), None))?;
                eprintln!("deleted {name}");
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Reads a value without its last line's end.
fn read_value(name: &str) -> Result<Zeroizing<String>> {
    let stdin = std::io::stdin();
    let value = if stdin.is_terminal() {
        let prompt = format!("Value of {name} (not shown): ");
        Zeroizing::new(rpassword::prompt_password(prompt).context("cannot ask for the value")?)
    } else {
        // With room for the largest: growing would leave copies behind.
        let mut text = Zeroizing::new(String::with_capacity(MAX_VALUE as usize + 64));
        stdin
            .lock()
            .take(MAX_VALUE + 3)
            .read_to_string(&mut text)
            .context("cannot read the value from standard input")?;
        let end = text.strip_suffix('\n').map_or(text.len(), str::len);
        let end = text[..end].strip_suffix('\r').map_or(end, str::len);
        text.truncate(end);
        text
    };
    ensure!(
        !value.is_empty(),
        "the value is empty: pipe it in, as in `aod credential set {name} < FILE`"
    );
    ensure!(
        value.len() as u64 <= MAX_VALUE,
        "the value is longer than {MAX_VALUE} bytes"
    );
    Ok(value)
}

fn path(name: &str) -> String {
    format!("/credentials/{}", segment(name))
}

/// A list of texts, as people read it.
fn names(list: &Value) -> String {
    let names = list.as_array().into_iter().flatten();
    names
        .filter_map(Value::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

fn table(credentials: &Value) -> String {
    let mut text = String::new();
    for credential in credentials.as_array().into_iter().flatten() {
        let get = |key: &str| credential[key].as_str();
        let used = match get("last_used_at") {
            Some(at) => format!("last used {at}"),
            None => "never used".to_owned(),
        };
        let hosts = match names(&credential["hosts"]) {
            hosts if hosts.is_empty() => hosts,
            hosts => format!("  for {hosts}"),
        };
        let line = format!(
            "{:<32}  {:<28}  set {}  {used}{hosts}\n",
            get("name").unwrap_or_default(),
            get("variable").unwrap_or("-"),
            get("updated_at").unwrap_or_default(),
        );
        text.push_str(&line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_segment_of_the_path() {
        assert_eq!(path("provider_key:x"), "/credentials/provider_key:x");
        assert_eq!(
            path("env:a/b?c#d ä"),
            "/credentials/env:a%2Fb%3Fc%23d%20%C3%A4"
        );
    }

    #[test]
    fn a_table_has_no_row_for_nothing() {
        assert_eq!(table(&json!([])), "");
        let row = json!([{"name": "env:X", "variable": "X", "updated_at": "then"}]);
        assert!(table(&row).starts_with("env:X "), "{}", table(&row));
        assert!(
            table(&row).ends_with("set then  never used\n"),
            "{}",
            table(&row)
        );
        let row = json!([{"name": "env:X", "hosts": ["a.example", "b.example:8443"]}]);
        assert!(table(&row).ends_with("  for a.example, b.example:8443\n"));
    }
}
