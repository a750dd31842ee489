//! `cargo xtask fuzz`: the targets in `fuzz/`, by libFuzzer.
//!
//! The coverage that steers libFuzzer needs two flags of the compiler and no other compiler than
//! the one that builds everything else. Targets are a workspace of their own, built in a folder of
//! their own below the target folder, since the flags reach every dependency.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::machine::{self, Need};
use crate::{run_command, target};

/// Search for inputs that break what must hold whatever the input is.
#[derive(Debug, clap::Args)]
pub(crate) struct Fuzz {
    /// The target, or all of them: see fuzz/README.md
    target: Option<String>,
    /// How long each is run
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Run a target on this input once, to see what it does
    #[arg(long, value_name = "FILE", requires = "target")]
    input: Option<PathBuf>,
}

/// A fuzz target.
struct Target {
    /// The name of the program, and of the folder of its seeds.
    name: &'static str,
    /// Whether it needs the WebAssembly engine.
    runtime: bool,
    /// The longest input, in bytes.
    longest: u32,
    /// Folders with more inputs to begin with.
    seeds: &'static [&'static str],
}

const TARGETS: [Target; 10] = [
    Target::new("segment", 4096),
    Target::new("log", 4096),
    Target::new("control", 4096),
    Target::new("redact", 1024),
    Target::new("resume", 64),
    Target::new("file_path", 256),
    Target::new("egress", 512),
    Target {
        seeds: &[
            "plugins/acp/tests/transcripts",
            "plugins/claude/tests/transcripts",
            "plugins/codex/tests/transcripts",
            "plugins/gemini/tests/transcripts",
            "plugins/opencode/tests/transcripts",
        ],
        ..Target::new("adapters", 16_384)
    },
    Target {
        runtime: true,
        ..Target::new("manifest", 4096)
    },
    Target {
        runtime: true,
        ..Target::new("guest", 1024)
    },
];

impl Target {
    const fn new(name: &'static str, longest: u32) -> Self {
        Self {
            name,
            runtime: false,
            longest,
            seeds: &[],
        }
    }
}

/// What makes the compiler count the edges that a run takes, and what they compare.
const RUSTFLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
];

impl Fuzz {
    pub(crate) fn run(&self, root: &Path) -> Result<()> {
        let chosen: Vec<&Target> = TARGETS
            .iter()
            .filter(|target| self.target.as_deref().is_none_or(|it| it == target.name))
            .collect();
        if chosen.is_empty() {
            let names = TARGETS.map(|target| target.name).join(", ");
            bail!("there is no such target; there are {names}");
        }
        machine::prepare(&[Need::Cpp])?;
        let programs = build(root, chosen.iter().any(|target| target.runtime))?;
        for target in chosen {
            let program = programs.join(target.name);
            match &self.input {
                Some(input) => run_command(Command::new(program).arg(input))?,
                None => target.search(root, &program, self.seconds)?,
            }
        }
        Ok(())
    }
}

/// Builds and runs the targets that are quick to build, for so long each.
pub(crate) fn smoke(root: &Path, seconds: u32) -> Result<()> {
    let programs = build(root, false)?;
    for target in TARGETS.iter().filter(|target| !target.runtime) {
        target.search(root, &programs.join(target.name), seconds)?;
    }
    Ok(())
}

/// Checks the format, which `cargo fmt --all` does not for another workspace.
pub(crate) fn lint(root: &Path) -> Result<()> {
    let mut fmt = Command::new(env!("CARGO"));
    fmt.args(["fmt", "--check"]);
    run_command(fmt.current_dir(root.join("fuzz")))
}

/// Builds the targets; returns the folder of the programs.
fn build(root: &Path, runtime: bool) -> Result<PathBuf> {
    let host = host()?;
    let target_dir = target(root).join("fuzz");
    let mut build = Command::new(env!("CARGO"));
    build
        .current_dir(root.join("fuzz"))
        // With a target named, the flags do not reach build scripts and macros.
        .args(["build", "--quiet", "--bins", "--target", &host])
        .arg("--target-dir")
        .arg(&target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", RUSTFLAGS.join("\x1f"));
    if runtime {
        build.args(["--features", "runtime"]);
    }
    run_command(&mut build)?;
    Ok(target_dir.join(host).join("debug"))
}

/// The machine that programs run on, as the compiler calls it.
fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--print", "host-tuple"])
        .output()
        .context("cannot run rustc")?;
    ensure!(output.status.success(), "rustc: {}", output.status);
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

impl Target {
    /// Searches for so long; what breaks the target is an error, and kept in a file.
    fn search(&self, root: &Path, program: &Path, seconds: u32) -> Result<()> {
        let kept = target(root).join("fuzz/corpus").join(self.name);
        std::fs::create_dir_all(&kept)
            .with_context(|| format!("cannot create {}", kept.display()))?;
        let artifacts = target(root).join("fuzz/found");
        std::fs::create_dir_all(&artifacts)
            .with_context(|| format!("cannot create {}", artifacts.display()))?;
        let mut search = Command::new(program);
        search
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={}", self.longest))
            .arg(format!(
                "-artifact_prefix={}/{}-",
                artifacts.display(),
                self.name
            ))
            // A run takes microseconds; what takes so long hangs.
            .args(["-timeout=10", "-rss_limit_mb=2048", "-verbosity=0"])
            .arg("-print_final_stats=1")
            // New inputs are kept in the first folder; the others are only read.
            .arg(kept);
        let own = Path::new("fuzz/seeds").join(self.name);
        let seeds = self.seeds.iter().map(Path::new).chain([own.as_path()]);
        search.args(
            seeds
                .map(|folder| root.join(folder))
                .filter(|it| it.is_dir()),
        );
        run_command(&mut search)
    }
}
