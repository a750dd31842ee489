//! `cargo xtask bench`: the benchmarks, and the table of their ratios in `docs/performance.md`.

mod bar;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::machine::{self, Need};
use crate::{cargo, plugins, target};

/// Run the benchmarks and write their table to docs/performance.md
#[derive(Debug, clap::Args)]
pub(crate) struct Bench {
    /// Run only the bench target of this name, and leave the table as it is
    only: Option<String>,
}

/// The targets that print rows of the table, in its order.
const TARGETS: [&str; 7] = [
    "adapter", "ingest", "scale", "start", "gateway", "copies", "load",
];
/// Everything behind this line is written anew.
const TABLE: &str =
    "| what | measured | against | ratio | bar | met |\n|---|---|---|---|---|---|\n";

impl Bench {
    pub(crate) fn run(&self, root: &Path) -> Result<()> {
        machine::prepare(&[Need::Wasm, Need::Bubblewrap, Need::Nginx, Need::Node])?;
        machine::install_clis(&target(root))?;
        plugins::build(root, false)?;
        // With the programs that the load driver starts. One selection: another would have other
        // features of the dependencies, and build them all once more.
        let mut build = vec!["build", "--release", "--workspace", "--bins"];
        build.extend(TARGETS.iter().flat_map(|target| ["--bench", target]));
        cargo(root, &build)?;
        if let Some(only) = &self.only {
            report(&rows(root, only)?);
            return Ok(());
        }
        let mut table = String::new();
        let mut all = Vec::new();
        for target in TARGETS {
            for row in rows(root, target)? {
                table.push_str(&row);
                table.push('\n');
                all.push(row);
            }
        }
        report(&all);
        let path = root.join("docs/performance.md");
        let page = std::fs::read_to_string(&path).context("cannot read docs/performance.md")?;
        let (text, _) = page
            .split_once(TABLE)
            .context("docs/performance.md has no table to replace")?;
        std::fs::write(&path, format!("{text}{TABLE}{table}"))
            .context("cannot write docs/performance.md")
    }
}

/// Says which bars were missed. That is no failure: the machine may be busy, or another one.
fn report(rows: &[String]) {
    for row in rows.iter().filter(|row| row.contains(bar::MISSED)) {
        eprintln!("misses its bar: {row}");
    }
}

/// Runs one target, shows what it prints, and returns the rows among it, each judged by its bar.
fn rows(root: &Path, target: &str) -> Result<Vec<String>> {
    let mut bench = Command::new(env!("CARGO"))
        .args(["bench", "--workspace", "--bench", target])
        .current_dir(root)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run cargo bench")?;
    let mut rows = Vec::new();
    if let Some(output) = bench.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line?;
            println!("{line}");
            if line.starts_with("| ") {
                rows.push(bar::judged(&line)?);
            }
        }
    }
    let status = bench.wait()?;
    ensure!(status.success(), "the bench {target} failed: {status}");
    Ok(rows)
}
