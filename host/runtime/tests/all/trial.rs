//! `trial`: what is hostile is rejected with its cause, and what is good passes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aod_guests::{Guest, hostile};
use aod_runtime::trial::{self, Report, Transcript, Trial, Verdict};
use aod_runtime::{Digest, Settings};

use crate::{engine, plugin};

fn trial(component: PathBuf) -> Trial {
    Trial {
        component,
        sha256: None,
        settings: Settings::default(),
        transcripts: Vec::new(),
        scenarios: Vec::new(),
    }
}

fn failures(report: &Report) -> Vec<&str> {
    let failed = report
        .findings
        .iter()
        .filter(|it| it.verdict == Verdict::Failed);
    failed.map(|it| it.detail.as_str()).collect()
}

fn assert_fails(report: &Report, cause: &str) {
    assert!(!report.passed());
    let failures = failures(report);
    assert!(
        failures.iter().any(|it| it.contains(cause)),
        "{cause}: {report:#?}"
    );
}

#[test]
fn each_hostile_component_is_rejected_with_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    for hostile in hostile() {
        let path = hostile.guest.write(folder.path(), &hostile.name);
        assert_fails(&trial::run(engine(), &trial(path)), &hostile.cause);
    }
}

#[test]
fn a_component_with_another_digest_is_not_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let path = Guest::default().write(folder.path(), "guest");
    let pinned = Digest::of(b"another");
    let report = trial::run(
        engine(),
        &Trial {
            sha256: Some(pinned),
            ..trial(path)
        },
    );
    assert_fails(&report, &format!("sha256 pins {pinned}"));
    assert_eq!(report.findings.len(), 1);
}

#[test]
fn a_component_that_compiles_slowly_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    // Nothing is compiled in no time at all.
    let mut trial = trial(Guest::default().write(folder.path(), "guest"));
    trial.settings.limits.compile_deadline = Duration::ZERO;
    let report = trial::run(engine(), &trial);
    assert_fails(
        &report,
        "does not compile within 0 s: raise limits.compile_deadline",
    );
}

#[test]
fn what_is_no_component_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.wasm");
    fs::write(&path, Guest::default().module()).unwrap();
    assert_fails(
        &trial::run(engine(), &trial(path.clone())),
        "`aod runtime pack`",
    );
    fs::write(&path, "x").unwrap();
    assert_fails(
        &trial::run(engine(), &trial(path.clone())),
        "not a WASM component",
    );
    fs::remove_file(&path).unwrap();
    assert_fails(&trial::run(engine(), &trial(path)), "x.wasm: ");
}

#[test]
fn lines_that_are_forgotten_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = Guest::default().write(folder.path(), "guest");
    assert_fails(
        &trial::run(engine(), &trial(path)),
        "the first of them line 1 of Stdout",
    );
}

#[test]
fn a_reader_that_depends_on_batches_is_told() {
    let folder = tempfile::tempdir().unwrap();
    // Says `end-turn` in reply to the third batch only, and there are two at least.
    let guest = Guest {
        feed: r"
            (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
            (i32.store (i32.const 4096) (i32.const 4160))
            (i32.store (i32.const 4100) (i32.eq (global.get $calls) (i32.const 3)))
            (i32.store (i32.const 4160) (i32.const 9))
            i32.const 4096",
        ..Guest::default()
    };
    let report = trial::run(engine(), &trial(guest.write(folder.path(), "guest")));
    assert_fails(&report, "read differently when it comes in other batches");
}

fn transcripts(folder: &Path) -> Vec<Transcript> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "jsonl"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{}", folder.display());
    let read = |path: &PathBuf| Transcript::read(path).unwrap();
    paths.iter().map(read).collect()
}

#[test]
fn every_adapter_of_the_project_passes_with_its_transcripts() {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
    let mut tried = 0;
    for entry in fs::read_dir(&plugins).unwrap() {
        let folder = entry.unwrap().path();
        let recordings = folder.join("tests/transcripts");
        if !recordings.is_dir() {
            continue;
        }
        let name = folder.file_name().unwrap().to_str().unwrap();
        let mut trial = trial(plugin(name));
        trial.transcripts = transcripts(&recordings);
        if name == "acp" {
            // All that it is, its row says.
            trial.settings.options =
                r#"{"argv": ["agent"], "providers": [{"id": "acme"}]}"#.to_owned();
        }
        // The machine may be busy.
        trial.settings.limits.call_deadline = aod_runtime::MAX_CALL_DEADLINE;
        let report = trial::run(engine(), &trial);
        assert!(report.passed(), "{report:#?}");
        assert!(
            report.findings.iter().any(|it| it.check == "speed"),
            "{report:#?}"
        );
        tried += 1;
    }
    assert!(tried > 0);
}
