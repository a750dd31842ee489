//! The published Python client, unmodified, against the real server.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use aod_e2e::{
    MODEL_HOST, Runtimes, Server, ServerOptions, cli_if_installed, python_with, repository, run,
};
use aod_standin::{Options, Standin};
use tokio::process::Command;

#[tokio::test]
async fn the_published_client_works_unmodified() {
    let requirements = repository().join("tests/sdk/requirements.txt");
    let python = python_with("sdk-venv", &requirements).await;
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
        .env("AOD_API_TOKEN", server.token());
    if claude {
        pytest.env("AOD_TEST_MODEL_URL", model.url_at(MODEL_HOST));
    }
    run("pytest", pytest).await;
}
