//! `cargo xtask test`: everything that CI runs.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;

use crate::machine::{self, Need};
use crate::{cargo, console, deny, fuzz, plugins, run_command, soak, target};

/// What the whole set of tests is built with; another selection would build all once more.
pub(crate) const FEATURES: &[&str] = &["--features", "aod-e2e/clis"];

/// How long each fuzz target is run: enough to see that it runs, and to find what is shallow.
const FUZZ_SECONDS: u32 = 5;

/// Install what the tests need and run everything that CI runs.
#[derive(Debug, clap::Args)]
pub(crate) struct Test {
    /// The inner loop: no vendors' CLIs, no published client, no proxy, no lints
    #[arg(long)]
    fast: bool,
    /// Run only tests whose name contains this
    filter: Option<String>,
}

impl Test {
    pub(crate) fn run(&self, root: &Path) -> Result<()> {
        machine::prepare(&[
            Need::Wasm,
            Need::Bubblewrap,
            Need::Node,
            Need::Python,
            Need::GitLfs,
            Need::Zstd,
        ])?;
        if !self.fast {
            machine::prepare(&[Need::Nginx, Need::Faketime, Need::Cpp, Need::Chromium])?;
        }
        for built in plugins::build_for_tests(root, false)? {
            eprintln!("{built}");
        }
        if !self.fast {
            std::thread::scope(|scope| {
                // From the network, while the processors have other work.
                let clis = scope.spawn(|| machine::install_clis(&target(root)));
                // Before the tests: what does not lint is not worth the wait.
                lint(root)?;
                deny::check(root)?;
                console::check(root)?;
                clis.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })?;
        }
        build(root, self.features())?;
        if !self.fast && self.filter.is_none() {
            let doc = ["test", "--quiet", "--workspace", "--doc"];
            cargo(root, &[&doc[..], self.features()].concat())?;
            fuzz::smoke(root, FUZZ_SECONDS)?;
            soak::smoke(root)?;
        }
        self.tests(root)
    }

    fn features(&self) -> &'static [&'static str] {
        if self.fast { &[] } else { FEATURES }
    }

    /// The tests themselves, last, so that the output ends with the runner's summary.
    fn tests(&self, root: &Path) -> Result<()> {
        let nextest = has_nextest();
        let mut test = Command::new(env!("CARGO"));
        test.current_dir(root);
        match nextest {
            true => test.args(["nextest", "run", "--no-fail-fast"]),
            false => test.args(["test", "--no-fail-fast", "--tests"]),
        };
        test.arg("--workspace").args(self.features());
        if let Some(filter) = &self.filter {
            test.arg(filter);
        }
        test.env("AOD_TEST_CLIS", target(root).join("clis"))
            // As many as `.config/nextest.toml` lets run at once.
            .env("RUST_TEST_THREADS", "3");
        run_command(&mut test)
    }
}

fn lint(root: &Path) -> Result<()> {
    cargo(root, &["fmt", "--all", "--check"])?;
    fuzz::lint(root)?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--all-features"];
    cargo(
        root,
        &[&clippy[..], &["--quiet", "--", "-D", "warnings"]].concat(),
    )?;
    let mut doc = Command::new(env!("CARGO"));
    doc.args(["doc", "--workspace", "--no-deps", "--quiet"])
        // There are no examples, but where they are asked for, dependencies have the features
        // that they have for the tests. Otherwise some would have fewer, and these and all that
        // rests on them, the engine among it, would be checked once more.
        .args(["--all-features", "--examples"])
        // Named, since all programs would include those that have their library's name.
        .args(["--lib", "--bin", "aod", "--bin", "xtask"])
        .current_dir(root);
    run_command(doc.env("RUSTDOCFLAGS", "-D warnings"))
}

/// Builds the tests and the programs that they start together: a selection of its own would have
/// other features of the dependencies, and build them all once more.
pub(crate) fn build(root: &Path, features: &[&str]) -> Result<()> {
    let build = ["build", "--quiet", "--workspace", "--bins", "--tests"];
    cargo(root, &[&build[..], features].concat())
}

fn has_nextest() -> bool {
    let mut probe = Command::new(env!("CARGO"));
    probe
        .args(["nextest", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}
