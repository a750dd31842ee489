//! `aod token` and `aod user`: work on the data folder, with or without a running server.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use aod_resources::Timestamp;
use aod_services::users::Users;
use clap::Subcommand;
use secrecy::ExposeSecret;

use crate::cli::DataLocation;
use crate::output::outln;

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token and print it, alone, on stdout. It is not kept and cannot be shown again.
    Create {
        /// What it is for.
        name: String,
        /// The user that it stands for; `admin`, who is added on the first use, where nothing is
        /// said.
        #[arg(long, default_value = "admin")]
        user: String,
        /// For how long it is good, such as 30d or 12h; for ever where nothing is said.
        #[arg(long, value_parser = duration)]
        expires: Option<Duration>,
        #[command(flatten)]
        location: DataLocation,
    },
    /// List a user's tokens.
    Ls {
        /// The user.
        #[arg(long, default_value = "admin")]
        user: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        location: DataLocation,
    },
    /// Revoke a token for good.
    Revoke {
        /// Its id.
        id: uuid::Uuid,
        /// The user that it stands for.
        #[arg(long, default_value = "admin")]
        user: String,
        #[command(flatten)]
        location: DataLocation,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a user.
    Add {
        /// The user's name.
        name: String,
        /// Let the user reload runtimes and read metrics.
        #[arg(long)]
        admin: bool,
        #[command(flatten)]
        location: DataLocation,
    },
    /// List users.
    Ls {
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        location: DataLocation,
    },
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "write a time such as 30d, 12h or 90m".to_owned())
}

/// Runs what needs the users in a data folder.
fn with_users<T>(location: &DataLocation, work: impl AsyncFnOnce(Users) -> Result<T>) -> Result<T> {
    let settings = location.settings()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async { work(Users::open(&settings.data_dir).await?).await })
}

impl TokenCommand {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Self::Create {
                name,
                user,
                expires,
                location,
            } => with_users(&location, async |users| {
                // Only the default user is made by the way: a mistyped name should not be.
                let user = match user.as_str() {
                    "admin" => users.ensure("admin").await?,
                    name => match users.by_name(name).await {
                        Ok(user) => user,
                        Err(aod_services::Error::NotFound(_)) => {
                            bail!("there is no user {name:?}: add one with `aod user add {name}`")
                        }
                        Err(error) => return Err(error.into()),
                    },
                };
                let expires_at = expires.map(|good| {
                    let micros = i64::try_from(good.as_micros()).unwrap_or(i64::MAX);
                    Timestamp::from_micros(Timestamp::now().as_micros().saturating_add(micros))
                });
                let (_, secret) = users.create_token(user.id, name, expires_at).await?;
                outln!("{}", secret.expose_secret())?;
                Ok(ExitCode::SUCCESS)
            }),
            Self::Ls {
                user,
                json,
                location,
            } => with_users(&location, async |users| {
                let tokens = users.tokens(users.by_name(&user).await?.id).await?;
                if json {
                    outln!("{}", serde_json::to_string_pretty(&tokens)?)?;
                    return Ok(ExitCode::SUCCESS);
                }
                for token in tokens {
                    let state = match (token.revoked_at, token.expires_at) {
                        (Some(at), _) => format!("revoked {at}"),
                        (None, Some(at)) if at < Timestamp::now() => format!("expired {at}"),
                        (None, Some(at)) => format!("good until {at}"),
                        (None, None) => "good".to_owned(),
                    };
                    outln!("{}  {}  {state}", token.id, token.name)?;
                }
                Ok(ExitCode::SUCCESS)
            }),
            Self::Revoke { id, user, location } => with_users(&location, async |users| {
                let token = users
                    .revoke_token(users.by_name(&user).await?.id, id)
                    .await?;
                eprintln!("revoked {:?}", token.name);
                Ok(ExitCode::SUCCESS)
            }),
        }
    }
}

impl UserCommand {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Self::Add {
                name,
                admin,
                location,
            } => with_users(&location, async |users| {
                let user = users.add(&name, admin).await?;
                eprintln!(
                    "added {:?}; make a token with `aod token create NAME --user {name}`",
                    user.name
                );
                Ok(ExitCode::SUCCESS)
            }),
            Self::Ls { json, location } => with_users(&location, async |users| {
                let users = users.list().await?;
                if json {
                    let users: Vec<_> = users
                        .iter()
                        .map(|user| serde_json::json!({"id": user.id, "name": user.name, "admin": user.admin}))
                        .collect();
                    outln!("{}", serde_json::to_string_pretty(&users)?)?;
                    return Ok(ExitCode::SUCCESS);
                }
                for user in users {
                    outln!(
                        "{}  {}{}",
                        user.id,
                        user.name,
                        if user.admin { "  admin" } else { "" }
                    )?;
                }
                Ok(ExitCode::SUCCESS)
            }),
        }
    }
}
