//! `aod vault`: works on the data folder, with or without a running server.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aod_services::VaultConfig;
use aod_services::vault::{Keeper, Rotation};
use clap::Subcommand;
use secrecy::SecretString;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::cli::DataLocation;
use crate::output::outln;

#[derive(Debug, Subcommand)]
pub(crate) enum VaultCommand {
    /// Seal everything to a new identity and retire the old one, for good.
    ///
    /// A running server notices by itself. A rotation that was cut short is gone on with when this
    /// is run again; until then everything opens as before. With AOD_VAULT_PASSPHRASE_FILE set, the
    /// new identity is protected by that passphrase, which a running server must have been
    /// started with.
    Rotate {
        /// Delete values that do not open, instead of refusing to go on without them.
        #[arg(long)]
        discard_broken: bool,
        /// How long to wait for values that a running server has sealed and not stored yet.
        #[arg(long, default_value = "2s", value_parser = humantime::parse_duration)]
        grace: Duration,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        location: DataLocation,
    },
    /// Open every sealed value and name those that do not open; fails where there are any.
    Verify {
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        location: DataLocation,
    },
    /// Show where the identity is, how it is protected, and what is sealed to it.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        location: DataLocation,
    },
    /// Print the public half of the identity, `age1…`, alone: with it others can seal, and not
    /// open.
    ExportRecipient {
        #[command(flatten)]
        location: DataLocation,
    },
}

/// The vault's settings, from `AOD_VAULT_IDENTITY_FILE` and `AOD_VAULT_PASSPHRASE_FILE`.
pub(crate) fn configuration() -> Result<VaultConfig> {
    let file = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let passphrase = match file("AOD_VAULT_PASSPHRASE_FILE") {
        Some(file) => {
            let text = std::fs::read_to_string(&file).with_context(|| {
                format!("cannot read the vault's passphrase from {}", file.display())
            })?;
            let text = Zeroizing::new(text);
            Some(SecretString::from(text.trim_end_matches(['\r', '\n'])))
        }
        None => None,
    };
    Ok(VaultConfig {
        identity_file: file("AOD_VAULT_IDENTITY_FILE"),
        passphrase,
    })
}

/// Asks for the vault's passphrase on the terminal.
pub(crate) fn ask_passphrase() -> Result<SecretString> {
    rpassword::prompt_password("Passphrase of the vault: ")
        .map(SecretString::from)
        .context("cannot ask for the vault's passphrase")
}

async fn open(location: &DataLocation, begin_anew: bool) -> Result<Keeper> {
    let data = location.settings()?.data_dir;
    let mut config = configuration()?;
    match Keeper::open(&data, &config, begin_anew).await {
        Err(error) if error.wants_passphrase() && std::io::stdin().is_terminal() => {
            config.passphrase = Some(ask_passphrase()?);
            Ok(Keeper::open(&data, &config, begin_anew).await?)
        }
        opened => Ok(opened?),
    }
}

fn with_keeper<T>(
    location: &DataLocation,
    work: impl AsyncFnOnce(Keeper) -> Result<T>,
) -> Result<T> {
    with_keeper_of(location, false, work)
}

fn with_keeper_of<T>(
    location: &DataLocation,
    begin_anew: bool,
    work: impl AsyncFnOnce(Keeper) -> Result<T>,
) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async { work(open(location, begin_anew).await?).await })
}

fn print_json(value: &impl Serialize) -> Result<()> {
    outln!("{}", serde_json::to_string_pretty(value)?)?;
    Ok(())
}

impl VaultCommand {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Self::Rotate {
                discard_broken,
                grace,
                json,
                location,
            } => with_keeper_of(&location, discard_broken, async |keeper| {
                let rotation = Rotation {
                    grace,
                    discard_broken,
                };
                let done = keeper.rotate(rotation).await?;
                if json {
                    print_json(&done)?;
                    return Ok(ExitCode::SUCCESS);
                }
                outln!("sealed {} values to {}", done.resealed, done.recipient)?;
                if done.discarded > 0 {
                    outln!("deleted {} values that did not open", done.discarded)?;
                }
                outln!("the old identity opens nothing any more: delete your copies of it")?;
                Ok(ExitCode::SUCCESS)
            }),
            Self::Verify { json, location } => with_keeper(&location, async |keeper| {
                let verified = keeper.verify().await?;
                if json {
                    print_json(&verified)?;
                } else {
                    for it in &verified.broken {
                        outln!(
                            "{} {} {:?} of {}: {}",
                            it.kind,
                            it.record,
                            it.name,
                            it.owner,
                            it.problem
                        )?;
                    }
                    let broken = verified.broken.len();
                    outln!("{} values open, {broken} do not", verified.opened)?;
                }
                Ok(match verified.broken.is_empty() {
                    true => ExitCode::SUCCESS,
                    false => ExitCode::FAILURE,
                })
            }),
            Self::Status { json, location } => with_keeper(&location, async |keeper| {
                let status = keeper.status().await?;
                if json {
                    print_json(&status)?;
                    return Ok(ExitCode::SUCCESS);
                }
                let protection = match status.protected {
                    true => "protected by a passphrase",
                    false => "not protected by a passphrase",
                };
                outln!(
                    "identity   {} ({protection})",
                    status.identity_file.display()
                )?;
                outln!("recipient  {}", status.recipient)?;
                outln!("sealed     {} values", status.sealed)?;
                if status.rotating {
                    outln!(
                        "rotation   under way, {} values to go: `aod vault rotate` goes on with it",
                        status.left
                    )?;
                } else if status.left > 0 {
                    outln!(
                        "warning    {} values are sealed to another identity and do not open: see \
                         `aod vault verify`",
                        status.left
                    )?;
                }
                Ok(ExitCode::SUCCESS)
            }),
            Self::ExportRecipient { location } => with_keeper(&location, async |keeper| {
                outln!("{}", keeper.recipient())?;
                Ok(ExitCode::SUCCESS)
            }),
        }
    }
}
