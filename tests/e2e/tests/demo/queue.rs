//! Prompts that wait for the end of their session's turn.

use aod_e2e::{Client, DEADLINE, Gate, Server, Session, eventually};
use reqwest::Method;
use serde_json::{Value, json};

/// Sends a prompt that waits where the session is busy.
async fn queue(session: &Session, prompt: &str) -> Value {
    let body = json!({"prompt": prompt, "when_busy": "queue"});
    session.prompt_with(&body).await
}

async fn waiting(client: &Client, session: &Session) -> Vec<Value> {
    let path = format!("/sessions/{}/queue", session.id);
    let list = client.get(&path).await.expect(200);
    list["data"].as_array().unwrap().clone()
}

/// Waits until so many turns have ended.
async fn ended(session: &Session, count: usize) -> Vec<Value> {
    eventually("all turns have ended", DEADLINE, async || {
        let turns = session.turns().await;
        let ended = turns.iter().filter(|turn| !turn["ended_at"].is_null());
        (ended.count() == count).then_some(turns)
    })
    .await
}

#[tokio::test]
async fn five_prompts_run_once_and_in_order_though_the_host_is_killed_twice() {
    let mut server = Server::demo().await;
    let (first, third) = (Gate::new("first"), Gate::new("third"));
    let mut session = server.client().demo_session(&first.step()).await;
    first.reached(&server, &session).await;
    let mut ids = Vec::new();
    for number in 1..=5 {
        let gate = match number {
            3 => third.step(),
            _ => String::new(),
        };
        let ack = queue(&session, &format!("$ echo {number} >>order\n{gate}")).await;
        assert_eq!(ack["current_turn"], 1, "{ack}");
        assert_eq!(ack["status"], "running", "{ack}");
        ids.push(ack["queued_id"].clone());
    }
    server.kill_and_start_again().await;
    session = session.at(server.client());
    let listed = waiting(server.client(), &session).await;
    assert_eq!(
        listed.iter().map(|it| &it["id"]).collect::<Vec<_>>(),
        ids.iter().collect::<Vec<_>>()
    );
    assert_eq!(listed[4]["position"], 5);
    first.open(&server, &session);
    third.reached(&server, &session).await;
    server.kill_and_start_again().await;
    session = session.at(server.client());
    third.open(&server, &session);
    let turns = ended(&session, 6).await;
    let order = server.workspace_file(&session.id, "order").unwrap();
    assert_eq!(order, "1\n2\n3\n4\n5\n");
    for (turn, id) in turns[1..].iter().zip(&ids) {
        assert_eq!(turn["outcome"], "completed", "{turn}");
        assert_eq!(turn["queued_id"], *id, "{turn}");
    }
    assert_eq!(turns[0].get("queued_id"), None);
    assert!(waiting(server.client(), &session).await.is_empty());
}

#[tokio::test]
async fn the_host_dies_between_a_turns_end_and_the_next() {
    let mut server = Server::demo().await;
    let gate = Gate::new("gate");
    let mut session = server.client().demo_session(&gate.step()).await;
    gate.reached(&server, &session).await;
    queue(&session, "$ echo queued >>order").await;
    server.kill();
    gate.open(&server, &session);
    // The turn ends while there is no host.
    eventually("the turn's process ends", DEADLINE, async || {
        server.supervisors().is_empty().then_some(())
    })
    .await;
    server.start_again().await;
    session = session.at(server.client());
    ended(&session, 2).await;
    let order = server.workspace_file(&session.id, "order").unwrap();
    assert_eq!(order, "queued\n");
}

