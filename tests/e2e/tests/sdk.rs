//! The published Python client, unmodified, against the real server.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::path::PathBuf;
use std::time::Duration;

use aod_e2e::{Runtimes, Server, ServerOptions, cli_if_installed, repository, target, within};
use aod_standin::{Options, Standin};
use tokio::process::Command;

/// With the client's installation.
const PATIENCE: Duration = Duration::from_secs(300);

#[tokio::test]
async fn the_published_client_works_unmodified() {
    let python = within("the client is installed", PATIENCE, client()).await;
    let mut runtimes = Runtimes::demo();
    let claude = cli_if_installed("claude").is_some();
    if claude {
        runtimes = runtimes.with_vendor("claude");
    }
    let options = ServerOptions::new(runtimes).set("AOD_LIMITS__SESSIONS_PER_USER", 3);
    let server = Server::start(options).await;
    let model = Standin::start(Options::default()).await.unwrap();
    let mut pytest = Command::new(python);
    pytest
        .args([
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--color=no",
            ".",
        ])
        .current_dir(repository().join("tests/sdk"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("AOD_API_URL", server.client().base())
        .env("AOD_API_TOKEN", server.token())
        .kill_on_drop(true);
    if claude {
        pytest.env("AOD_TEST_MODEL_URL", model.url());
    }
    run("pytest", pytest).await;
}

/// A Python with the client, in the target folder.
async fn client() -> PathBuf {
    let requirements = repository().join("tests/sdk/requirements.txt");
    let wanted = std::fs::read_to_string(&requirements).unwrap();
    let folder = target().join("sdk-venv");
    let python = folder.join("bin/python");
    let installed = folder.join("installed.txt");
    if std::fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        return python;
    }
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear"])
        .arg(&folder)
        .kill_on_drop(true);
    run("python3 -m venv", venv).await;
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-r",
    ])
    .arg(&requirements)
    .kill_on_drop(true);
    run("pip install", pip).await;
    std::fs::write(&installed, wanted).unwrap();
    python
}

async fn run(what: &str, mut command: Command) {
    let output = within(what, PATIENCE, command.output()).await;
    let output = output.unwrap_or_else(|error| panic!("{what}: {error}"));
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    println!("{said}");
    assert!(output.status.success(), "{what}: {}\n{said}", output.status);
}
