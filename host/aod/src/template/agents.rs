//! `aod agent`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use aod_resources::Agent;
use clap::Subcommand;
use clap_complete::engine::ArgValueCandidates;

use super::definition::{Source, merge, read, set};
use super::{AGENTS, Fields};
use crate::ask::{pairs, scalar};
use crate::client::{Client, ENVIRONMENT};
use crate::complete;
use crate::terminal::{Sink, Table};

#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    /// List your agents that are not archived, newest first.
    #[command(visible_alias = "list")]
    Ls {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show an agent, as JSON.
    Show {
        #[command(flatten)]
        target: Target,
    },
    /// Create an agent, and print its id.
    Create {
        #[command(flatten)]
        definition: Definition,
        /// Print all of it, as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Change an agent: what is not named stays. Sessions that are there keep what they were made
    /// from.
    Update {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        definition: Definition,
        /// The version that is changed, so that nobody else's change is undone; the present one
        /// where neither this nor the file says.
        #[arg(long, value_name = "N")]
        version: Option<i64>,
        /// Print all of it, as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show all versions of an agent, newest first, as JSON.
    Versions {
        #[command(flatten)]
        target: Target,
    },
    /// Archive an agent for good: it starts no new session.
    Archive {
        #[command(flatten)]
        target: Target,
    },
}

/// Which agent.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Target {
    /// The agent: its name, its id, or the beginning of that.
    #[arg(add = ArgValueCandidates::new(complete::agents))]
    agent: String,
}

/// What an agent is.
#[derive(Debug, clap::Args)]
pub(crate) struct Definition {
    #[command(flatten)]
    source: Source,
    /// A name for people.
    #[arg(long)]
    name: Option<String>,
    /// The runtime, as declared in runtimes.toml.
    #[arg(long, value_name = "NAME", add = ArgValueCandidates::new(complete::runtimes))]
    runtime: Option<String>,
    /// The canonical model id.
    #[arg(long, value_name = "PROVIDER/MODEL", add = ArgValueCandidates::new(complete::models))]
    model: Option<String>,
    /// What is added to the CLI's own system prompt.
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// The same, from a file.
    #[arg(long, value_name = "FILE", conflicts_with = "system",
        value_hint = clap::ValueHint::FilePath)]
    system_file: Option<PathBuf>,
    /// What it is for.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// The environment of its sessions, by its name or id.
    #[arg(long, value_name = "ENVIRONMENT", add = ArgValueCandidates::new(complete::environments))]
    environment: Option<String>,
    /// A label; without a value, it is taken away. Can be given several times.
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// A value for an option of the runtime. Can be given several times.
    #[arg(long = "set", value_name = "OPTION=VALUE")]
    settings: Vec<String>,
    /// An upper bound for each turn: max_rounds, max_output_tokens or max_cost_usd. Can be given
    /// several times.
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    limits: Vec<String>,
}

impl Definition {
    async fn fields(&self, client: &Client) -> Result<Fields> {
        let mut fields = self.source.fields()?;
        set(&mut fields, "name", self.name.as_ref())?;
        set(&mut fields, "runtime", self.runtime.as_ref())?;
        set(&mut fields, "model", self.model.as_ref())?;
        set(&mut fields, "system", self.system.as_ref())?;
        if let Some(file) = &self.system_file {
            set(&mut fields, "system", Some(read(file)?))?;
        }
        set(&mut fields, "description", self.description.as_ref())?;
        if let Some(environment) = &self.environment {
            let id = client.id_of(ENVIRONMENT, environment).await?;
            set(&mut fields, "environment_id", Some(id))?;
        }
        let labels = pairs("--label", &self.labels)?;
        let labels = labels.into_iter().map(|(key, value)| (key, value.into()));
        merge(&mut fields, "metadata", labels.collect())?;
        for (field, option, given) in [
            ("settings", "--set", &self.settings),
            ("limits", "--limit", &self.limits),
        ] {
            let values = pairs(option, given)?;
            let values = values.into_iter().map(|(key, value)| (key, scalar(value)));
            merge(&mut fields, field, values.collect())?;
        }
        Ok(fields)
    }
}

impl AgentCommand {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let client = Client::from_env()?;
        crate::client::blocking(self.carry_out(&client))?;
        Ok(ExitCode::SUCCESS)
    }

    async fn carry_out(self, client: &Client) -> Result<()> {
        match self {
            Self::Ls { json } => AGENTS.list(client, json, table).await,
            Self::Show { target } => AGENTS.show(client, &target.agent).await,
            Self::Create { definition, json } => {
                let mut fields = definition.fields(client).await?;
                // What was shown of another agent has a version.
                fields.remove("version");
                for (name, flag) in [
                    ("name", "--name"),
                    ("runtime", "--runtime"),
                    ("model", "--model"),
                ] {
                    ensure!(
                        fields.contains_key(name),
                        "an agent has a name, a runtime and a model: give {flag}, or all of it with \
                         --from FILE"
                    );
                }
                AGENTS.create(client, fields, json).await
            }
            Self::Update {
                target,
                definition,
                version,
                json,
            } => {
                let fields = definition.fields(client).await?;
                AGENTS
                    .update(client, &target.agent, fields, version, json)
                    .await
            }
            Self::Versions { target } => AGENTS.versions(client, &target.agent).await,
            Self::Archive { target } => AGENTS.archive(client, &target.agent).await,
        }
    }
}

fn table(agents: &[Agent]) -> String {
    let mut table = Table::default();
    if Sink::Stdout.is_terminal() {
        table.row(["ID", "RUNTIME", "MODEL", "VERSION", "NAME"]);
    }
    for agent in agents {
        let (id, version) = (agent.id.to_string(), agent.version.to_string());
        table.row([&id, &agent.runtime, &agent.model, &version, &agent.name]);
    }
    table.text()
}
