//! `cargo xtask dist`: the release folder.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::machine::{self, Need};
use crate::{freeze, plugins, server, target};

/// Builds the release folder at `out`.
pub(crate) fn build(root: &Path, out: &Path) -> Result<()> {
    freeze::check(root)?;
    machine::prepare(&[Need::Wasm])?;
    let built = plugins::build(root, false)?;
    server::build(root, true)?;
    let plugins = out.join("plugins");
    fs::create_dir_all(&plugins)?;
    let copy = |from: &Path, to: &Path| {
        let copied = fs::copy(from, to);
        copied.with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
    };
    for program in server::PROGRAMS {
        copy(
            &target(root).join("release").join(program),
            &out.join(program),
        )?;
    }
    for file in ["runtimes.toml", "LICENSE", "README.md"] {
        copy(&root.join(file), &out.join(file))?;
    }
    for component in built {
        copy(
            &component.path,
            &plugins.join(format!("{}.wasm", component.name)),
        )?;
    }
    println!("{}", out.display());
    Ok(())
}
