//! What webhooks are told of, and which are.

use aod_e2e::{Gate, Receiver, ReceiverOptions, Server};
use serde_json::{Value, json};

use crate::{SECRET, deliveries, in_state, options, webhook};

async fn receiver() -> Receiver {
    Receiver::start(ReceiverOptions {
        secrets: vec![SECRET.to_owned()],
        ..ReceiverOptions::default()
    })
    .await
}

#[tokio::test]
async fn a_turns_end_is_told_with_what_it_came_to() {
    let server = Server::start(options()).await;
    let receiver = receiver().await;
    let hook = webhook(&server, &receiver.url()).await;
    let session = server.client().demo_session("hello").await;
    let ended = session.ended().await.completed();
    in_state(&server, &hook, "delivered", 1).await;

    let request = receiver.has(1).await.remove(0);
    assert_eq!(request["path"], "/hook?x=y");
    assert_eq!(request["headers"]["content-type"], "application/json");
    let body = &request["body"];
    assert_eq!(body["type"], "turn.completed");
    let data = &body["data"];
    for (field, expected) in [
        ("session_id", &ended.session["id"]),
        ("agent_id", &ended.session["agent_id"]),
        ("session_status", &json!("completed")),
        ("resumable", &json!(true)),
        ("turn", &json!(1)),
        ("outcome", &json!("completed")),
        ("result", &ended.turn["result"]),
        ("usage", &ended.turn["usage"]),
        ("session_usage", &ended.session["usage"]),
        ("error", &Value::Null),
        ("ended_at", &ended.turn["ended_at"]),
        ("truncated", &json!(false)),
    ] {
        assert_eq!(data[field], *expected, "{field}: {data:#}");
    }
    assert!(data["result"]["text"].is_string(), "{data:#}");
    assert_eq!(data.get("prompt"), None);
    // What is sent can be read.
    let id = deliveries(&server, &hook).await[0]["id"].clone();
    let path = format!("/webhooks/{hook}/deliveries/{}", id.as_str().unwrap());
    let read = server.client().get(&path).await.expect(200);
    assert_eq!(read["payload"], *body);
    assert_eq!(read["session_id"], ended.session["id"]);
}

