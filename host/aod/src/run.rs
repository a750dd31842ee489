//! `aod run`: one prompt in a new session.

mod choose;

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use aod_resources::Agent;
use clap_complete::engine::ArgValueCandidates;
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use self::choose::{at_hand, first_model};
use crate::ask::{Ask, pairs};
use crate::client::{AGENT, Client, ENVIRONMENT, Repository, SessionAck, SessionRequest};
use crate::complete;
use crate::output::outln;
use crate::signals::{Stop, Stops};
use crate::turn::{View, Which};
use crate::watch::Watch;

/// Run one prompt in a new session and show what the agent does.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    #[command(flatten)]
    ask: Ask,
    /// The agent, by its name or id. Where none is named, one is made for this session alone.
    #[arg(long, value_name = "AGENT", conflicts_with_all = ["runtime", "model", "system"],
        add = ArgValueCandidates::new(complete::agents))]
    agent: Option<String>,
    /// The environment, by its name or id.
    #[arg(long, value_name = "ENVIRONMENT", add = ArgValueCandidates::new(complete::environments))]
    environment: Option<String>,
    /// The runtime, as declared in runtimes.toml. Where nothing is said: the first one that has a
    /// credential in this command's environment, which the session is then given, else `demo`.
    #[arg(long, value_name = "NAME", add = ArgValueCandidates::new(complete::runtimes))]
    runtime: Option<String>,
    /// The canonical model id; the runtime's first where nothing is said.
    #[arg(long, value_name = "PROVIDER/MODEL", add = ArgValueCandidates::new(complete::models))]
    model: Option<String>,
    /// What is added to the CLI's own system prompt.
    #[arg(long)]
    system: Option<String>,
    /// Clone this git repository into the workspace; behind a `#`, a branch, tag or commit. Can be
    /// given several times.
    #[arg(long = "repo", value_name = "URL[#REF]")]
    repositories: Vec<String>,
    /// The variable of yours that has the token which the repositories are fetched with.
    #[arg(long, value_name = "NAME", requires = "repositories")]
    repo_token: Option<String>,
    /// Give the session this variable of yours, by its name. The value is sealed and goes to the
    /// sandbox alone. Can be given several times.
    #[arg(long = "env", value_name = "NAME")]
    env: Vec<String>,
    /// Give the session a variable that is no secret. Can be given several times.
    #[arg(long = "var", value_name = "NAME=VALUE")]
    vars: Vec<String>,
    /// A name for the session; the prompt's first words where nothing is said.
    #[arg(long)]
    title: Option<String>,
    /// A label for the session. Can be given several times.
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Print the session's id and leave: the turn goes on without this command.
    #[arg(long, conflicts_with = "raw")]
    detach: bool,
    #[command(flatten)]
    view: View,
}

impl Run {
    pub(crate) fn run(self) -> Result<ExitCode> {
        crate::client::blocking(self.session())
    }

    async fn session(self) -> Result<ExitCode> {
        let client = Client::from_env()?;
        let mut stops = Stops::listen()?;
        let first = self.ask.request(&mut stops).await?;
        let mut variables = self.env.clone();
        let environment = match &self.environment {
            Some(environment) => Some(client.id_of(ENVIRONMENT, environment).await?),
            None => None,
        };
        let (agent, made) = match &self.agent {
            Some(agent) => (client.id_of(AGENT, agent).await?, None),
            None => {
                let made = self.agent(&client, &mut variables);
                let agent = stops.before(made).await??;
                (agent, Some(agent))
            }
        };
        let request = SessionRequest {
            agent_id: Some(agent),
            environment_id: environment,
            title: self.title.clone().or_else(|| first.prompt.title()),
            metadata: pairs("--label", &self.labels)?,
            secret_env_vars: secrets(&variables)?,
            vars: pairs("--var", &self.vars)?,
            resources: self.repositories()?,
            first,
        };
        let (session, stop) = create(&client, &mut stops, &request).await;
        if let Some(made) = made {
            // It was made for this one session, which keeps its own copy.
            let path = format!("/agents/{made}/archive");
            if let Err(error) = client.send(Method::POST, &path, None).await {
                eprintln!(
                    "aod: the agent {made} is left: {}",
                    crate::output::explain(&error)
                );
            }
        }
        let session = session?;
        let mut watch = Watch {
            client: &client,
            session,
            stops: &mut stops,
            is_owner: true,
        };
        if let Some(stop) = stop
            && watch.stop(stop).await.is_break()
        {
            return Ok(ExitCode::from(watch.stops.code().unwrap_or(1)));
        }
        if self.detach {
            match self.view.is_json() {
                true => outln!("{}", json!({"id": session}))?,
                false => outln!("{session}")?,
            }
            return Ok(ExitCode::SUCCESS);
        }
        eprintln!("session {session}");
        let which = Which {
            turn: Some(1),
            after: None,
            is_first: true,
        };
        self.view.follow(&mut watch, which).await
    }

    /// Makes an agent for this session, and says which variables go with it.
    async fn agent(&self, client: &Client, variables: &mut Vec<String>) -> Result<Uuid> {
        let runtime = match &self.runtime {
            Some(runtime) => runtime.clone(),
            None => {
                let (runtime, found) = at_hand(client).await?;
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
            None => first_model(client, &runtime).await?,
        };
        let agent = json!({
            "name": "aod run", "runtime": runtime, "model": model, "system": self.system,
        });
        let agent: Agent = client.post("/agents", &agent).await?;
        Ok(agent.id)
    }

    fn repositories(&self) -> Result<Vec<Repository>> {
        let token = match &self.repo_token {
            Some(name) => Some(variable("--repo-token", name)?),
            None => None,
        };
        let repository = |given: &String| {
            let (url, checkout) = match given.split_once('#') {
                Some((url, checkout)) => (url, Some(checkout.to_owned())),
                None => (given.as_str(), None),
            };
            if !url.contains("://") {
                bail!(
                    "--repo {given}: it should be a URL that the server can fetch, such as \
                     https://github.com/owner/repository"
                );
            }
            Ok(Repository {
                r#type: "git_repository",
                url: url.to_owned(),
                checkout,
                authorization_token: token.clone(),
            })
        };
        self.repositories.iter().map(repository).collect()
    }
}

/// Creates the session. A signal that comes meanwhile is kept until it is there, so that nothing
/// runs which nobody knows of.
async fn create(
    client: &Client,
    stops: &mut Stops,
    request: &SessionRequest,
) -> (Result<Uuid>, Option<Stop>) {
    let mut stop = None;
    let made = client.submit::<SessionAck>("/sessions", request);
    let mut made = std::pin::pin!(made);
    loop {
        tokio::select! {
            biased;
            made = &mut made => return (made.map(|ack| ack.id), stop),
            next = stops.next() => {
                eprintln!("stopping the session as soon as it is there");
                if next == Stop::Leave {
                    return (Err(anyhow::anyhow!("left before the session was there")), None);
                }
                stop = Some(next);
            }
        }
    }
}

fn secrets(names: &[String]) -> Result<BTreeMap<String, String>> {
    let secret = |name: &String| Ok((name.clone(), variable("--env", name)?));
    names.iter().map(secret).collect()
}

fn variable(option: &str, name: &str) -> Result<String> {
    if let Some((name, _)) = name.split_once('=') {
        // Every process of the machine has read it by now.
        bail!(
            "{option} takes the name of a variable of yours, and not its value, which other \
             processes could read: export {name}, and give {option} {name}; what is no secret goes \
             in with --var"
        );
    }
    std::env::var(name).with_context(|| format!("{option} {name}: the variable is not set here"))
}
