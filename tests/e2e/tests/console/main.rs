//! The console in a real Chromium, against a real server.
//!
//! The checks themselves are in `tests/console`, since the tool that drives browsers best is for
//! Node.js. This starts what they need, and kills and starts the server when they ask for it:
//! `cargo nextest run --workspace --features aod-e2e/clis -E 'binary(console)'`.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use aod_e2e::{
    MODEL_HOST, Runtimes, Server, ServerOptions, cli_if_installed, repository, run, target, within,
};
use aod_standin::{Options, Standin};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

/// What all checks of a file may take on a busy machine; they have deadlines of their own.
const PATIENCE: Duration = Duration::from_secs(500);

/// The folder in which the checks and their packages are, installed once.
async fn folder() -> PathBuf {
    let sources = repository().join("tests/console");
    let folder = target().join("console-tests");
    fs::create_dir_all(&folder).unwrap();
    // Tests run in processes of their own, side by side.
    let lock = fs::File::create(target().join("console-tests.lock")).unwrap();
    lock.lock().unwrap();
    let wanted = fs::read_to_string(sources.join("package-lock.json")).unwrap();
    let installed = folder.join("installed.json");
    if !fs::read_to_string(&installed).is_ok_and(|there| there == wanted) {
        for name in ["package.json", "package-lock.json"] {
            fs::copy(sources.join(name), folder.join(name)).unwrap();
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-fund", "--no-audit"])
            .current_dir(&folder);
        run("npm ci", npm).await;
        fs::write(&installed, wanted).unwrap();
    }
    folder
}

/// Runs the checks of a file, and does to the server what they ask for.
async fn check(name: &str) {
    let folder = folder().await;
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
    let address = listener.local_addr().unwrap();
    let conversant = repository().join("tests/conversant/conversant.wasm");
    let mut runtimes = Runtimes::demo()
        .with_raw()
        .with("conversant", &conversant, "");
    if cli_if_installed("claude").is_some() {
        runtimes = runtimes.with_vendor("claude");
    }
    let options = ServerOptions::new(runtimes)
        .set("AOD_LIVE__IDLE", "60s")
        .set("AOD_LIMITS__SESSIONS_PER_USER", 40)
        .listening_on(listener);
    let mut server = Server::start(options).await;
    let model = Standin::start(Options::default()).await.unwrap();
    // A browser that is killed leaves its own.
    let temporary = tempfile::tempdir().unwrap();
    let mut node = Command::new("node")
        .arg(repository().join("tests/console/run.mjs"))
        .arg(name)
        .current_dir(&folder)
        .env("TMPDIR", temporary.path())
        .env("AOD_TEST_BASE", format!("http://{address}"))
        .env("AOD_TEST_TOKEN", server.token())
        .env("AOD_TEST_PACKAGES", folder.join("node_modules"))
        .env("AOD_TEST_MODEL", model.url())
        .env("AOD_TEST_MODEL_INSIDE", model.url_at(MODEL_HOST))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut answers = node.stdin.take().unwrap();
    let mut lines = BufReader::new(node.stdout.take().unwrap()).lines();
    let told = within(name, PATIENCE, async {
        while let Some(line) = lines.next_line().await.unwrap() {
            match line.as_str() {
                "@kill" => server.kill(),
                "@start" => server.start_again().await,
                text => {
                    println!("{text}");
                    continue;
                }
            }
            answers.write_all(b"done\n").await.unwrap();
        }
        node.wait().await.unwrap()
    });
    let status = told.await;
    assert!(status.success(), "{name}: {status}");
    assert!(
        !server.log().contains(server.token()),
        "the token is in the server's log"
    );
}

#[tokio::test]
async fn logins_lists_forms_and_all_pages() {
    check("pages").await;
}

#[tokio::test]
async fn conversations_questions_prompts_and_lost_servers() {
    check("conversations").await;
}

#[tokio::test]
async fn documents_and_their_search() {
    check("documents").await;
}

#[tokio::test]
async fn hostile_and_huge_sessions() {
    check("hostile").await;
}
