//! Broken files and processes: what is readable is read, what cannot go on fails, and all of it
//! can be terminated and deleted.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use aod_e2e::{
    DEADLINE, Gate, Runtimes, Server, ServerOptions, Session, eventually, plugin, within,
};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};

/// The segment that a session's log begins with.
fn segment(server: &Server, session: &Session) -> std::path::PathBuf {
    let log = server.session_folder(&session.id).join("log");
    let mut segments: Vec<_> = fs::read_dir(log)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| fs::metadata(path).unwrap().len() > 1000)
        .collect();
    segments.sort();
    segments.swap_remove(0)
}

/// Checks that a session can be read, and is gone when its user wants that.
async fn is_readable_and_goes(server: &Server, session: &Session) {
    let path = format!("/sessions/{}", session.id);
    for part in ["", "/turns", "/events", "/provisioning"] {
        let reply = server.client().get(&format!("{path}{part}")).await;
        assert_eq!(reply.status, 200, "{part}: {}", reply.text);
    }
    for query in [
        "",
        "?follow=false",
        "?since=3",
        "?since=100000&follow=false",
    ] {
        let stream = format!("{path}/stream{query}");
        let stream = server.client().get(&stream);
        let reply = within("the stream's end", DEADLINE, stream).await;
        assert_eq!(reply.status, 200, "{query}: {}", reply.text);
    }
    let delete = format!("{path}/delete");
    server.client().delete(&delete).await.expect(200);
    server.client().get(&path).await.refused(404);
}

#[tokio::test]
async fn a_flipped_byte_ends_the_next_turn_and_hides_nothing_before_it() {
    let mut server = Server::demo().await;
    for with_restart in [false, true] {
        let session = server.client().demo_session("the first of all words").await;
        session.ended().await.completed();
        for number in 0..3 {
            session.prompt(&format!("word {number}")).await;
            session.ended().await.completed();
        }
        let segment = segment(&server, &session);
        let mut bytes = fs::read(&segment).unwrap();
        let whole = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        bytes[whole / 2] ^= 0x40;
        fs::write(&segment, bytes).unwrap();
        session.prompt("once more").await;
        let failed = session.wait_for("failed").await;
        let error = failed["error"].as_str().unwrap();
        assert!(error.contains("damaged"), "{error}");
        takes_no_prompt(&server, &session).await;
        if with_restart {
            server.kill_and_start_again().await;
        }
        let session = session.at(server.client());
        assert_eq!(session.read().await["status"], "failed");
        takes_no_prompt(&server, &session).await;
        let path = format!("/sessions/{}/stream", session.id);
        let stream = within("the end", DEADLINE, server.client().get(&path)).await;
        assert!(
            stream.text.contains("the first of all words"),
            "{}",
            stream.text
        );
        is_readable_and_goes(&server, &session).await;
    }
}

#[tokio::test]
async fn a_session_without_its_folder_fails_its_next_turn() {
    let mut server = Server::demo().await;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        let session = server.client().demo_session("hello").await;
        session.ended().await.completed();
        fs::remove_dir_all(server.session_folder(&session.id)).unwrap();
        sessions.push(session);
    }
    sessions[0].prompt("and on").await;
    let failed = sessions[0].wait_for("failed").await;
    assert!(failed["error"].is_string(), "{failed}");
    is_readable_and_goes(&server, &sessions[0]).await;
    is_readable_and_goes(&server, &sessions[1]).await;
    server.kill_and_start_again().await;
    is_readable_and_goes(&server, &sessions[2].at(server.client())).await;
}

/// Checks that a session says that it takes no prompt, and keeps to that.
async fn takes_no_prompt(server: &Server, session: &Session) {
    assert_eq!(session.read().await["resumable"], false);
    let turns = session.turns().await.len();
    let path = format!("/sessions/{}/prompt", session.id);
    let body = serde_json::json!({"prompt": "again"});
    let refusal = server.client().post(&path, &body).await.refusal(409);
    assert!(refusal.contains("create another"), "{refusal}");
    assert_eq!(session.turns().await.len(), turns);
}

fn signal(process: aod_e2e::Process, signal: Signal) {
    kill_process(Pid::from_raw(process.pid).unwrap(), signal).unwrap();
}

#[tokio::test]
async fn a_supervisor_that_does_not_answer_is_killed_when_it_should_end() {
    let mut server = Server::demo().await;
    for (with_restart, by) in [(false, "terminate"), (true, "terminate")] {
        let gate = Gate::new("gate");
        let session = server.client().demo_session(&gate.step()).await;
        gate.reached(&server, &session).await;
        let tree = server.supervisor();
        signal(tree.root, Signal::STOP);
        if with_restart {
            server.kill_and_start_again().await;
        }
        let session = session.at(server.client());
        let path = format!("/sessions/{}/{by}", session.id);
        let asked = server.client().post(&path, &serde_json::Value::Null);
        within("an answer", Duration::from_secs(30), asked)
            .await
            .expect(200);
        session.wait_for("terminated").await;
        eventually("its sandbox is gone", DEADLINE, async || {
            tree.survivors().is_empty().then_some(())
        })
        .await;
        is_readable_and_goes(&server, &session).await;
    }
}

fn fifo(path: &Path) {
    let _ = fs::remove_file(path);
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

#[tokio::test]
async fn a_fifo_in_the_place_of_a_file_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let component = folder.path().join("demo.wasm");
    fs::copy(plugin("demo"), &component).unwrap();
    let runtimes = Runtimes::default().with("demo", &component, "");
    let mut server = Server::start(ServerOptions::new(runtimes.clone())).await;
    let health = async |server: &Server| {
        let runtime = server.client().get("/runtimes/demo").await.expect(200);
        runtime["health"].as_str().unwrap().to_owned()
    };
    fifo(&component);
    eventually("it is stale", DEADLINE, async || {
        (health(&server).await == "stale").then_some(())
    })
    .await;
    let reload = server
        .client()
        .post("/runtimes/reload", &serde_json::Value::Null);
    let reply = within("the reload", DEADLINE, reload).await;
    assert!(reply.text.contains("FIFO"), "{}", reply.text);
    fifo(&server.runtimes_file());
    let reload = server
        .client()
        .post("/runtimes/reload", &serde_json::Value::Null);
    within("the reload", DEADLINE, reload).await.refused(422);
    server
        .client()
        .demo_session("hello")
        .await
        .ended()
        .await
        .completed();
    server.stop().await;
    // The identity, and then the whole start.
    fs::remove_file(server.runtimes_file()).unwrap();
    server.write_runtimes(runtimes);
    let identity = server.data().join("vault/identity.txt");
    let kept = fs::read(&identity).unwrap();
    fifo(&identity);
    let refused = server.start_another().await;
    assert!(refused.contains("FIFO"), "{refused}");
    fs::remove_file(&identity).unwrap();
    fs::write(&identity, kept).unwrap();
    fs::set_permissions(&identity, fs::Permissions::from_mode(0o600)).unwrap();
    server.start_again().await;
    assert_eq!(health(&server).await, "failed");
    server.stop().await;
}
