//! Files of sessions that nobody uses: announced, and then removed.

use aod_e2e::{DEADLINE, Receiver, ReceiverOptions, Server, eventually};
use serde_json::json;

use crate::{SECRET, in_state, options, webhook};

#[tokio::test]
async fn the_removal_of_old_files_is_announced_and_done() {
    let options = options()
        .set("AOD_RETENTION__FILES", "3s")
        .set("AOD_RETENTION__NOTICE", "2s");
    let server = Server::start(options).await;
    let receiver = Receiver::start(ReceiverOptions {
        secrets: vec![SECRET.to_owned()],
        ..ReceiverOptions::default()
    })
    .await;
    let hook = webhook(&server, &receiver.url()).await;
    let session = server.client().demo_session("$ echo here >file").await;
    let events = session.ended().await.completed().events;
    session.checkpoint(1).await;
    in_state(&server, &hook, "delivered", 2).await;
    let told = receiver.has(2).await;
    let expiring = told
        .iter()
        .map(|request| &request["body"])
        .find(|body| body["type"] == "session.expiring")
        .unwrap();
    assert_eq!(expiring["data"]["session_id"], session.id.as_str());
    let expires_at = expiring["data"]["expires_at"].as_str().unwrap();
    let removed = eventually("the files are removed", DEADLINE, async || {
        let read = session.read().await;
        read["files_removed_at"].is_string().then_some(read)
    })
    .await;
    let removed_at = removed["files_removed_at"].as_str().unwrap();
    assert!(removed_at >= expires_at, "{removed_at} {expires_at}");
    assert_eq!(removed["resumable"], false);
    assert_eq!(removed.get("expires_at"), None);
    eventually("nothing is left of them", DEADLINE, async || {
        let is_there = server.workspace_file(&session.id, "file").is_some();
        let checkpoints = server.session_folder(&session.id).join("checkpoints");
        (!is_there && !checkpoints.exists()).then_some(())
    })
    .await;
    for (what, body) in [
        ("prompt", json!({"prompt": "on"})),
        ("fork", json!({"turn": 1})),
        ("restore", json!({"turn": 1})),
    ] {
        let path = format!("/sessions/{}/{what}", session.id);
        let said = server.client().post(&path, &body).await.refusal(409);
        assert!(said.contains("files were removed"), "{what}: {said}");
    }
    // Its history is there.
    assert_eq!(session.stream().await.rest().await, events);
}
