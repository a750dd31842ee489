//! Credentials and the vault that they are sealed in, with the demo runtime.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod credentials;
mod rotation;
mod sealed;

use std::process::{Command, Output, Stdio};

use aod_e2e::{Client, Runtimes, Server, ServerOptions, plugin};
use serde_json::Value;

/// A server that can run the demo runtime, and knows of a vendor's credentials.
async fn server() -> Server {
    let runtimes = Runtimes::demo().with("claude", &plugin("claude"), "");
    Server::start(ServerOptions::new(runtimes)).await
}

/// Something that stands nowhere else.
fn secret() -> String {
    format!("sk-test-{}", uuid::Uuid::new_v4().simple())
}

/// Runs a command with this text on its standard input.
fn run(mut command: Command, stdin: &str) -> Output {
    use std::io::Write as _;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that wants no input may have closed it.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

/// Runs a command that is to succeed, and returns what it printed.
#[track_caller]
fn succeed(command: Command, stdin: &str) -> String {
    let output = run(command, stdin);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// All of a user's trail of credentials, newest first, read in pages.
async fn trail(client: &Client, limit: u32) -> Vec<Value> {
    let mut trail = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("/credentials/audit?limit={limit}{after}");
        let page = client.get(&path).await.expect(200);
        let entries = page["data"].as_array().unwrap();
        assert!(entries.len() <= limit as usize, "{page}");
        trail.extend(entries.iter().cloned());
        match &page["next"] {
            Value::Null => return trail,
            next => after = format!("&after={next}"),
        }
    }
}
