//! `aod env`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use aod_resources::{EnvironmentDetail, NetworkingKind, PackageLayer, PackageLayerState};
use clap::Subcommand;
use clap_complete::engine::ArgValueCandidates;
use reqwest::Method;
use serde_json::{Value, json};

use super::definition::{Source, merge, read, set};
use super::{ENVIRONMENTS, Fields};
use crate::ask::pairs;
use crate::client::Client;
use crate::complete;
use crate::terminal::{Sink, Table, age, size};

#[derive(Debug, Subcommand)]
pub(crate) enum EnvironmentCommand {
    /// List your environments that are not archived, newest first.
    #[command(visible_alias = "list")]
    Ls {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show an environment, as JSON. Its secrets are in no answer.
    Show {
        #[command(flatten)]
        target: Target,
    },
    /// Create an environment, and print its id.
    Create {
        #[command(flatten)]
        definition: Definition,
        /// Print all of it, as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Change an environment: what is not named stays; packages, variables and secrets are each
    /// replaced as a whole. Sessions that are there keep what they were made from.
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
    /// Show all versions of an environment, newest first, as JSON.
    Versions {
        #[command(flatten)]
        target: Target,
    },
    /// Archive an environment for good: it starts no new session.
    Archive {
        #[command(flatten)]
        target: Target,
    },
    /// Delete an environment that no session was ever made with.
    Rm {
        #[command(flatten)]
        target: Target,
    },
}

/// Which environment.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Target {
    /// The environment: its name, its id, or the beginning of that.
    #[arg(add = ArgValueCandidates::new(complete::environments))]
    environment: String,
}

/// What an environment is.
#[derive(Debug, clap::Args)]
pub(crate) struct Definition {
    #[command(flatten)]
    source: Source,
    /// A name for people.
    #[arg(long)]
    name: Option<String>,
    /// A package to install, with its manager: apt, cargo, gem, go, npm or pip. Can be given several
    /// times.
    #[arg(long = "package", value_name = "MANAGER=NAME")]
    packages: Vec<String>,
    /// The script that is run once, before a session's first turn.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    setup: Option<PathBuf>,
    /// Let its sandboxes reach this host, and others that are named so, and nothing else. Can be
    /// given several times.
    #[arg(long = "allow-host", value_name = "HOST")]
    hosts: Vec<String>,
    /// A variable that is no secret. Can be given several times.
    #[arg(long = "var", value_name = "NAME=VALUE")]
    vars: Vec<String>,
    /// A secret: the variable of yours with this name. It is sealed, and never shown again. Can be
    /// given several times.
    #[arg(long = "secret", value_name = "NAME")]
    secrets: Vec<String>,
}

impl Definition {
    fn fields(&self) -> Result<Fields> {
        let mut fields = self.source.fields()?;
        set(&mut fields, "name", self.name.as_ref())?;
        if let Some(file) = &self.setup {
            set(&mut fields, "setup_script", Some(read(file)?))?;
        }
        for given in &self.packages {
            let Some((manager, package)) = given.split_once('=') else {
                bail!("--package takes MANAGER=NAME, such as npm=typescript");
            };
            let packages = fields.entry("packages").or_insert_with(|| json!({}));
            let of_manager = &mut packages[manager];
            match of_manager {
                Value::Array(names) => names.push(package.into()),
                other => *other = json!([package]),
            }
        }
        if !self.hosts.is_empty() {
            let networking = [
                ("type".to_owned(), json!("limited")),
                ("allowed_hosts".to_owned(), json!(self.hosts)),
            ];
            merge(&mut fields, "networking", networking.into())?;
        }
        let vars = pairs("--var", &self.vars)?;
        let vars = vars.into_iter().map(|(name, value)| (name, value.into()));
        merge(&mut fields, "vars", vars.collect())?;
        let secret = |name: &String| -> Result<(String, Value)> {
            ensure!(
                !name.contains('='),
                "--secret takes the name of a variable of yours, and not its value, which other \
                 processes could read"
            );
            let value = std::env::var(name)
                .with_context(|| format!("--secret {name}: the variable is not set here"))?;
            Ok((name.clone(), value.into()))
        };
        let secrets: Result<_> = self.secrets.iter().map(secret).collect();
        merge(&mut fields, "env_vars", secrets?)?;
        Ok(fields)
    }
}

impl EnvironmentCommand {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let client = Client::from_env()?;
        crate::client::blocking(self.carry_out(&client))?;
        Ok(ExitCode::SUCCESS)
    }

    async fn carry_out(self, client: &Client) -> Result<()> {
        match self {
            Self::Ls { json } => ENVIRONMENTS.list(client, json, table).await,
            Self::Show { target } => ENVIRONMENTS.show(client, &target.environment).await,
            Self::Create { definition, json } => {
                let mut fields = definition.fields()?;
                // What was shown of another environment has a version.
                fields.remove("version");
                ensure!(
                    fields.contains_key("name"),
                    "an environment has a name: give --name, or all of it with --from FILE"
                );
                ENVIRONMENTS.create(client, fields, json).await
            }
            Self::Update {
                target,
                definition,
                version,
                json,
            } => {
                let fields = definition.fields()?;
                ENVIRONMENTS
                    .update(client, &target.environment, fields, version, json)
                    .await
            }
            Self::Versions { target } => ENVIRONMENTS.versions(client, &target.environment).await,
            Self::Archive { target } => ENVIRONMENTS.archive(client, &target.environment).await,
            Self::Rm { target } => {
                let id = client
                    .id_of(ENVIRONMENTS.named, &target.environment)
                    .await?;
                let path = format!("{}/{id}/delete", ENVIRONMENTS.path);
                client.send(Method::DELETE, &path, None).await?;
                eprintln!("deleted {id}");
                Ok(())
            }
        }
    }
}

fn table(environments: &[EnvironmentDetail]) -> String {
    let mut table = Table::default();
    if Sink::Stdout.is_terminal() {
        table.row(["ID", "NETWORK", "VERSION", "PACKAGES", "NAME"]);
    }
    for detail in environments {
        let environment = &detail.environment;
        let (id, version) = (environment.id.to_string(), environment.version.to_string());
        let network = match environment.networking.kind {
            NetworkingKind::Unrestricted => "unrestricted",
            NetworkingKind::Limited => "limited",
        };
        let packages = detail
            .package_layer
            .as_ref()
            .map_or("-".to_owned(), packages);
        table.row([&id, network, &version, &packages, &environment.name]);
    }
    table.text()
}

/// What there is of an environment's packages: their size, and how old they are.
fn packages(layer: &PackageLayer) -> String {
    match (layer.state, layer.size_bytes, layer.built_at) {
        (PackageLayerState::Ready, Some(bytes), Some(built)) => {
            format!("{}, {}", size(bytes), age(built))
        }
        (PackageLayerState::Building, ..) => "building".to_owned(),
        _ => "missing".to_owned(),
    }
}
