//! A session that takes the server down is told from the others.

use aod_e2e::{DEADLINE, Gate, Runtimes, Server, ServerOptions, Session, eventually};
use serde_json::json;

/// Starts the server so that going on with a session ends it, until it has; says whether it did.
async fn start_and_die(server: &mut Server, session: &Session) {
    let failpoint = format!("abort:{}", session.id);
    let options = ServerOptions::new(Runtimes::demo()).set("AOD_FAILPOINT", failpoint);
    server.start_until_it_dies(options).await;
}

#[tokio::test]
async fn the_third_start_fails_a_session_that_killed_two_and_no_other() {
    let mut server = Server::demo().await;
    let client = server.client().clone();
    let agent = client.demo_agent().await;
    let mut gates = Vec::new();
    // Turns that run and one that is provisioned; one of each kind is innocent.
    for name in ["culprit", "innocent"] {
        let gate = Gate::new(name);
        let session = client.demo_session(&gate.step()).await;
        gate.reached(&server, &session).await;
        gates.push((gate, session));
    }
    let gate = Gate::new("provisioned");
    let environment = gate.environment(&client, "").await;
    let body = json!({"agent_id": agent, "prompt": "hello", "environment_id": environment});
    let session = client.create_session(&body).await;
    gate.reached(&server, &session).await;
    gates.push((gate, session));
    let culprit = gates[0].1.clone();
    server.kill();
    for _ in 0..2 {
        start_and_die(&mut server, &culprit).await;
    }
    // The failpoint is still there: it is not gone on with.
    let failpoint = format!("abort:{}", culprit.id);
    let options = ServerOptions::new(Runtimes::demo()).set("AOD_FAILPOINT", failpoint);
    server.start_again_with(options).await;
    let fenced = culprit.at(server.client());
    let failed = fenced.wait_for("failed").await;
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("died 2 times"), "{error}");
    assert_eq!(failed["resumable"], true);
    for (gate, session) in &gates[1..] {
        let session = session.at(server.client());
        eventually("it is gone on with", DEADLINE, async || {
            (gate.arrivals(&server, &session) > 0).then_some(())
        })
        .await;
        gate.open(&server, &session);
        session.ended().await.completed();
    }
    // The culprit's own start no longer asks for the failpoint.
    server.kill();
    server
        .start_again_with(ServerOptions::new(Runtimes::demo()))
        .await;
    let fenced = culprit.at(server.client());
    fenced.prompt("and on").await;
    fenced.ended().await.completed();
    let path = format!("/sessions/{}/delete", fenced.id);
    server.client().delete(&path).await.expect(200);
}

#[tokio::test]
async fn a_panic_in_one_turn_fails_that_turn_and_no_other() {
    let mut server = Server::demo().await;
    let mut gates = Vec::new();
    for name in ["culprit", "innocent"] {
        let gate = Gate::new(name);
        let session = server.client().demo_session(&gate.step()).await;
        gate.reached(&server, &session).await;
        gates.push((gate, session));
    }
    server.kill();
    let failpoint = format!("panic:{}", gates[0].1.id);
    let options = ServerOptions::new(Runtimes::demo()).set("AOD_FAILPOINT", failpoint);
    server.start_again_with(options).await;
    let culprit = gates[0].1.at(server.client());
    let ended = culprit.ended().await;
    let error = ended.failed();
    assert!(error.contains("defect"), "{error}");
    let (gate, innocent) = &gates[1];
    let innocent = innocent.at(server.client());
    gate.open(&server, &innocent);
    innocent.ended().await.completed();
    culprit.prompt("and on").await;
    culprit.ended().await.completed();
}
