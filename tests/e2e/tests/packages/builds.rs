//! One build for all, and what becomes of those that fail.

use aod_e2e::{DEADLINE, Registry, Runtimes, Server, ServerOptions, eventually};
use serde_json::json;

use crate::{environment, layer, layers, printed, server, start};

#[tokio::test]
async fn ten_sessions_at_once_cause_one_build() {
    let registry = Registry::start();
    let server = server(&registry).await;
    let client = server.client();
    let environment = environment(client, json!({"pip": ["held-a"]})).await;
    let mut sessions = Vec::new();
    for _ in 0..10 {
        sessions.push(start(client, &environment, "$ held-a-py").await);
    }
    eventually("nine sessions wait for one", DEADLINE, async || {
        let mut waiting = 0;
        for session in &sessions {
            let said = printed(session).await;
            waiting += usize::from(said.contains("waiting for another session"));
        }
        (waiting == 9 && registry.asked("/simple/held-a/") == 1).then_some(())
    })
    .await;
    let building = layer(client, &environment).await;
    assert_eq!(building, json!({"state": "building"}));
    registry.open();
    for session in &sessions {
        let ended = session.ended().await.completed();
        assert!(ended.stdout().contains("python held-a"));
    }
    assert_eq!(registry.asked("/simple/held-a/"), 1);
    assert_eq!(layers(&server).len(), 1);
}

#[tokio::test]
async fn a_build_that_fails_fails_all_who_wait_for_it_and_is_tried_again() {
    let registry = Registry::start();
    let server = server(&registry).await;
    let client = server.client();
    // The first is found once the registry is open, and the second never.
    let environment = environment(client, json!({"pip": ["held-a", "nowhere"]})).await;
    let first = start(client, &environment, "hello").await;
    eventually("it is being built", DEADLINE, async || {
        (registry.asked("/simple/held-a/") == 1).then_some(())
    })
    .await;
    let second = start(client, &environment, "hello").await;
    eventually("another waits", DEADLINE, async || {
        let said = printed(&second).await;
        said.contains("waiting for another session").then_some(())
    })
    .await;
    registry.open();
    for session in [&first, &second] {
        let ended = session.ended().await;
        let error = ended.failed();
        for word in [
            "provision_setup failed",
            "pip install",
            "exited with code 1",
            "nowhere",
        ] {
            assert!(error.contains(word), "{word}: {error}");
        }
        let stage = ended.events.iter().find(|event| {
            event.data["stage"] == "provision_setup" && event.data["state"] == "failed"
        });
        assert!(stage.is_some(), "{:#?}", ended.events);
    }
    assert_eq!(registry.asked("/simple/nowhere/"), 1);
    assert!(layers(&server).is_empty());
    assert_eq!(layer(client, &environment).await["state"], "missing");
    start(client, &environment, "hello")
        .await
        .ended()
        .await
        .failed();
    assert_eq!(registry.asked("/simple/nowhere/"), 2);
}

#[tokio::test]
async fn who_stops_while_it_builds_leaves_that_to_who_waits() {
    let registry = Registry::start();
    let server = server(&registry).await;
    let client = server.client();
    let environment = environment(client, json!({"npm": ["held-a"]})).await;
    let first = start(client, &environment, "hello").await;
    eventually("it is being built", DEADLINE, async || {
        (registry.asked("/npm/held-a") >= 1).then_some(())
    })
    .await;
    let second = start(client, &environment, "$ held-a-js").await;
    eventually("another waits", DEADLINE, async || {
        let said = printed(&second).await;
        said.contains("waiting for another session").then_some(())
    })
    .await;
    let path = format!("/sessions/{}/terminate", first.id);
    client.post_empty(&path).await.expect(200);
    eventually("the other builds", DEADLINE, async || {
        printed(&second)
            .await
            .contains("$ npm install")
            .then_some(())
    })
    .await;
    registry.open();
    let stdout = second.ended().await.completed().stdout();
    assert!(stdout.contains("node held-a"), "{stdout}");
    assert_eq!(first.ended().await.session["status"], "terminated");
    assert_eq!(layers(&server).len(), 1);
}

#[tokio::test]
async fn what_nobody_uses_goes_and_comes_back_when_it_is_wanted() {
    let registry = Registry::start();
    let options = ServerOptions::new(Runtimes::demo()).set("AOD_PACKAGES__LAYER_AGE", "1ms");
    let mut server = Server::start(registry.serve(options)).await;
    let client = server.client().clone();
    let environment = environment(&client, json!({"pip": ["sample-a"]})).await;
    let mut session = start(&client, &environment, "$ sample-a-py").await;
    session.ended().await.completed();
    assert_eq!(layer(&client, &environment).await["state"], "ready");
    server.stop().await;
    server.start_again().await;
    session.client = server.client().clone();
    eventually("the layer goes", DEADLINE, async || {
        layers(&server).is_empty().then_some(())
    })
    .await;
    let gone = layer(server.client(), &environment).await;
    assert_eq!(gone, json!({"state": "missing"}));
    session.prompt("$ sample-a-py >made").await;
    session.ended().await.completed();
    let made = server.workspace_file(&session.id, "made").unwrap();
    assert_eq!(made, "python sample-a\n");
    assert_eq!(registry.asked("/simple/sample-a/"), 2);
}
