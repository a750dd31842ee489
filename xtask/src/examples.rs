//! Builds and checks the example adapters in other languages than Rust.
//!
//! Their tools come from npm and PyPI, pinned in each example, and go below the target folder. An
//! example is built by the command that its README tells authors, and checked with the limits
//! that its row in `runtimes.toml` has.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::machine::{self, Need};
use crate::{run_command, server, target};

/// An example.
struct Example {
    /// Its folder below `plugins/examples`, and that of its tools.
    name: &'static str,
    /// Installs its tools: from the folder of the example into the second one. Returns the
    /// folder of the tools' programs.
    install: fn(&Path, &Path) -> Result<PathBuf>,
    /// Builds `counter.wasm` in the folder of the example.
    build: &'static [&'static str],
}

const EXAMPLES: [Example; 2] = [
    Example {
        name: "javascript",
        install: npm,
        build: &["npm", "run", "--silent", "build"],
    },
    Example {
        name: "python",
        install: pip,
        build: &["sh", "build.sh"],
    },
];

/// Builds all examples and has `aod` check them, which is built if none is given.
pub(crate) fn build(root: &Path, aod: Option<PathBuf>) -> Result<()> {
    machine::prepare(&[Need::Node, Need::Python])?;
    for example in &EXAMPLES {
        let folder = root.join("plugins/examples").join(example.name);
        let tools = target(root).join("examples").join(example.name);
        fs::create_dir_all(&tools).with_context(|| format!("cannot create {}", tools.display()))?;
        let programs = (example.install)(&folder, &tools)?;
        let begun = Instant::now();
        let mut build = Command::new(example.build[0]);
        build
            .args(&example.build[1..])
            .current_dir(&folder)
            .env("PATH", first_in_path(&programs)?);
        run_command(&mut build)?;
        let component = folder.join("counter.wasm");
        let size = fs::metadata(&component)
            .with_context(|| format!("there is no {}", component.display()))?
            .len();
        println!(
            "plugins/examples/{}/counter.wasm: {} KiB, built in {} s",
            example.name,
            size.div_ceil(1024),
            begun.elapsed().as_secs()
        );
    }
    let aod = match aod {
        Some(aod) => aod,
        None => {
            server::build(root, false, None)?;
            target(root).join("debug/aod")
        }
    };
    for example in &EXAMPLES {
        let folder = root.join("plugins/examples").join(example.name);
        let mut check = Command::new(&aod);
        check
            .args(["runtime", "check"])
            .arg(folder.join("runtimes.toml"))
            .arg("--transcript")
            .arg(folder.join("transcripts/counted.jsonl"));
        run_command(&mut check)?;
    }
    Ok(())
}

/// Installs what `package.json` pins.
fn npm(example: &Path, tools: &Path) -> Result<PathBuf> {
    let wanted = example.join("package.json");
    fs::copy(&wanted, tools.join("package.json"))
        .with_context(|| format!("cannot copy {}", wanted.display()))?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--loglevel=error"])
        .arg("--prefix")
        .arg(tools);
    run_command(npm.stdout(Stdio::null()))?;
    Ok(tools.join("node_modules/.bin"))
}

/// Installs what `requirements.txt` pins.
fn pip(example: &Path, tools: &Path) -> Result<PathBuf> {
    run_command(Command::new("python3").args(["-m", "venv"]).arg(tools))?;
    let programs = tools.join("bin");
    let mut pip = Command::new(programs.join("pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"])
        .arg("--requirement")
        .arg(example.join("requirements.txt"));
    run_command(&mut pip)?;
    Ok(programs)
}

/// `PATH` with this folder at its head.
fn first_in_path(folder: &Path) -> Result<impl AsRef<OsStr> + use<>> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_owned()).chain(env::split_paths(&path));
    env::join_paths(folders).with_context(|| format!("{} cannot be in PATH", folder.display()))
}
