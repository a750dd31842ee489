//! Who is told that an agent asks.

use aod_e2e::{DEADLINE, Receiver, ReceiverOptions, eventually};
use serde_json::{Value, json};

use crate::{Lab, OPENCODE, allow_once, question};

#[tokio::test]
async fn webhooks_and_streams_of_sessions_tell_of_a_question_and_of_its_answer() {
    let lab = Lab::new(OPENCODE, "").await;
    let client = lab.client();
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let receiver = Receiver::start(ReceiverOptions {
        secrets: vec![secret.to_owned()],
        ..ReceiverOptions::default()
    })
    .await;
    let hook = json!({
        "url": receiver.url(), "secret": secret, "events": ["permission.requested"],
    });
    client.post("/webhooks", &hook).await.expect(201);
    let session = lab.session("[[bash echo x >made.txt]] [[say done]]").await;
    let asked = question(&session, 1).await;

    let request = receiver.has(1).await.remove(0);
    assert_eq!(request["verified"], json!([true]));
    let told = &request["body"];
    assert_eq!(told["type"], "permission.requested");
    assert_eq!(told["data"]["session_id"], json!(session.id));
    for field in [
        "request_id",
        "kind",
        "title",
        "detail",
        "choices",
        "default",
    ] {
        assert_eq!(told["data"]["question"][field], asked[field], "{field}");
    }
    let questions = async || {
        let path = "/sessions/stream?follow=false";
        let text = client.get(path).await.text;
        let first = text.lines().find_map(|it| it.strip_prefix("data: "));
        let first: Value = serde_json::from_str(first.unwrap()).unwrap();
        first["questions"].as_array().unwrap().clone()
    };
    let pending = questions().await;
    assert_eq!(pending.len(), 1, "{pending:?}");
    assert_eq!(pending[0]["request_id"], asked["request_id"]);

    let answer = json!({"request_id": asked["request_id"], "answer": allow_once(&asked)});
    let path = format!("/sessions/{}/answers", session.id);
    client.post(&path, &answer).await.expect(202);
    eventually("the question waits no more", DEADLINE, async || {
        questions().await.is_empty().then_some(())
    })
    .await;
    session.ended().await.completed();
    assert_eq!(receiver.requests().len(), 1);
}
