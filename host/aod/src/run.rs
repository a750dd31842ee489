//! `aod run`: one prompt in a new session.

mod screen;

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};

use self::screen::Screen;
use crate::client::Client;

/// How long a server that is busy compiling is left alone.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Run one prompt in a new session and show what the agent does.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// What the agent is asked.
    prompt: String,
    /// The runtime, as declared in runtimes.toml. Where nothing is said: the first one that has a
    /// credential in this command's environment, which the session is then given, else `demo`.
    #[arg(long)]
    runtime: Option<String>,
    /// The canonical model id; the runtime's first where nothing is said.
    #[arg(long)]
    model: Option<String>,
    /// What is added to the CLI's own system prompt.
    #[arg(long)]
    system: Option<String>,
    /// Give the session this variable of yours, by its name. The value is sealed and goes to the
    /// sandbox alone. Can be given several times.
    #[arg(long = "env", value_name = "NAME")]
    env: Vec<String>,
    /// Seconds that the turn may take.
    #[arg(long)]
    timeout: Option<u32>,
    /// A name for the session.
    #[arg(long)]
    title: Option<String>,
    /// Requests to the model that the turn may make.
    #[arg(long)]
    max_rounds: Option<u32>,
    /// Tokens that the model may write in it.
    #[arg(long)]
    max_output_tokens: Option<u64>,
    /// US dollars that it may cost.
    #[arg(long)]
    max_cost_usd: Option<f64>,
    /// Print the CLI's own lines instead of a rendering.
    #[arg(long)]
    raw: bool,
}

impl Run {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(self.session())
    }

    async fn session(self) -> Result<ExitCode> {
        if self.prompt.trim().is_empty() {
            bail!("the prompt is empty: say what the agent is to do");
        }
        let client = Client::from_env()?;
        let mut variables = self.env.clone();
        let runtime = match &self.runtime {
            Some(runtime) => runtime.clone(),
            None => {
                let (runtime, found) = at_hand(&client).await?;
                match found.is_empty() {
                    true => eprintln!("runtime {runtime}"),
                    false => eprintln!("runtime {runtime}, with {} from here", found.join(", ")),
                }
                variables.extend(found);
                runtime
            }
        };
        let model = match &self.model {
            Some(model) => model.clone(),
            None => first_model(&client, &runtime).await?,
        };
        let agent = json!({
            "name": "aod run", "runtime": runtime, "model": model, "system": self.system,
        });
        let agent = client.json(Method::POST, "/agents", Some(&agent)).await?;
        let mut secrets = serde_json::Map::new();
        for name in &variables {
            let value = std::env::var(name)
                .with_context(|| format!("--env {name}: the variable is not set here"))?;
            secrets.insert(name.clone(), value.into());
        }
        let session = json!({
            "agent_id": agent["id"], "prompt": self.prompt, "timeout": self.timeout,
            "secret_env_vars": secrets, "title": self.title,
            "limits": {
                "max_rounds": self.max_rounds, "max_output_tokens": self.max_output_tokens,
                "max_cost_usd": self.max_cost_usd,
            },
        });
        let session = client.json(Method::POST, "/sessions", Some(&session)).await;
        // The agent was made for this one session, which keeps its own copy.
        let archive = format!(
            "/agents/{}/archive",
            agent["id"].as_str().unwrap_or_default()
        );
        client.json(Method::POST, &archive, None).await?;
        let session = session?;
        let id = session["id"]
            .as_str()
            .context("the server gave no session id")?
            .to_owned();
        eprintln!("session {id}");
        self.watch(&client, &id).await?;
        let session = client
            .json(Method::GET, &format!("/sessions/{id}"), None)
            .await?;
        Ok(conclude(&session))
    }

    /// Shows the session until its turn has ended.
    async fn watch(&self, client: &Client, id: &str) -> Result<()> {
        let mut screen = Screen::new();
        let mut watch = Watch {
            client,
            session: id,
            interrupts: 0,
        };
        if self.raw {
            return watch
                .each("stream", |event| {
                    screen.native(event)?;
                    Ok(ControlFlow::Continue(()))
                })
                .await;
        }
        // Stages are over when the CLI says its first word, and what it says is told better by
        // the normalized events.
        watch
            .each("stream", |event| match event["type"].as_str() {
                Some("stage") => {
                    screen.stage(event);
                    Ok(ControlFlow::Continue(()))
                }
                Some("turn_start") => Ok(ControlFlow::Break(())),
                _ => Ok(ControlFlow::Continue(())),
            })
            .await?;
        watch
            .each("events", |event| {
                screen.event(event)?;
                Ok(ControlFlow::Continue(()))
            })
            .await?;
        screen.end_line()
    }
}

/// A session that is looked at.
struct Watch<'a> {
    client: &'a Client,
    session: &'a str,
    interrupts: u32,
}

