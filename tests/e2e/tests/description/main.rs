//! What the server says of itself in the hands of others. Its description: the published validator,
//! generators of clients, and a tester that makes requests of it. Its metrics: Prometheus. Its traces:
//! what OpenTelemetry decodes. Everything is installed into the target folder.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod clients;
mod large_bodies;
mod metrics;
mod requests;
mod telemetry;

use std::path::{Path, PathBuf};

use aod_e2e::{Server, python_with, repository, run};
use tokio::process::Command;

/// Where what these tests bring along lies.
fn files() -> PathBuf {
    repository().join("tests/openapi")
}

/// A Python with the validator, a generator and the tester.
async fn python() -> PathBuf {
    python_with("openapi-venv", &files().join("requirements.txt")).await
}

/// Writes a server's description into a folder.
async fn describe(server: &Server, folder: &Path) -> PathBuf {
    let path = folder.join("openapi.json");
    let document = server.client().get("/openapi.json").await;
    document.expect(200);
    std::fs::write(&path, document.text).unwrap();
    path
}

#[tokio::test]
async fn the_published_validator_finds_nothing() {
    let python = python().await;
    let server = Server::demo().await;
    let folder = tempfile::tempdir().unwrap();
    let mut validator = Command::new(python);
    validator
        .args(["-m", "openapi_spec_validator", "--errors", "all"])
        .args(["--schema", "3.1"])
        .arg(describe(&server, folder.path()).await);
    run("openapi-spec-validator", validator).await;
}
