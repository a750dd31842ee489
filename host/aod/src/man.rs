//! `aod man`: manual pages, made from what `--help` says.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Writes a page for the program and for each of its commands.
pub(crate) fn write(program: clap::Command, folder: &Path) -> Result<()> {
    let failed = || format!("cannot write manual pages into {}", folder.display());
    fs::create_dir_all(folder).with_context(failed)?;
    clap_mangen::generate_to(program, folder).with_context(failed)?;
    eprintln!("written into {}", folder.display());
    Ok(())
}
