//! `aod runtime check`.

use crate::output::outln;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use aod_runtime::manifest::Manifest;
use aod_runtime::trial::{self, Finding, Report, Scenario, Transcript, Trial, Verdict};
use aod_runtime::{Digest, Engine, Settings};
use bytesize::ByteSize;

#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// Components; or runtimes.toml, for all that it declares, with their pins, options and limits.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The runtime's options, as a JSON object or as TOML such as 'level = 3'.
    #[arg(long, value_name = "JSON|TOML")]
    options: Option<String>,
    /// Recorded stdout of the CLI, one turn a file. NAME.stderr and NAME.exit.json ({"code": 0})
    /// beside NAME.jsonl are used too. For several, say it several times.
    #[arg(long, value_name = "NAME.jsonl")]
    transcript: Vec<PathBuf>,
    /// A conversation to be played: inputs, output of the CLI, and what is expected in between, as
    /// plugins/README.md describes it. For several, say it several times.
    #[arg(long, value_name = "NAME.scenario.jsonl")]
    scenario: Vec<PathBuf>,
    /// The SHA-256 that the component should have.
    #[arg(long, value_name = "HEX")]
    sha256: Option<Digest>,
    /// Memory of an instance, instead of 64MiB.
    #[arg(long, value_name = "SIZE")]
    memory: Option<ByteSize>,
    /// How long a call may take, instead of 250ms.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    call_deadline: Option<Duration>,
    /// How long the compiler may take, instead of 60s.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    compile_deadline: Option<Duration>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(self) -> Result<ExitCode> {
        let engine = Engine::on_demand()?;
        let mut reports = Vec::new();
        for file in &self.files {
            if file
                .extension()
                .is_some_and(|extension| extension == "toml")
            {
                self.manifest(&engine, file, &mut reports)?;
            } else {
                let trial = self.trial(file, self.sha256, Settings::default())?;
                reports.push(trial::run(&engine, &trial));
            }
        }
        if self.json {
            outln!("{}", serde_json::to_string_pretty(&reports)?)?;
        } else {
            for report in &reports {
                crate::output::write(format_args!("{}", text(report)))?;
            }
        }
        Ok(match reports.iter().all(Report::passed) {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }

    fn manifest(&self, engine: &Engine, file: &Path, reports: &mut Vec<Report>) -> Result<()> {
        let manifest = Manifest::read(file)?;
        let problems: Vec<Finding> = manifest
            .problems()
            .map(|problem| Finding {
                verdict: Verdict::Failed,
                check: "manifest",
                detail: problem.to_string(),
            })
            .collect();
        if !problems.is_empty() {
            reports.push(Report {
                component: file.to_owned(),
                sha256: None,
                bytes: None,
                findings: problems,
            });
        }
        for declared in manifest.runtimes.into_values().flatten() {
            if declared.enabled {
                let trial = self.trial(&declared.component, declared.sha256, declared.settings)?;
                reports.push(trial::run(engine, &trial));
            }
        }
        Ok(())
    }

    fn trial(&self, file: &Path, sha256: Option<Digest>, mut settings: Settings) -> Result<Trial> {
        if let Some(options) = &self.options {
            settings.options = json_object(options)?;
        }
        let limits = &mut settings.limits;
        if let Some(memory) = self.memory {
            limits.memory = usize::try_from(memory.as_u64()).context("--memory is too large")?;
        }
        if let Some(deadline) = self.call_deadline {
            limits.call_deadline = deadline;
        }
        if let Some(deadline) = self.compile_deadline {
            limits.compile_deadline = deadline;
        }
        let transcripts = self.transcript.iter().map(|path| Transcript::read(path));
        let scenarios = self.scenario.iter().map(|path| Scenario::read(path));
        Ok(Trial {
            component: file.to_owned(),
            sha256,
            settings,
            transcripts: transcripts
                .collect::<Result<_, _>>()
                .context("cannot read a transcript")?,
            scenarios: scenarios
                .collect::<Result<_, _>>()
                .context("cannot read a scenario")?,
        })
    }
}

/// Options as people write them, as the JSON that adapters get.
fn json_object(text: &str) -> Result<String> {
    let value: serde_json::Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(_) => toml::from_str(text).context("--options is neither JSON nor TOML")?,
    };
    if !value.is_object() {
        bail!("--options is not a JSON object: write '{{\"level\": 3}}' or 'level = 3'");
    }
    Ok(value.to_string())
}

fn text(report: &Report) -> String {
    let mut text = report.component.display().to_string();
    if let (Some(bytes), Some(digest)) = (report.bytes, report.sha256) {
        let kib = bytes.div_ceil(1024);
        text.push_str(&format!(": {kib} KiB, sha256 {digest}"));
    }
    text.push('\n');
    for finding in &report.findings {
        let verdict = match finding.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Failed => "FAILED",
        };
        text.push_str(&format!(
            "  {verdict:<7}  {:<10}  {}\n",
            finding.check, finding.detail
        ));
    }
    text.push_str(match report.passed() {
        true => "passed\n",
        false => "FAILED\n",
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_an_object_however_they_are_written() {
        assert_eq!(json_object("{\"a\": 1}").unwrap(), "{\"a\":1}");
        assert_eq!(json_object("a = 1").unwrap(), "{\"a\":1}");
        for bad in ["1", "[1]", "a"] {
            assert!(json_object(bad).is_err(), "{bad}");
        }
    }
}
