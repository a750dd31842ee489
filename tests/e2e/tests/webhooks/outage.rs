//! Receivers that are down, and a server that is killed.

use std::collections::{HashMap, HashSet};

use aod_e2e::{DEADLINE, Receiver, ReceiverOptions, Server, eventually, free_port};
use serde_json::Value;

use crate::{SECRET, deliveries, in_state, options, webhook};

#[tokio::test]
async fn every_event_comes_at_least_once_whoever_is_down_or_killed() {
    let mut server = Server::start(options()).await;
    let port = free_port();
    let hook = webhook(&server, &format!("http://127.0.0.1:{port}/hook")).await;
    // Nobody listens yet.
    let mut turns = HashSet::new();
    for round in 0..3 {
        let session = server.client().demo_session("hello").await;
        session.ended().await.completed();
        turns.insert(format!("turn.completed {}", session.id));
        if round == 1 {
            in_state(&server, &hook, "pending", 1).await;
            server.kill_and_start_again().await;
        }
    }
    let failing = server.client().demo_session("fail").await;
    let failed = failing.ended().await;
    let word = failed.turn["outcome"].as_str().unwrap();
    turns.insert(format!("turn.{word} {}", failing.id));
    // Killed at the moment of a turn's end: the message stands with it, or neither does.
    let last = server.client().demo_session("hello").await;
    last.wait_for("completed").await;
    server.kill_and_start_again().await;
    turns.insert(format!("turn.completed {}", last.id));

    // As often as in a minute with the settings that hold where nothing is said.
    eventually(
        "the first message was tried some times",
        DEADLINE,
        async || {
            let oldest = deliveries(&server, &hook).await.pop()?;
            let error = oldest["last_error"].as_str()?;
            assert!(error.contains("no connection"), "{error}");
            (oldest["attempts"].as_u64()? >= 5).then_some(())
        },
    )
    .await;
    let receiver = Receiver::start(ReceiverOptions {
        port,
        secrets: vec![SECRET.to_owned()],
        answers: "500,500,200".to_owned(),
        ..ReceiverOptions::default()
    })
    .await;
    let settled = in_state(&server, &hook, "delivered", turns.len()).await;
    assert_eq!(settled.len(), turns.len(), "{settled:#?}");

    let requests = receiver.requests();
    let mut bodies: HashMap<String, Value> = HashMap::new();
    let mut taken = HashSet::new();
    for request in &requests {
        assert_eq!(request["verified"], serde_json::json!([true]), "{request}");
        let id = request["headers"]["webhook-id"].as_str().unwrap();
        // What is sent again is the same.
        let body = &request["body"];
        let first = bodies.entry(id.to_owned()).or_insert_with(|| body.clone());
        assert_eq!(first, body);
        if request["answered"] == 200 {
            let session = body["data"]["session_id"].as_str().unwrap();
            taken.insert(format!("{} {session}", body["type"].as_str().unwrap()));
        }
    }
    assert_eq!(taken, turns);
    assert_eq!(bodies.len(), turns.len(), "an event has two ids");
    for delivery in &settled {
        assert_eq!(delivery["last_status"], 200, "{delivery}");
        assert!(delivery["attempts"].as_u64().unwrap() >= 2, "{delivery}");
        assert!(bodies.contains_key(delivery["message_id"].as_str().unwrap()));
    }
    let refused = requests.iter().filter(|it| it["answered"] == 500).count();
    assert_eq!(refused, 2);
    // The secret is nowhere but sealed.
    assert!(!server.log().contains("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
    let data = aod_e2e::files_with(&server.data(), "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", &|_| {
        true
    });
    assert!(data.is_empty(), "{data:?}");
}

#[tokio::test]
async fn what_nobody_takes_is_given_up_and_can_be_sent_again() {
    let options = options().set("AOD_WEBHOOKS__GIVE_UP", "1s");
    let server = Server::start(options).await;
    let port = free_port();
    let hook = webhook(&server, &format!("http://127.0.0.1:{port}/hook")).await;
    let session = server.client().demo_session("hello").await;
    session.ended().await.completed();
    let failed = in_state(&server, &hook, "failed", 1).await.remove(0);
    assert!(failed["attempts"].as_u64().unwrap() >= 2, "{failed}");
    assert_eq!(failed["next_attempt_at"], Value::Null);
    let why = failed["last_error"].as_str().unwrap();
    assert!(why.contains("no connection"), "{why}");

    let receiver = Receiver::start(ReceiverOptions {
        port,
        secrets: vec![SECRET.to_owned()],
        ..ReceiverOptions::default()
    })
    .await;
    let id = failed["id"].as_str().unwrap();
    let path = format!("/webhooks/{hook}/deliveries/{id}/redeliver");
    let again = server.client().post_empty(&path).await.expect(202);
    assert_eq!(again["state"], "pending");
    let taken = in_state(&server, &hook, "delivered", 1).await.remove(0);
    assert_eq!(taken["message_id"], failed["message_id"]);
    assert_eq!(receiver.taken("turn.completed").len(), 1);
    let metrics = server.client().get("/metrics").await.text;
    assert!(
        metrics.contains("aod_webhook_attempts_total{result=\"delivered\"} 1"),
        "{metrics}"
    );
    assert!(
        metrics.contains("aod_webhook_given_up_total 1"),
        "{metrics}"
    );
    assert!(
        metrics.contains("aod_webhook_deliveries_pending 0"),
        "{metrics}"
    );
}
