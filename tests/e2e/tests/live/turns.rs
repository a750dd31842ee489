//! What the next prompt finds.

use aod_e2e::{DEADLINE, Server, Session, eventually};
use serde_json::json;

use crate::{says_who_it_is, server, session, who};

#[tokio::test]
async fn the_next_prompt_goes_to_the_process_that_is_there() {
    let server = server("60s").await;
    let session = session(&server, json!({})).await;
    let (process, prompts) = who(&server, &session).await;
    assert_eq!(prompts, 1);
    for turn in 2..=4 {
        session.prompt(&says_who_it_is()).await;
        assert_eq!(who(&server, &session).await, (process, turn));
    }
    assert_eq!(server.supervisors().len(), 1);
    let turns = session.turns().await;
    assert_eq!(turns.len(), 4);
    for turn in &turns {
        assert_eq!(turn["outcome"], "completed", "{turn}");
    }
    let started = format!("/sessions/{}/events?limit=200", session.id);
    let page = server.client().get(&started).await.expect(200);
    let started: Vec<_> = page["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["type"] == "turn.started")
        .map(|event| (event["turn"].as_u64(), event["continuity"].as_str()))
        .collect();
    let native = |turn| (Some(turn), Some("native"));
    let first = (Some(1), Some("first"));
    assert_eq!(started, [first, native(2), native(3), native(4)]);
}

/// The process ends by itself, and the next prompt has one of its own.
async fn the_next_prompt_finds_none(server: &Server, session: &Session) {
    eventually("the process ends", DEADLINE, async || {
        server.supervisors().is_empty().then_some(())
    })
    .await;
    session.prompt(&says_who_it_is()).await;
    let (_, prompts) = who(server, session).await;
    assert_eq!(prompts, 1);
}

#[tokio::test]
async fn without_a_time_to_stay_each_turn_has_a_process_of_its_own() {
    let server = server("0s").await;
    let session = session(&server, json!({})).await;
    who(&server, &session).await;
    the_next_prompt_finds_none(&server, &session).await;
}

#[tokio::test]
async fn a_process_that_is_not_wanted_for_long_ends() {
    let server = server("300ms").await;
    let session = session(&server, json!({})).await;
    who(&server, &session).await;
    the_next_prompt_finds_none(&server, &session).await;
}

#[tokio::test]
async fn a_changed_secret_works_in_the_next_turn() {
    let server = server("60s").await;
    let client = server.client();
    let value = |value: &str| json!({"value": value});
    client
        .put("/credentials/env:THE_KEY", &value("0123456789"))
        .await;
    let session = session(&server, json!({})).await;
    let (process, _) = who(&server, &session).await;
    session.prompt(&says_who_it_is()).await;
    assert_eq!(who(&server, &session).await, (process, 2));
    client
        .put("/credentials/env:THE_KEY", &value("9876543210"))
        .await;
    session.prompt(&says_who_it_is()).await;
    // A sandbox's first processes have the same ids.
    let (_, prompts) = who(&server, &session).await;
    assert_eq!(prompts, 1);
}

#[tokio::test]
async fn a_deleted_session_leaves_no_process() {
    let server = server("60s").await;
    let session = session(&server, json!({})).await;
    who(&server, &session).await;
    let tree = server.supervisor();
    let path = format!("/sessions/{}/delete", session.id);
    server.client().delete(&path).await.expect(200);
    assert!(tree.survivors().is_empty());
}

#[tokio::test]
async fn an_interrupted_turn_keeps_its_process() {
    let server = server("60s").await;
    let session = session(&server, json!({})).await;
    let (process, _) = who(&server, &session).await;
    let waits = [
        r#"{"say":"delta","item":1,"text":"a"}"#,
        "wait",
        r#"{"say":"done","state":"interrupted"}"#,
    ];
    session.prompt(&waits.join("\n")).await;
    let mut stream = server.client().stream(&session.id, None).await;
    stream
        .until(|event| event.data["turn"] == 2 && event.kind() == "output")
        .await;
    let path = format!("/sessions/{}/interrupt", session.id);
    server.client().post_empty(&path).await.expect(202);
    session.ended().await;
    assert_eq!(session.turns().await[1]["outcome"], "interrupted");
    session.prompt(&says_who_it_is()).await;
    assert_eq!(who(&server, &session).await, (process, 3));
}

#[tokio::test]
async fn what_rests_makes_room_for_what_runs() {
    let options = crate::options("60s")
        .set("AOD_ADMISSION__MEMORY", "100MiB")
        .set("AOD_ADMISSION__TURN_MEMORY", "60MiB");
    let server = aod_e2e::Server::start(options).await;
    let first = session(&server, json!({})).await;
    who(&server, &first).await;
    let second = session(&server, json!({})).await;
    who(&server, &second).await;
    eventually("one is left", DEADLINE, async || {
        (server.supervisors().len() == 1).then_some(())
    })
    .await;
    first.prompt(&says_who_it_is()).await;
    let (_, prompts) = who(&server, &first).await;
    assert_eq!(prompts, 1);
}
