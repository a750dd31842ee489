//! Schemathesis: requests made of the description, right and wrong ones, to every operation that
//! is not a stream. No answer is a server error, and none is undocumented.

use std::time::Duration;

use aod_e2e::{Runtimes, Server, ServerOptions, run};
use tokio::process::Command;

use crate::{files, python};

/// How long it may go on.
const TIME: Duration = Duration::from_secs(60);

#[tokio::test]
async fn requests_made_of_the_description_are_answered_as_described() {
    let python = python().await;
    let server = Server::start(ServerOptions::new(Runtimes::demo())).await;
    let folder = tempfile::tempdir().unwrap();
    let base = server.client().base();
    let mut tester = Command::new(python);
    tester
        .args(["-m", "schemathesis.cli", "--config-file"])
        .arg(files().join("schemathesis.toml"))
        .args(["run", &format!("{base}/openapi.json"), "--checks", "all"])
        .args(["--exclude-path-regex", "/(stream|events)$"])
        // Schemathesis writes no archives.
        .args(["--exclude-operation-id", "files_unpack"])
        .args(["--max-time", &TIME.as_secs().to_string()])
        .args(["--seed", "1", "--no-color", "--warnings", "off"])
        .arg("--header")
        .arg(format!("Authorization: Bearer {}", server.token()))
        .current_dir(folder.path());
    run("schemathesis", tester).await;
    let log = server.log();
    assert!(!log.contains("a handler panicked"), "{log}");
    server.client().get("/health").await.expect(200);
}