#[tokio::test]
async fn what_waits_can_be_taken_out_and_comes_before_others() {
    let server = Server::demo().await;
    let client = server.client();
    let gate = Gate::new("gate");
    let session = client.demo_session(&gate.step()).await;
    gate.reached(&server, &session).await;
    let kept = queue(&session, "$ echo kept >>order").await;
    let removed = queue(&session, "$ echo removed >>order").await;
    let path = |id: &Value| format!("/sessions/{}/queue/{}", session.id, id.as_str().unwrap());
    let one = client.get(&path(&removed["queued_id"])).await.expect(200);
    assert_eq!(one["prompt"], "$ echo removed >>order");
    assert_eq!(one["position"], 2);
    let other = server.add_user("other");
    other.get(&path(&removed["queued_id"])).await.refusal(404);
    other
        .delete(&path(&removed["queued_id"]))
        .await
        .refusal(404);
    client
        .delete(&path(&removed["queued_id"]))
        .await
        .expect(200);
    let gone = client.delete(&path(&removed["queued_id"])).await;
    assert_eq!(gone.refusal(404), "Queued prompt not found");
    // A prompt that does not wait is refused, as ever.
    let prompt = format!("/sessions/{}/prompt", session.id);
    let refused = client
        .post(&prompt, &json!({"prompt": "x"}))
        .await
        .refusal(409);
    assert!(refused.contains("queue"), "{refused}");
    gate.open(&server, &session);
    let turns = ended(&session, 2).await;
    assert_eq!(turns[1]["queued_id"], kept["queued_id"]);
    let order = server.workspace_file(&session.id, "order").unwrap();
    assert_eq!(order, "kept\n");
    // With nothing to wait for, it is begun at once.
    let ack = queue(&session, "$ echo more >>order").await;
    assert_eq!(ack["current_turn"], 3, "{ack}");
    assert_eq!(ack.get("queued_id"), None, "{ack}");
    session.ended().await.completed();
}

#[tokio::test]
async fn the_same_request_waits_once() {
    let server = Server::demo().await;
    let client = server.client();
    let gate = Gate::new("gate");
    let session = client.demo_session(&gate.step()).await;
    gate.reached(&server, &session).await;
    let path = format!("/sessions/{}/prompt", session.id);
    let send = async || {
        let body = json!({"prompt": "$ echo once >>order", "when_busy": "queue"});
        let request = client.request(Method::POST, &path).json(&body);
        let request = request.header("idempotency-key", "k");
        client.send(request).await.expect(202)
    };
    let first = send().await;
    assert_eq!(send().await, first);
    assert_eq!(waiting(client, &session).await.len(), 1);
    gate.open(&server, &session);
    ended(&session, 2).await;
    // Also when it has run.
    assert_eq!(send().await, first);
    let order = server.workspace_file(&session.id, "order").unwrap();
    assert_eq!(order, "once\n");
}

#[tokio::test]
async fn the_queue_goes_on_after_an_interruption_and_a_failure_and_ends_with_the_session() {
    let server = Server::demo().await;
    let client = server.client();
    let (first, last) = (Gate::new("first"), Gate::new("last"));
    let session = client.demo_session(&first.step()).await;
    first.reached(&server, &session).await;
    queue(&session, "fail").await;
    queue(&session, &last.step()).await;
    queue(&session, "$ echo never >>order").await;
    let path = |what: &str| format!("/sessions/{}/{what}", session.id);
    client.post_empty(&path("interrupt")).await.expect(202);
    last.reached(&server, &session).await;
    let turns = session.turns().await;
    let outcomes: Vec<_> = turns.iter().map(|turn| turn["outcome"].as_str()).collect();
    assert_eq!(outcomes, [Some("interrupted"), Some("failed"), None]);
    client.post_empty(&path("terminate")).await.expect(200);
    assert!(waiting(client, &session).await.is_empty());
    assert_eq!(session.turns().await.len(), 3);
    assert_eq!(server.workspace_file(&session.id, "order"), None);
    let gone = client
        .post(
            &path("prompt"),
            &json!({"prompt": "x", "when_busy": "queue"}),
        )
        .await;
    assert!(gone.refusal(409).contains("terminated"));
    client.delete(&path("delete")).await.expect(200);
}

#[tokio::test]
async fn so_many_prompts_wait_and_no_more() {
    let server = Server::demo().await;
    let client = server.client();
    let gate = Gate::new("gate");
    let session = client.demo_session(&gate.step()).await;
    gate.reached(&server, &session).await;
    for _ in 0..100 {
        queue(&session, "x").await;
    }
    let path = format!("/sessions/{}/prompt", session.id);
    let body = json!({"prompt": "x", "when_busy": "queue"});
    let refused = client.post(&path, &body).await.expect(429);
    assert_eq!(refused["limit"], 100, "{refused}");
    let path = format!("/sessions/{}/terminate", session.id);
    client.post_empty(&path).await.expect(200);
}
