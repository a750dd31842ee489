//! `aod runtime new`, all the way from nothing to a session.

use std::fs;
use std::process::Command;

use aod_e2e::{Runtimes, Server, ServerOptions, program, repository};
use serde_json::json;

fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{command:?}: {stdout}{stderr}");
    stdout.into_owned()
}

#[tokio::test]
async fn from_nothing_to_a_session() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("macaw");
    let aod = || {
        let mut aod = Command::new(program("aod"));
        aod.current_dir(folder.path());
        aod
    };
    succeed(aod().args(["runtime", "new", "macaw"]));
    // The same versions as here, so that nothing is fetched.
    fs::copy(repository().join("Cargo.lock"), project.join("Cargo.lock")).unwrap();
    let mut build = Command::new(program("xtask"));
    build
        .args(["plugins", "--project"])
        .arg(&project)
        .env("CARGO_NET_OFFLINE", "true");
    let module = succeed(&mut build);
    let component = project.join("macaw.wasm");
    let mut pack = aod();
    pack.args(["runtime", "pack", module.trim()]);
    succeed(pack.arg(&component));
    let transcript = project.join("tests/transcripts/hello.jsonl");
    let mut check = aod();
    check
        .args(["runtime", "check", "--call-deadline", "30s", "--transcript"])
        .arg(&transcript)
        .arg(&component);
    let report = succeed(&mut check);
    assert!(report.contains("2 lines, 3 events"), "{report}");

    let runtimes = Runtimes::default().with("macaw", &component, "");
    let server = Server::start(ServerOptions::new(runtimes)).await;
    let client = server.client();
    let agent = json!({"name": "m", "runtime": "macaw", "model": "macaw/default"});
    let agent = client.create_agent(&agent).await;
    let body = json!({"agent_id": agent, "prompt": "say this again"});
    let session = client.create_session(&body).await;
    let ended = session.ended().await.completed();
    assert_eq!(ended.stdout(), "say this again");
    let path = format!("/sessions/{}/events", session.id);
    let events = client.get(&format!("{path}?limit=50")).await.expect(200);
    let events = events["data"].as_array().unwrap();
    let said = |event: &&serde_json::Value| event["type"] == "message";
    let message = events.iter().find(said).unwrap();
    assert_eq!(message["text"], "say this again", "{message}");
}
