//! What a process that stays survives, and what it does not.

use std::time::Duration;

use aod_e2e::eventually;
use serde_json::json;

use crate::{says_who_it_is, server, session, who};

#[tokio::test]
async fn a_host_that_starts_again_goes_on_with_a_process_at_rest() {
    let mut server = server("60s").await;
    let session = session(&server, json!({})).await;
    let (process, _) = who(&server, &session).await;
    session.prompt(&says_who_it_is()).await;
    who(&server, &session).await;
    server.kill_and_start_again().await;
    let session = session.at(server.client());
    session.prompt(&says_who_it_is()).await;
    assert_eq!(who(&server, &session).await, (process, 3));
}

#[tokio::test]
async fn a_host_that_starts_again_goes_on_with_a_later_turn_of_a_process() {
    let mut server = server("60s").await;
    let session = session(&server, json!({})).await;
    let (process, _) = who(&server, &session).await;
    let waits = [
        r#"{"say":"delta","item":1,"text":"a"}"#,
        "wait",
        r#"{"say":"message","item":1,"text":"ab"}"#,
        r#"{"say":"done","state":"interrupted"}"#,
    ];
    session.prompt(&waits.join("\n")).await;
    let mut stream = server.client().stream(&session.id, None).await;
    stream
        .until(|event| event.data["turn"] == 2 && event.kind() == "output")
        .await;
    server.kill_and_start_again().await;
    let session = session.at(server.client());
    let path = format!("/sessions/{}/interrupt", session.id);
    server.client().post_empty(&path).await.expect(202);
    session.ended().await;
    assert_eq!(session.turns().await[1]["outcome"], "interrupted");
    let page = format!("/sessions/{}/events?limit=200", session.id);
    let page = server.client().get(&page).await.expect(200);
    let of_second: Vec<&str> = page["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["turn"] == 2)
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    let told = ["turn.started", "message.delta", "message", "turn.result"];
    assert_eq!(of_second, told);
    session.prompt(&says_who_it_is()).await;
    assert_eq!(who(&server, &session).await, (process, 3));
}

#[tokio::test]
async fn a_process_at_rest_that_dies_costs_nothing() {
    let server = server("60s").await;
    let session = session(&server, json!({})).await;
    who(&server, &session).await;
    let tree = server.supervisor();
    tree.root.kill();
    eventually("it is gone", Duration::from_secs(30), async || {
        tree.survivors().is_empty().then_some(())
    })
    .await;
    session.prompt(&says_who_it_is()).await;
    let (_, prompts) = who(&server, &session).await;
    assert_eq!(prompts, 1);
    assert_eq!(session.turns().await[0]["outcome"], "completed");
}
