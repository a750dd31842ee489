//! Turns that are stopped: by their user, by the clock.

use std::time::{Duration, Instant};

use aod_e2e::{
    DEADLINE, Gate, Process, Runtimes, Server, ServerOptions, Session, Tree, eventually,
};
use serde_json::json;

/// A step that leaves behind what a careless agent leaves: a daemon in a session of its own that
/// ignores signals, and a child of the tool.
fn careless() -> String {
    "$ (trap '' INT TERM HUP; setsid sh -c 'trap \"\" INT TERM HUP; echo x >daemon; \
     while :; do sleep 1000; done' &) ; sleep 1000 & echo started"
        .to_owned()
}

async fn with_stragglers(server: &Server, gate: &Gate) -> (Session, Tree) {
    let prompt = format!("{}\n{}", careless(), gate.step());
    let session = server.client().demo_session(&prompt).await;
    gate.reached(server, &session).await;
    let file = session.id.clone();
    eventually("the daemon runs", DEADLINE, async || {
        server.workspace_file(&file, "daemon")
    })
    .await;
    let tree = server.supervisor();
    let commands: Vec<_> = tree.below.iter().map(|process| process.command()).collect();
    let sleeps = commands
        .iter()
        .filter(|command| command.contains("sleep 1000"))
        .count();
    assert!(
        sleeps >= 2,
        "the stragglers are not seen, so their end could not be: {commands:#?}"
    );
    (session, tree)
}

#[tokio::test]
async fn terminating_leaves_no_process() {
    let server = Server::demo().await;
    let gate = Gate::new("gate");
    let (session, tree) = with_stragglers(&server, &gate).await;
    let reply = session
        .client
        .post_empty(&format!("/sessions/{}/terminate", session.id))
        .await
        .expect(200);
    assert_eq!(reply, json!({"id": session.id, "status": "terminated"}));
    // It answers once nothing is left, so nothing is waited for here.
    tree.none_left().await;
    let ended = session.ended().await;
    assert_eq!(ended.session["status"], "terminated");
    assert_eq!(ended.last().kind(), "terminated");
    assert!(ended.last().data["message"].is_string());
    assert_eq!(ended.turn["status"], "failed");
    assert_eq!(ended.turn["outcome"], "terminated");
    session
        .client
        .post_empty(&format!("/sessions/{}/terminate", session.id))
        .await
        .refused(409);
}

