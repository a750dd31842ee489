//! Webhooks as their users make and change them.

use aod_e2e::{Receiver, ReceiverOptions, Server};
use serde_json::{Value, json};

use crate::{SECRET, in_state, options};

#[tokio::test]
async fn a_webhook_is_made_listed_changed_and_deleted() {
    let server = Server::start(options()).await;
    let client = server.client();
    let body = json!({"url": "https://example.com/a"});
    let first = client.post("/webhooks", &body).await.expect(201);
    assert!(first["secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!(first["events"].as_array().unwrap().len(), 10);
    assert_eq!(first["enabled"], true);
    let body = json!({
        "url": "https://example.com/b", "events": ["turn.failed"], "description": "d",
    });
    let second = client.post("/webhooks", &body).await.expect(201);

    let page = client.get("/webhooks?limit=1").await.expect(200);
    assert_eq!(page["data"][0]["id"], second["id"]);
    assert_eq!(page["data"][0].get("secret"), None);
    let next = page["next"].as_str().unwrap();
    let page = client
        .get(&format!("/webhooks?limit=1&after={next}"))
        .await
        .expect(200);
    assert_eq!(page["data"][0]["id"], first["id"]);
    assert_eq!(page.get("next"), None);

    let path = format!("/webhooks/{}", second["id"].as_str().unwrap());
    let changes = json!({"url": "https://example.com/c", "description": null, "events": []});
    let changed = client.patch(&path, &changes).await.expect(200);
    assert_eq!(changed["url"], "https://example.com/c");
    assert_eq!(changed["description"], Value::Null);
    assert_eq!(changed["events"].as_array().unwrap().len(), 10);
    assert_eq!(client.get(&path).await.expect(200), changed);
    client.delete(&path).await.expect(200);
    client.get(&path).await.refused(404);
    client.delete(&path).await.refused(404);
}

#[tokio::test]
async fn what_is_no_webhook_is_refused_by_the_fields_name() {
    let server = Server::start(options()).await;
    let client = server.client();
    let url = "https://example.com/";
    for (body, field) in [
        (json!({}), "url"),
        (json!({"url": 1}), "url"),
        (json!({"url": "ftp://example.com/"}), "url"),
        (json!({"url": "https://user:hunter2@example.com/"}), "url"),
        (json!({"url": "https://example.com/#x"}), "url"),
        (
            json!({"url": format!("https://example.com/{}", "x".repeat(2048))}),
            "url",
        ),
        (json!({"url": url, "events": ["turn.begun"]}), "events"),
        (
            json!({"url": url, "events": ["turn.failed", "turn.failed"]}),
            "events",
        ),
        (json!({"url": url, "events": "turn.failed"}), "events"),
        (json!({"url": url, "secret": "whsec_c2hvcnQ="}), "secret"),
        (json!({"url": url, "secret": "abc"}), "secret"),
        (
            json!({"url": url, "description": "x".repeat(1001)}),
            "description",
        ),
        (json!({"url": url, "enabled": "yes"}), "enabled"),
        (json!({"url": url, "evnts": []}), "evnts"),
    ] {
        let reply = client.post("/webhooks", &body).await;
        let problems = reply.refused(422);
        assert_eq!(problems[0]["loc"][1], field, "{body}: {problems}");
        assert!(!reply.text.contains("hunter2"), "{}", reply.text);
    }
    // Hosts that only a closer look tells to be none.
    for url in [
        "https://exa mple.com/",
        "https://[::g]/",
        "https://a:99999/",
        "http://%/",
    ] {
        client
            .post("/webhooks", &json!({"url": url}))
            .await
            .refused(422);
    }
    let agent = client.demo_agent().await;
    let body = json!({"agent_id": agent, "prompt": "x", "webhook": {"events": [1]}});
    let problems = client.post("/sessions", &body).await.refused(422);
    let fields: Vec<_> = problems.as_array().unwrap().iter().collect();
    assert_eq!(fields.len(), 2, "{problems}");
    let made = client
        .post("/webhooks", &json!({"url": url}))
        .await
        .expect(201);
    let path = format!("/webhooks/{}", made["id"].as_str().unwrap());
    let changes = json!({"secret": SECRET});
    client.patch(&path, &changes).await.refused(422);
    let rotation = json!({"overlap": -1});
    client
        .post(&format!("{path}/rotate"), &rotation)
        .await
        .refused(422);
    for path in [
        format!("{path}/deliveries/x"),
        format!("{path}/deliveries/{}", uuid::Uuid::new_v4()),
        format!("{path}/deliveries?after={}", uuid::Uuid::new_v4()),
        format!("/webhooks/{}/deliveries", uuid::Uuid::new_v4()),
        "/webhooks/x".to_owned(),
    ] {
        client.get(&path).await.refused(404);
    }
    client
        .get(&format!("{path}/deliveries?state=lost"))
        .await
        .refused(422);
}

#[tokio::test]
async fn after_a_rotation_messages_are_signed_with_both_secrets_for_a_while() {
    let server = Server::start(options()).await;
    let client = server.client();
    let (old, new) = (SECRET, "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    let receiver = Receiver::start(ReceiverOptions {
        secrets: vec![old.to_owned(), new.to_owned()],
        ..ReceiverOptions::default()
    })
    .await;
    let hook = crate::webhook(&server, &receiver.url()).await;
    let path = format!("/webhooks/{hook}");
    let mut told = 0;
    let mut verified = async || {
        client.post_empty(&format!("{path}/test")).await.expect(202);
        told += 1;
        let requests = receiver.has(told).await;
        requests[told - 1]["verified"].clone()
    };
    assert_eq!(verified().await, json!([true, false]));
    let rotation = json!({"secret": new});
    let rotated = client.post(&format!("{path}/rotate"), &rotation).await;
    assert_eq!(rotated.expect(200)["secret"], new);
    assert_eq!(verified().await, json!([true, true]));
    let rotation = json!({"secret": new, "overlap": 0});
    client
        .post(&format!("{path}/rotate"), &rotation)
        .await
        .expect(200);
    assert_eq!(verified().await, json!([false, true]));
    let made = client
        .post_empty(&format!("{path}/rotate"))
        .await
        .expect(200);
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"));
    assert_ne!(made["secret"], new);
    in_state(&server, &hook, "delivered", 3).await;
    // A rotation of the vault's identity takes these secrets along.
    server.run(&["vault", "rotate"]);
    assert_eq!(verified().await, json!([false, true]));
}
