//! What a session takes in which state, and how it refuses the rest.

use std::collections::HashSet;

use aod_e2e::{Gate, Server, Session};
use serde_json::{Value, json};

/// A session that waits at a gate while it is provisioned.
async fn pending(server: &Server, gate: &Gate) -> Session {
    let client = server.client();
    let environment = gate.environment(client, "").await;
    let agent = client.demo_agent().await;
    let body = json!({"agent_id": agent, "prompt": "hello", "environment_id": environment});
    let session = client.create_session(&body).await;
    gate.reached(server, &session).await;
    session
}

async fn running(server: &Server, gate: &Gate) -> Session {
    let session = server.client().demo_session(&gate.step()).await;
    gate.reached(server, &session).await;
    session.wait_for("running").await;
    session
}

async fn unprovisioned(server: &Server) -> Session {
    let client = server.client();
    let environment = client
        .create_environment(&json!({"name": "bad", "setup_script": "exit 3"}))
        .await;
    let agent = client.demo_agent().await;
    let body = json!({"agent_id": agent, "prompt": "hello", "environment_id": environment});
    let session = client.create_session(&body).await;
    session.wait_for("failed").await;
    session
}

#[tokio::test]
async fn each_state_refuses_a_prompt_in_its_own_words() {
    let server = Server::demo().await;
    let (provisioning, working) = (Gate::new("provisioning"), Gate::new("working"));
    let pending = pending(&server, &provisioning).await;
    let running = running(&server, &working).await;
    let failed = unprovisioned(&server).await;
    let terminated = server.client().demo_session("hello").await;
    terminated.ended().await.completed();
    let gate = Gate::new("again");
    terminated.prompt(&gate.step()).await;
    gate.reached(&server, &terminated).await;
    terminated
        .client
        .post_empty(&path(&terminated, "terminate"))
        .await
        .expect(200);

    let mut words = HashSet::new();
    for (session, status) in [
        (&pending, "pending"),
        (&running, "running"),
        (&failed, "failed"),
        (&terminated, "terminated"),
    ] {
        assert_eq!(session.read().await["status"], status);
        let body = json!({"prompt": "more"});
        let reply = session.client.post(&path(session, "prompt"), &body).await;
        let refusal = reply.refusal(409);
        assert!(refusal.contains(status), "{status}: {refusal}");
        assert!(words.insert(refusal), "two states have the same words");
        assert_eq!(
            session.read().await["status"],
            status,
            "a refused prompt changed something"
        );
        assert_eq!(
            session.turns().await.len(),
            if status == "terminated" { 2 } else { 1 }
        );
    }
    assert_eq!(failed.read().await["resumable"], false);
    assert_eq!(terminated.read().await["resumable"], false);
}

#[tokio::test]
async fn what_has_ended_is_neither_interrupted_nor_terminated() {
    let server = Server::demo().await;
    let session = server.client().demo_session("hello").await;
    session.ended().await.completed();
    session
        .client
        .post_empty(&path(&session, "interrupt"))
        .await
        .refused(409);
    session
        .client
        .post_empty(&path(&session, "terminate"))
        .await
        .refused(409);
    assert_eq!(session.read().await["status"], "completed");
}

#[tokio::test]
async fn a_session_is_deleted_once_it_is_over() {
    let server = Server::demo().await;
    let (provisioning, working) = (Gate::new("provisioning"), Gate::new("working"));
    let pending = pending(&server, &provisioning).await;
    let running = running(&server, &working).await;
    for session in [&pending, &running] {
        let refusal = session
            .client
            .delete(&path(session, "delete"))
            .await
            .refusal(409);
        assert!(refusal.contains("terminate"), "{refusal}");
        session
            .client
            .post_empty(&path(session, "terminate"))
            .await
            .expect(200);
        let reply = session
            .client
            .delete(&path(session, "delete"))
            .await
            .expect(200);
        assert!(reply["detail"].is_string(), "{reply}");
        assert!(
            !server.session_folder(&session.id).exists(),
            "its folder is still there"
        );
        for place in ["", "/turns", "/stream"] {
            session
                .client
                .get(&format!("/sessions/{}{place}", session.id))
                .await
                .refused(404);
        }
        session
            .client
            .delete(&path(session, "delete"))
            .await
            .refused(404);
    }
    let listed = server.client().get("/sessions").await.expect(200);
    assert_eq!(listed["data"], Value::Array(vec![]));
}

#[tokio::test]
async fn an_environment_that_a_session_has_used_stays() {
    let server = Server::demo().await;
    let client = server.client();
    let used = client.create_environment(&json!({"name": "used"})).await;
    let unused = client.create_environment(&json!({"name": "unused"})).await;
    let agent = client.demo_agent().await;
    let body = json!({"agent_id": agent, "prompt": "hello", "environment_id": used});
    client.create_session(&body).await.ended().await.completed();
    let refusal = client
        .delete(&format!("/environments/{used}/delete"))
        .await
        .refusal(409);
    assert!(refusal.contains("archive"), "{refusal}");
    client
        .delete(&format!("/environments/{unused}/delete"))
        .await
        .expect(200);
    client
        .get(&format!("/environments/{unused}"))
        .await
        .refused(404);
    client
        .post_empty(&format!("/environments/{used}/archive"))
        .await
        .expect(200);
    let refusal = client.post("/sessions", &body).await.refusal(409);
    assert!(refusal.contains("archived"), "{refusal}");
}

fn path(session: &Session, action: &str) -> String {
    format!("/sessions/{}/{action}", session.id)
}
