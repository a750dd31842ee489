//! What another user owns is not there.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{agent, server};

/// A body that the route would take from the owner.
fn body(method: &str, path: &str) -> Option<Value> {
    match (method, path) {
        ("put", _) => Some(json!({"version": 1, "name": "taken over"})),
        ("patch", _) => Some(json!({"title": "taken over"})),
        ("post", path) if path.ends_with("/prompt") => Some(json!({"prompt": "x"})),
        ("post", path) if path.ends_with("/answers") => {
            Some(json!({"request_id": "x", "answer": "x"}))
        }
        ("post", path) if path.ends_with("/restore") => Some(json!({"turn": 1})),
        _ => None,
    }
}

#[tokio::test]
async fn every_route_hides_what_is_anothers() {
    let server = server().await;
    let owner = server.client();
    let other = server.add_user("other");
    let agent_id = owner.create_agent(&agent()).await;
    let environment = owner.create_environment(&json!({"name": "e"})).await;
    let session = owner.demo_session("hello").await;
    session.ended().await.completed();
    let token = owner
        .post("/tokens", &json!({"name": "t"}))
        .await
        .expect(201);
    let things = [
        ("/agents", agent_id.as_str()),
        ("/environments", &environment),
        ("/sessions", &session.id),
        ("/tokens", token["id"].as_str().unwrap()),
    ];
    let before = snapshot(owner, &things).await;

    let document = owner.get("/openapi.json").await.expect(200);
    let mut tried = 0;
    for (path, routes) in document["paths"].as_object().unwrap() {
        let Some((_, id)) = things
            .iter()
            .find(|(collection, _)| path.starts_with(&format!("{collection}/{{id}}")))
        else {
            continue;
        };
        for method in routes.as_object().unwrap().keys() {
            let Ok(verb) = Method::from_bytes(method.to_uppercase().as_bytes()) else {
                continue;
            };
            let ask = async |id: &str| {
                let path = path
                    .replace("{id}", id)
                    .replace("{path}", "x")
                    .replace("{queued_id}", &uuid::Uuid::nil().to_string())
                    .replace("{name}", "x");
                let mut request = other.request(verb.clone(), &path);
                if let Some(body) = body(method, &path) {
                    request = request.json(&body);
                }
                other.send(request).await
            };
            let foreign = ask(id).await.refusal(404);
            // It cannot be told from what is not there at all.
            let absent = ask(&uuid::Uuid::new_v4().to_string()).await.refusal(404);
            assert_eq!(foreign, absent, "{method} {path}");
            assert!(foreign.ends_with("not found"), "{method} {path}: {foreign}");
            ask("not-an-id").await.refused(404);
            tried += 1;
        }
    }
    assert!(tried >= 18, "only {tried} routes were tried");
    for (collection, _) in &things[..3] {
        let listed = other.get(collection).await.expect(200);
        assert_eq!(listed["data"], json!([]), "{collection}");
    }
    let tokens = other.get("/tokens").await.expect(200);
    assert!(
        !tokens.to_string().contains(token["id"].as_str().unwrap()),
        "{tokens}"
    );
    assert_eq!(
        snapshot(owner, &things).await,
        before,
        "something was changed"
    );
}

async fn snapshot(owner: &aod_e2e::Client, things: &[(&str, &str)]) -> Vec<Value> {
    let mut all = Vec::new();
    for (collection, id) in &things[..3] {
        all.push(owner.get(&format!("{collection}/{id}")).await.expect(200));
    }
    let id = things[3].1;
    let tokens = owner.get("/tokens").await.expect(200);
    let token = tokens["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|token| token["id"] == id);
    all.push(token.unwrap()["revoked_at"].clone());
    all
}

#[tokio::test]
async fn anothers_ids_are_not_there_in_bodies_either() {
    let server = server().await;
    let owner = server.client();
    let other = server.add_user("other");
    let foreign_agent = owner.demo_agent().await;
    let foreign_environment = owner.create_environment(&json!({"name": "e"})).await;
    let own_agent = other.demo_agent().await;
    let body = crate::with(agent(), json!({"environment_id": foreign_environment}));
    other.post("/agents", &body).await.refused(404);
    let change = json!({"version": 1, "environment_id": foreign_environment});
    other
        .put(&format!("/agents/{own_agent}"), &change)
        .await
        .refused(404);
    for body in [
        json!({"agent_id": foreign_agent, "prompt": "x"}),
        json!({"agent_id": own_agent, "environment_id": foreign_environment, "prompt": "x"}),
    ] {
        other.post("/sessions", &body).await.refused(404);
    }
    other
        .get(&format!("/agents?limit=1&after={foreign_agent}"))
        .await
        .refused(404);
    assert_eq!(other.get("/sessions").await.expect(200)["data"], json!([]));
}