impl Watch<'_> {
    /// Hands over the events of a stream until it ends, or `show` has seen enough.
    async fn each(
        &mut self,
        stream: &str,
        mut show: impl FnMut(&Value) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let path = format!("/sessions/{}/{stream}", self.session);
        let response = self.client.send(Method::GET, &path, None).await?;
        let mut chunks = response.bytes_stream();
        let mut pending = Vec::new();
        loop {
            tokio::select! {
                chunk = chunks.next() => {
                    let Some(chunk) = chunk else { return Ok(()) };
                    pending.extend_from_slice(&chunk?);
                    let whole = pending.iter().rposition(|byte| *byte == b'\n');
                    let rest = pending.split_off(whole.map_or(0, |end| end + 1));
                    for line in std::mem::replace(&mut pending, rest).split(|byte| *byte == b'\n') {
                        if let Some(data) = line.strip_prefix(b"data: ")
                            && show(&serde_json::from_slice(data)?)?.is_break()
                        {
                            return Ok(());
                        }
                    }
                }
                signal = tokio::signal::ctrl_c() => {
                    signal?;
                    self.stop().await;
                }
            }
        }
    }

    /// Interrupts the turn, or terminates the session where that was asked for before.
    async fn stop(&mut self) {
        self.interrupts += 1;
        let (word, path) = match self.interrupts {
            1 => ("interrupting; Ctrl-C again terminates", "interrupt"),
            _ => ("terminating", "terminate"),
        };
        eprintln!("{word}");
        let path = format!("/sessions/{}/{path}", self.session);
        if let Err(error) = self.client.send(Method::POST, &path, None).await {
            eprintln!("{}", crate::output::explain(&error));
        }
    }
}

/// The first runtime that has a credential in this process's environment, with the variables to
/// give to its session; else the demo, which needs none.
async fn at_hand(client: &Client) -> Result<(String, Vec<String>)> {
    let names = std::env::vars().filter(|(_, value)| !value.is_empty());
    let names: Vec<String> = names.map(|(name, _)| name).collect();
    let listed = until(client, "/runtimes", |listed| {
        choose(listed, &names).is_some()
    })
    .await?;
    let chosen = choose(&listed, &names).flatten();
    Ok(chosen.unwrap_or_else(|| ("demo".to_owned(), Vec::new())))
}

/// The runtime to use with these variables at hand, and those of them that it takes; none where
/// none has a credential among them. Nothing while that is not known: a runtime that is being
/// compiled may have one, if any of them is named like a key.
fn choose(listed: &Value, at_hand: &[String]) -> Option<Option<(String, Vec<String>)>> {
    let is_key = |name: &String| {
        !name.starts_with("AOD_") && ["KEY", "TOKEN"].iter().any(|word| name.contains(word))
    };
    let may_fit = at_hand.iter().any(is_key);
    let is_set = |name: &&str| at_hand.iter().any(|known| known == name);
    for runtime in listed["data"].as_array().into_iter().flatten() {
        if runtime["health"] == "compiling" && may_fit {
            return None;
        }
        let credentials = runtime["credentials"].as_array().into_iter().flatten();
        let credentials = credentials.filter_map(|credential| credential["variable"].as_str());
        let mut found: Vec<&str> = credentials.filter(is_set).collect();
        if found.is_empty() || runtime["health"] != "ready" {
            continue;
        }
        let endpoints = runtime["endpoint_variables"]
            .as_array()
            .into_iter()
            .flatten();
        found.extend(endpoints.filter_map(Value::as_str).filter(is_set));
        let name = runtime["name"].as_str().unwrap_or_default().to_owned();
        return Some(Some((name, found.into_iter().map(str::to_owned).collect())));
    }
    Some(None)
}

/// What the server says once it knows what is asked: of a runtime that it is compiling, it knows
/// neither credentials nor models. Each has a deadline there.
async fn until(client: &Client, path: &str, is_known: impl Fn(&Value) -> bool) -> Result<Value> {
    let mut told = false;
    loop {
        let reply = client.json(Method::GET, path, None).await?;
        if is_known(&reply) {
            return Ok(reply);
        }
        if !told {
            eprintln!("the server is compiling its runtimes");
            told = true;
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

async fn first_model(client: &Client, runtime: &str) -> Result<String> {
    let path = format!("/runtimes/{}", crate::client::segment(runtime));
    let info = until(client, &path, |info| info["health"] != "compiling").await?;
    let model = info["models"][0].as_str();
    model.map(str::to_owned).with_context(|| {
        let error = info["error"].as_str().unwrap_or("it serves no models");
        format!("runtime {runtime:?}: {error}")
    })
}

/// What the session's end makes of this command: the CLI's own exit code, where there is one.
fn conclude(session: &Value) -> ExitCode {
    let status = session["status"].as_str().unwrap_or_default();
    let usage = &session["usage"];
    let mut line = format!(
        "{status}; {} tokens in, {} out",
        usage["input_tokens"], usage["output_tokens"]
    );
    if let Some(cost) = usage["cost_usd"].as_f64() {
        line.push_str(&format!(", {cost:.4} USD"));
    }
    eprintln!("{line}");
    if let Some(error) = session["error"].as_str() {
        eprintln!("{error}");
    }
    match (status, session["exit_code"].as_i64()) {
        ("completed", _) => ExitCode::SUCCESS,
        (_, Some(code @ 1..=255)) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        _ => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_is_waited_for_only_where_it_may_be_the_one() {
        let listed = json!({"data": [
            {"name": "demo", "health": "ready", "credentials": []},
            {"name": "a", "health": "ready", "credentials": [{"variable": "A_KEY"}],
             "endpoint_variables": ["A_URL"]},
            {"name": "b", "health": "compiling", "credentials": []},
        ]});
        let choose = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            choose(&listed, &names)
        };
        assert_eq!(choose(&["PATH", "AOD_API_TOKEN"]), Some(None));
        assert_eq!(choose(&["B_KEY"]), None);
        let found = vec!["A_KEY".to_owned(), "A_URL".to_owned()];
        assert_eq!(
            choose(&["A_KEY", "A_URL", "B_KEY"]),
            Some(Some(("a".to_owned(), found)))
        );
    }
}