#[tokio::test]
async fn the_end_of_a_turn_leaves_no_process() {
    let server = Server::demo().await;
    let gate = Gate::new("gate");
    let (session, tree) = with_stragglers(&server, &gate).await;
    gate.open(&server, &session);
    session.ended().await.completed();
    eventually("all processes are gone", DEADLINE, async || {
        tree.survivors().is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_pending_session_is_terminated_too() {
    let server = Server::demo().await;
    let client = server.client();
    let gate = Gate::new("gate");
    let environment = gate.environment(client, "").await;
    let agent = client.demo_agent().await;
    let body = json!({"agent_id": agent, "prompt": "hello", "environment_id": environment});
    let session = client.create_session(&body).await;
    gate.reached(&server, &session).await;
    // It sleeps again and again, and between two sleeps there is none.
    let tree = eventually("the step is seen", DEADLINE, async || {
        // The server has other children while it starts, that look at what the machine has.
        let below = Tree::under(&[server.process()]).remove(0).below;
        let is_asleep = |process: &Process| process.command().contains("sleep");
        let mut steps = Tree::under(&below);
        steps.retain(|tree| tree.below.iter().any(is_asleep));
        steps.into_iter().max_by_key(|tree| tree.below.len())
    })
    .await;
    // There is no turn to be kept yet.
    client
        .post_empty(&format!("/sessions/{}/interrupt", session.id))
        .await
        .refused(409);
    client
        .post_empty(&format!("/sessions/{}/terminate", session.id))
        .await
        .expect(200);
    let left: Vec<_> = tree
        .survivors()
        .iter()
        .map(|process| (process.pid, process.command()))
        .collect();
    assert!(left.is_empty(), "still running: {left:?}");
    let ended = session.ended().await;
    assert_eq!(ended.session["status"], "terminated");
    assert_eq!(ended.last().kind(), "terminated");
    assert!(!ended.events.iter().any(|event| event.kind() == "output"));
}

#[tokio::test]
async fn an_interrupted_turn_keeps_its_session() {
    let server = Server::demo().await;
    let gate = Gate::new("gate");
    let (session, tree) = with_stragglers(&server, &gate).await;
    let path = format!("/sessions/{}/interrupt", session.id);
    let reply = session.client.post_empty(&path).await.expect(202);
    assert_eq!(reply["id"], session.id.as_str());
    let ended = session.ended().await;
    assert_eq!(ended.session["status"], "completed");
    assert_eq!(ended.turn["status"], "completed");
    assert_eq!(ended.turn["outcome"], "interrupted");
    assert_eq!(ended.session["error"], serde_json::Value::Null);
    // The agent was asked first, and had its say.
    assert!(
        ended.stdout().contains("\"interrupted\""),
        "{}",
        ended.stdout()
    );
    assert_eq!(ended.last().kind(), "exit");
    assert_eq!(ended.last().data["code"], 130);
    eventually("all processes are gone", DEADLINE, async || {
        tree.survivors().is_empty().then_some(())
    })
    .await;
    session.prompt("go on").await;
    let ended = session.ended().await.completed();
    assert!(ended.last_stdout().contains("You said: go on"));
}

#[tokio::test]
async fn a_turn_that_takes_too_long_is_stopped() {
    let server = Server::demo().await;
    let client = server.client();
    let agent = client.demo_agent().await;
    let body = json!({"agent_id": agent, "prompt": careless() + "\nsleep 1000", "timeout": 10});
    let begun = Instant::now();
    let session = client.create_session(&body).await;
    session.wait_for("running").await;
    let tree = server.supervisor();
    let ended = session.ended().await;
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_secs(10) && took < Duration::from_secs(30),
        "{took:?}"
    );
    let error = ended.failed();
    assert!(error.contains("timeout of 10 s"), "{error}");
    assert_eq!(ended.last().kind(), "error");
    assert_eq!(ended.last().data["message"], error);
    eventually("all processes are gone", DEADLINE, async || {
        tree.survivors().is_empty().then_some(())
    })
    .await;
    assert_eq!(ended.session["resumable"], true);
    session.prompt("go on").await;
    session.ended().await.completed();
}

#[tokio::test]
async fn a_turn_may_have_a_timeout_of_its_own() {
    let server = Server::demo().await;
    let session = server.client().demo_session("hello").await;
    session.ended().await.completed();
    assert_eq!(session.turns().await[0]["timeout"], 600);
    session
        .prompt_with(&json!({"prompt": "sleep 1000", "timeout": 10}))
        .await;
    let ended = session.ended().await;
    assert!(ended.failed().contains("10 s"));
    assert_eq!(ended.turn["timeout"], 10);
}

/// What is told of a turn may be far behind what it has written.
#[tokio::test]
async fn a_turn_that_writes_without_end_is_terminated_at_once() {
    const BACKLOG: u64 = 32 << 20;
    let runtimes = Runtimes::default().with_raw();
    let server = Server::start(ServerOptions::new(runtimes)).await;
    let session = server.client().raw_session("yes").await;
    let log = server.session_folder(&session.id).join("log");
    let written = || -> u64 {
        let files = std::fs::read_dir(&log).into_iter().flatten().flatten();
        files
            .filter_map(|file| file.metadata().ok())
            .map(|file| file.len())
            .sum()
    };
    eventually("much is written", DEADLINE, async || {
        (written() > BACKLOG).then_some(())
    })
    .await;
    let client = server.client();
    let path = format!("/sessions/{}/terminate", session.id);
    client.post_empty(&path).await.expect(200);
    assert_eq!(session.read().await["status"], "terminated");
    let path = format!("/sessions/{}/delete", session.id);
    client.delete(&path).await.expect(200);
}