#[tokio::test]
async fn sessions_that_are_over_are_told_of_beside_their_last_turns() {
    let server = Server::start(options()).await;
    let receiver = receiver().await;
    let hook = webhook(&server, &receiver.url()).await;
    let client = server.client();

    let gate = Gate::new("g");
    let running = client.demo_session(&gate.step()).await;
    gate.reached(&server, &running).await;
    let path = format!("/sessions/{}/interrupt", running.id);
    client.post_empty(&path).await.expect(202);
    running.ended().await;
    let next = Gate::new("h");
    running.prompt(&next.step()).await;
    next.reached(&server, &running).await;
    let path = format!("/sessions/{}/terminate", running.id);
    client.post_empty(&path).await.expect(200);
    // Nobody waits for what a deleted session would have told.
    let path = format!("/sessions/{}/delete", running.id);
    client.delete(&path).await.expect(200);

    let environment = json!({"name": "bad", "setup_script": "exit 3"});
    let environment = client.create_environment(&environment).await;
    let agent = client.demo_agent().await;
    let body = json!({"agent_id": agent, "prompt": "x", "environment_id": environment});
    let broken = client.create_session(&body).await;
    broken.wait_for("failed").await;

    in_state(&server, &hook, "delivered", 5).await;
    let requests = receiver.has(5).await;
    let mut told: Vec<(String, u64, String)> = requests
        .iter()
        .map(|request| {
            let data = &request["body"]["data"];
            (
                data["session_id"].as_str().unwrap().to_owned(),
                data["turn"].as_u64().unwrap(),
                request["body"]["type"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    told.sort();
    let of = |id: &str, turn, event: &str| (id.to_owned(), turn, event.to_owned());
    let mut expected = vec![
        of(&running.id, 1, "turn.interrupted"),
        of(&running.id, 2, "turn.terminated"),
        of(&running.id, 2, "session.terminated"),
        of(&broken.id, 1, "turn.failed"),
        of(&broken.id, 1, "session.failed"),
    ];
    expected.sort();
    assert_eq!(told, expected);
    let failed = receiver.taken("session.failed").remove(0);
    assert_eq!(failed["data"]["resumable"], false);
    let why = failed["data"]["error"].as_str().unwrap();
    assert!(why.contains('3'), "{why}");
}

#[tokio::test]
async fn a_webhook_is_told_what_it_wants_of_its_owners_sessions() {
    let server = Server::start(options()).await;
    let receiver = receiver().await;
    let client = server.client();
    let make = async |body: Value| {
        let made = client.post("/webhooks", &body).await.expect(201);
        made["id"].as_str().unwrap().to_owned()
    };
    let url = receiver.url();
    let failures = json!({"url": url, "secret": SECRET, "events": ["turn.failed"]});
    let failures = make(failures).await;
    let off = json!({"url": url, "secret": SECRET, "enabled": false});
    let off = make(off).await;
    let all = webhook(&server, &url).await;
    let other = server.add_user("other");
    let others = json!({"url": url, "secret": SECRET});
    let others = other.post("/webhooks", &others).await.expect(201);

    client.demo_session("hello").await.ended().await.completed();
    in_state(&server, &all, "delivered", 1).await;
    assert!(deliveries(&server, &failures).await.is_empty());
    assert!(deliveries(&server, &off).await.is_empty());
    let path = format!("/webhooks/{}", others["id"].as_str().unwrap());
    let list = other.get(&format!("{path}/deliveries")).await.expect(200);
    assert_eq!(list["data"], json!([]));
    // Another's webhook is not there.
    for path in [path.clone(), format!("{path}/deliveries")] {
        client.get(&path).await.refused(404);
    }
    for path in [format!("{path}/test"), format!("{path}/rotate")] {
        client.post_empty(&path).await.refused(404);
    }
    client
        .patch(&path, &json!({"enabled": false}))
        .await
        .refused(404);
    client.delete(&path).await.refused(404);
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn a_sessions_own_webhook_is_told_of_it_alone_and_outlives_it_until_it_was_told() {
    let server = Server::start(options()).await;
    let client = server.client();
    let port = aod_e2e::free_port();
    let agent = client.demo_agent().await;
    let url = format!("http://127.0.0.1:{port}/own");
    let body = json!({
        "agent_id": agent, "prompt": "hello", "webhook": {"url": url, "events": ["turn.completed"]},
    });
    let request = || {
        let request = client.request(reqwest::Method::POST, "/sessions");
        request.header("idempotency-key", "once").json(&body)
    };
    let ack = client.send(request()).await.expect(202);
    let secret = ack["webhook"]["secret"].as_str().unwrap().to_owned();
    let hook = ack["webhook"]["id"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_"), "{ack}");
    // Sent twice, it is the same session, and the secret is not shown again.
    let again = client.send(request()).await.expect(202);
    assert_eq!(again["id"], ack["id"]);
    assert_eq!(again["webhook"], json!({"id": hook}));
    let id = ack["id"].as_str().unwrap();
    let read = client.get(&format!("/webhooks/{hook}")).await.expect(200);
    assert_eq!(read["session_id"], ack["id"]);
    let list = client
        .get(&format!("/webhooks?session_id={id}"))
        .await
        .expect(200);
    assert_eq!(list["data"], json!([read]));

    client
        .demo_session("another")
        .await
        .ended()
        .await
        .completed();
    let session = aod_e2e::Session {
        client: client.clone(),
        id: id.to_owned(),
    };
    session.ended().await.completed();
    client
        .delete(&format!("/sessions/{id}/delete"))
        .await
        .expect(200);
    let receiver = Receiver::start(ReceiverOptions {
        port,
        secrets: vec![secret],
        ..ReceiverOptions::default()
    })
    .await;
    let request = receiver.has(1).await.remove(0);
    assert_eq!(request["verified"], json!([true]));
    assert_eq!(request["body"]["data"]["session_id"], ack["id"]);
    assert_eq!(in_state(&server, &hook, "delivered", 1).await.len(), 1);
}
