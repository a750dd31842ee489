//! `aod backup`, `aod restore` and `aod upgrade`: work on the data folder; a server may be running on
//! the one that is backed up.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use aod_services::backup::{BackupOptions, restore, take};
use aod_services::upgrade;
use clap::Subcommand;

use crate::cli::DataLocation;
use crate::output::outln;

/// Take a backup of the data folder.
#[derive(Debug, clap::Args)]
pub(crate) struct Backup {
    /// The folder of the backup; it must not be there, or be empty. It has this name once the
    /// backup is whole.
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    into: PathBuf,
    /// Also homes and workspaces of sessions, without which they can be read and not gone on with,
    /// and the CLIs that were installed for them.
    #[arg(long)]
    workspaces: bool,
    /// Also the vault's identity: whoever has the backup can then open all secrets in it.
    #[arg(long)]
    identity: bool,
    /// Print what the backup says of itself, as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    location: DataLocation,
}

/// Put a backup back into an empty data folder.
#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    /// The folder of the backup.
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    from: PathBuf,
    #[command(flatten)]
    location: DataLocation,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UpgradeCommand {
    /// Say whether this release can take the data folder over; exits with 1 where it cannot.
    ///
    /// Nothing is changed. A server of an older release may be running on the folder.
    Check {
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        location: DataLocation,
    },
}

impl Backup {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let data = self.location.settings()?.data_dir;
        if self.identity {
            eprintln!(
                "aod: warning: with the vault's identity in it, whoever can read the backup can \
                 open every secret: keep it as you would keep the keys themselves"
            );
        }
        let options = BackupOptions {
            workspaces: self.workspaces,
            identity: self.identity,
        };
        let vault = crate::vault::configuration()?;
        let manifest = take(&data, &vault, &self.into, options)?;
        for tree in &manifest.partial {
            eprintln!("aod: warning: not all of it could be packed: {tree}");
        }
        if self.json {
            outln!("{}", serde_json::to_string_pretty(&manifest)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        outln!(
            "{}: {} sessions, {} files, {}",
            self.into.display(),
            manifest.sessions,
            manifest.files,
            bytesize::ByteSize(manifest.bytes)
        )?;
        if !self.identity {
            eprintln!(
                "secrets are sealed in it: keep the vault's identity apart from it \
                 (`aod vault status` says where it is), or nothing opens them again"
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Restore {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let data = self.location.settings()?.data_dir;
        let restored = restore(&self.from, &data)?;
        let manifest = restored.manifest;
        outln!(
            "{}: {} sessions as of {}",
            data.display(),
            manifest.sessions,
            manifest.taken_at
        )?;
        if let Some(identity) = restored.identity_missing {
            eprintln!(
                "put the vault's identity at {}, readable by its owner alone, or name it in \
                 AOD_VAULT_IDENTITY_FILE",
                identity.display()
            );
        }
        if !manifest.workspaces {
            eprintln!(
                "the backup has no homes and workspaces: its sessions can be read, and not gone on \
                 with"
            );
        }
        eprintln!("`aod vault verify` says whether all secrets open; then `aod serve`");
        Ok(ExitCode::SUCCESS)
    }
}

impl UpgradeCommand {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let Self::Check { json, location } = self;
        let data = location.settings()?.data_dir;
        let check = upgrade::check(&data);
        if json {
            outln!("{}", serde_json::to_string_pretty(&check)?)?;
        } else {
            for problem in &check.problems {
                outln!("{problem}")?;
            }
            match check.schema.filter(|_| check.can_take_over) {
                Some(schema) if schema < check.supported_schema => outln!(
                    "{} can be taken over: the first start brings its database from version \
                     {schema} to {}, and older releases cannot use it after that; take a backup \
                     first",
                    data.display(),
                    check.supported_schema
                )?,
                Some(_) => outln!("{} can be taken over as it is", data.display())?,
                None => outln!("{} cannot be taken over", data.display())?,
            }
        }
        Ok(match check.can_take_over {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }
}
