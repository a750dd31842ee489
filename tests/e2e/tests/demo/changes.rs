//! `/sessions/stream`: what changes about a user's sessions.

use aod_e2e::{Client, Event, Gate, Server, Session, Stream};
use serde_json::Value;

/// Reads until a message for which `wanted` says so, and returns all up to it.
async fn until(stream: &mut Stream, wanted: impl Fn(&Event) -> bool) -> Vec<Value> {
    let mut seen = Vec::new();
    loop {
        let event = stream.next().await.unwrap();
        seen.push(event.data.clone());
        if wanted(&event) {
            return seen;
        }
    }
}

async fn follow(client: &Client, query: &str) -> Stream {
    client.stream_at(&format!("/sessions/stream{query}")).await
}

fn stands(session: &str, status: &str) -> impl Fn(&Event) -> bool {
    move |event| {
        let told = &event.data["session"];
        told["id"] == session && told["status"] == status
    }
}

fn is_ready(event: &Event) -> bool {
    event.kind() == "ready"
}

/// A session as lists show it: what its last turn came to is left out.
async fn listed(session: &Session) -> Value {
    let mut read = session.read().await;
    if let Some(fields) = read.as_object_mut() {
        assert!(fields.remove("result").is_some());
    }
    read
}

#[tokio::test]
async fn a_list_need_not_be_polled() {
    let server = Server::demo().await;
    let client = server.client();
    let before = client.demo_session("hello").await;
    before.ended().await.completed();
    let other = server.add_user("other");

    let mut stream = follow(client, "").await;
    let mut others = follow(&other, "").await;
    let snapshot = until(&mut stream, is_ready).await;
    assert_eq!(snapshot.len(), 2, "{snapshot:#?}");
    assert_eq!(snapshot[0]["session"], listed(&before).await);
    assert_eq!(snapshot[0]["questions"], serde_json::json!([]));
    assert_eq!(snapshot[1]["count"], 1);
    assert_eq!(until(&mut others, is_ready).await.len(), 1);

    let gate = Gate::new("g");
    let session = client.demo_session(&gate.step()).await;
    until(&mut stream, stands(&session.id, "pending")).await;
    until(&mut stream, stands(&session.id, "running")).await;
    gate.open(&server, &session);
    let told = until(&mut stream, stands(&session.id, "completed")).await;
    // What is told last is how it stands.
    assert_eq!(told.last().unwrap()["session"], listed(&session).await);
    let used = &told.last().unwrap()["session"]["usage"]["input_tokens"];
    assert!(used.as_u64().unwrap() > 0, "{told:#?}");
    let path = format!("/sessions/{}/delete", session.id);
    client.delete(&path).await.expect(200);
    let told = until(&mut stream, |event| event.kind() == "deleted").await;
    assert_eq!(told.last().unwrap()["session_id"], session.id);

    // Another's changes are nobody else's.
    let theirs = other.demo_session("hello").await;
    let told = until(&mut others, stands(&theirs.id, "completed")).await;
    assert!(told.iter().all(|event| event["session"]["id"] == theirs.id));
}

#[tokio::test]
async fn a_stream_begins_with_as_much_as_is_asked_for() {
    let server = Server::demo().await;
    let client = server.client();
    let mut sessions = Vec::new();
    for _ in 0..3 {
        let session = client.demo_session("hello").await;
        session.ended().await.completed();
        sessions.push(session.id);
    }
    sessions.reverse();
    for (query, expected) in [("", 3), ("&snapshot=2", 2), ("&snapshot=0", 0)] {
        let path = format!("/sessions/stream?follow=false{query}");
        let reply = client.get(&path).await;
        assert_eq!(reply.status, 200);
        let events: Vec<Value> = reply
            .text
            .split_terminator("\n\n")
            .map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap())
            .collect();
        let ids: Vec<_> = events[..expected]
            .iter()
            .map(|event| event["session"]["id"].as_str().unwrap())
            .collect();
        assert_eq!(ids, sessions[..expected]);
        assert_eq!(events[expected]["type"], "ready");
        assert_eq!(events[expected]["count"], expected);
        assert_eq!(events.len(), expected + 1);
    }
    for query in ["snapshot=-1", "snapshot=1001", "follow=x", "since=1"] {
        let path = format!("/sessions/stream?{query}");
        client.get(&path).await.refused(422);
    }
}
