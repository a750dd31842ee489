//! An adapter on trial: all that can be said of a component without a server, a CLI or a key.
//!
//! [`run`] does to a component what a host does, under the same limits, and with facts that are
//! less friendly than most; what it finds is in a [`Report`]. Each call is in an instance of its
//! own where it matters, so that one fault does not hide another.

mod calls;
mod cases;
mod description;
mod launches;
mod reading;
mod scenario;
mod transcript;

pub use scenario::{Scenario, ScenarioError};
pub use transcript::Transcript;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use crate::adapter::Adapter;
use crate::component::{self, Binary};
use crate::digest::Digest;
use crate::engine::Engine;
use crate::error::ComponentError;
use crate::settings::Settings;

/// What is to be tried.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The component.
    pub component: PathBuf,
    /// What it should be.
    pub sha256: Option<Digest>,
    /// What `runtimes.toml` would say of it.
    pub settings: Settings,
    /// Recorded output of its CLI.
    pub transcripts: Vec<Transcript>,
    /// Conversations to be played, with what is expected of them.
    pub scenarios: Vec<Scenario>,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The component.
    pub component: PathBuf,
    /// Its digest, where it could be read.
    pub sha256: Option<Digest>,
    /// Its size in bytes.
    pub bytes: Option<usize>,
    /// Everything in the order in which it was looked at.
    pub findings: Vec<Finding>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What came of it.
    pub verdict: Verdict,
    /// What was looked at, in one word.
    pub check: &'static str,
    /// What was found, for people.
    pub detail: String,
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All is well.
    Ok,
    /// It works, and should be otherwise.
    Warning,
    /// A host refuses it, or users will suffer.
    Failed,
}

impl Report {
    /// Whether nothing failed.
    #[must_use]
    pub fn passed(&self) -> bool {
        let failed = |finding: &Finding| finding.verdict == Verdict::Failed;
        !self.findings.iter().any(failed)
    }

    fn ok(&mut self, check: &'static str, detail: impl Into<String>) {
        self.add(Verdict::Ok, check, detail);
    }

    fn warning(&mut self, check: &'static str, detail: impl Into<String>) {
        self.add(Verdict::Warning, check, detail);
    }

    fn failed(&mut self, check: &'static str, detail: impl Into<String>) {
        self.add(Verdict::Failed, check, detail);
    }

    fn add(&mut self, verdict: Verdict, check: &'static str, detail: impl Into<String>) {
        self.findings.push(Finding {
            verdict,
            check,
            detail: detail.into(),
        });
    }
}

/// Tries a component. Computes for as long as it takes: off the threads that drive async tasks.
#[must_use]
pub fn run(engine: &Engine, trial: &Trial) -> Report {
    let mut report = Report {
        component: trial.component.clone(),
        sha256: None,
        bytes: None,
        findings: Vec::new(),
    };
    match load(engine, trial, &mut report) {
        Ok(adapter) => {
            description::check(&adapter, &mut report);
            launches::check(&adapter, &mut report);
            calls::check(&adapter, &mut report);
            reading::check(&adapter, &trial.transcripts, &mut report);
            scenario::check(&adapter, &trial.scenarios, &mut report);
        }
        Err(error) => {
            let check = match &error {
                ComponentError::Describe(_) => "describe",
                _ => "component",
            };
            report.failed(check, error.to_string());
        }
    }
    report
}

fn load(engine: &Engine, trial: &Trial, report: &mut Report) -> Result<Adapter, ComponentError> {
    let binary = Binary::read(&trial.component, trial.sha256)?;
    report.sha256 = Some(binary.digest);
    report.bytes = Some(binary.bytes.len());
    let begun = Instant::now();
    let deadline = trial.settings.limits.compile_deadline;
    let compiled = component::compile(engine, None, &binary, deadline)?;
    let took = begun.elapsed().as_millis();
    let interface = component::link(engine, &compiled)?;
    let imports = match component::imports(engine, &compiled).len() {
        0 => "imports nothing".to_owned(),
        several => format!("imports {several} interfaces of WASI, behind which there is nothing"),
    };
    let adapter = Adapter::describe(
        engine,
        Arc::new(interface),
        binary.digest,
        &name(&trial.component),
        trial.settings.clone(),
    )
    .map_err(ComponentError::Describe)?;
    let version = adapter.interface_version();
    report.ok(
        "component",
        format!("speaks aod:runtime@{version}, {imports}; compiled in {took} ms"),
    );
    Ok(adapter)
}

fn name(path: &Path) -> String {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy());
    stem.map_or_else(|| "adapter".to_owned(), std::borrow::Cow::into_owned)
}
