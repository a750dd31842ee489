//! Build, run and test the project.

mod bench;
mod chaos;
mod conformance;
mod console;
mod deny;
mod dist;
#[cfg(test)]
mod documents;
mod examples;
mod freeze;
mod fuzz;
mod machine;
mod plugins;
mod run;
mod server;
mod soak;
mod test;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about, bin_name = "cargo xtask", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build everything, start the server, run a first session and keep serving
    Run(run::Run),
    /// Install what the tests need and run everything that CI runs
    Test(test::Test),
    /// Build the runtime adapters into plugins/*.wasm
    Plugins {
        /// Show what Cargo does
        #[arg(long)]
        verbose: bool,
        /// Build the project that `aod runtime new` wrote there instead, with whatever compiler
        /// this machine has, and print where the core module is
        #[arg(long, value_name = "DIR")]
        project: Option<PathBuf>,
        /// Build the examples in JavaScript and Python, too, with tools from npm and PyPI, and
        /// check them; takes minutes
        #[arg(long, conflicts_with = "project")]
        examples: bool,
        /// Check the examples with this `aod` instead of building one
        #[arg(long, value_name = "FILE", requires = "examples")]
        aod: Option<PathBuf>,
    },
    /// Kill hosts, supervisors and CLIs under load, set the clock, and fill the disk
    Chaos(chaos::Chaos),
    /// Run good and hostile sessions on one server for a while, and see that the good ones do not
    /// suffer and nothing is left of the others
    Soak(soak::Soak),
    /// Hold the endpoint that offers agents their own tools against the official conformance suite
    /// of the Model Context Protocol, from npm
    Conformance,
    /// Search for inputs that break what must hold whatever the input is
    Fuzz(fuzz::Fuzz),
    /// Build the console from its sources into console/dist, which the server has in it
    Console(console::Console),
    /// Check the licences, sources and versions of all dependencies against deny.toml
    Deny,
    /// Run the benchmarks and write their table to docs/performance.md
    Bench(bench::Bench),
    /// Build a release: a folder, the same as .tar.zst and as a Debian package, with checksums and a
    /// list of all that is in it
    Dist(dist::Dist),
}

fn main() -> ExitCode {
    match work(Arguments::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn work(task: Task) -> Result<ExitCode> {
    let root = root();
    match task {
        Task::Run(run) => return run.run(&root),
        Task::Test(test) => test.run(&root)?,
        Task::Chaos(chaos) => chaos.run(&root)?,
        Task::Soak(soak) => soak.run(&root)?,
        Task::Conformance => conformance::run(&root)?,
        Task::Fuzz(fuzz) => fuzz.run(&root)?,
        Task::Console(console) => console.run(&root)?,
        Task::Deny => deny::check(&root)?,
        Task::Plugins {
            verbose,
            project: Some(project),
            ..
        } => {
            machine::prepare(&[machine::Need::Wasm])?;
            let module = plugins::build_elsewhere(&root, &project, verbose)?;
            println!("{}", module.display());
        }
        Task::Plugins {
            verbose,
            project: None,
            examples,
            aod,
        } => {
            machine::prepare(&[machine::Need::Wasm])?;
            for built in plugins::build_for_tests(&root, verbose)? {
                println!("{built}");
            }
            if examples {
                examples::build(&root, aod)?;
            }
        }
        Task::Bench(bench) => bench.run(&root)?,
        Task::Dist(dist) => dist.run(&root)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The workspace's folder.
fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_owned()
}

/// Where Cargo puts what it builds.
fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

/// Runs this toolchain's Cargo and fails when it does.
fn cargo(root: &Path, args: &[&str]) -> Result<()> {
    run_command(Command::new(env!("CARGO")).args(args).current_dir(root))
}

/// Runs a command, says which, and fails when it does.
fn run_command(command: &mut Command) -> Result<()> {
    let program = Path::new(command.get_program())
        .file_stem()
        .unwrap_or_default()
        .to_owned();
    let words = std::iter::once(program.as_os_str()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    let line = words.join(" ");
    eprintln!("$ {line}");
    let status = command
        .status()
        .with_context(|| format!("cannot run {line}"))?;
    ensure!(status.success(), "{line}: {status}");
    Ok(())
}
