//! Keys and tokens: they reach the CLI, and nobody else.

use aod_e2e::{MODEL_HOST, Runtimes, Server, ServerOptions};
use aod_standin::{Options, Standin};
use serde_json::json;

use crate::{MODEL, result, secret};

#[tokio::test]
async fn an_oauth_token_is_sent_as_a_bearer() {
    let model = Standin::start(Options::default()).await.unwrap();
    let server = Server::start(ServerOptions::new(Runtimes::vendor("claude"))).await;
    let client = server.client();
    let body = json!({"name": "hello", "runtime": "claude", "model": MODEL});
    let agent = client.create_agent(&body).await;
    let token = format!("sk-ant-oat01-{}", uuid::Uuid::new_v4().simple());
    let environment = client
        .create_environment(&json!({
            "name": "e",
            "env_vars": {"CLAUDE_CODE_OAUTH_TOKEN": token, "ANTHROPIC_BASE_URL": model.url_at(MODEL_HOST)},
        }))
        .await;
    let body = json!({"agent_id": agent, "environment_id": environment, "prompt": "[[say hi]]"});
    let ended = client.create_session(&body).await.ended().await.completed();
    assert_eq!(result(&ended.stdout()), "hi");
    assert_eq!(ended.session["runtime"], "claude");
    let requests = model.requests();
    let asked: Vec<_> = requests
        .iter()
        .filter(|it| it.path == "/v1/messages")
        .collect();
    assert!(!asked.is_empty());
    for request in asked {
        assert_eq!(request.headers["authorization"], format!("Bearer {token}"));
        assert!(!request.headers.contains_key("x-api-key"));
    }
}

#[tokio::test]
async fn a_registered_token_goes_before_the_registered_key() {
    let model = Standin::start(Options::default()).await.unwrap();
    let server = Server::start(ServerOptions::new(Runtimes::vendor("claude"))).await;
    let client = server.client();
    let (key, token) = (
        secret(),
        format!("sk-ant-oat01-{}", uuid::Uuid::new_v4().simple()),
    );
    for (name, value) in [
        ("provider_key:anthropic", key.as_str()),
        ("runtime_token:claude-oauth", &token),
        ("env:ANTHROPIC_BASE_URL", &model.url_at(MODEL_HOST)),
    ] {
        let set = client
            .put(&format!("/credentials/{name}"), &json!({"value": value}))
            .await
            .expect(200);
        assert_eq!(set["hint"], serde_json::Value::Null, "{set}");
    }
    let body = json!({"name": "hello", "runtime": "claude", "model": MODEL});
    let agent = client.create_agent(&body).await;
    let asked = || {
        let requests = model.requests();
        let asked = requests
            .into_iter()
            .filter(|it| it.path == "/v1/messages")
            .collect::<Vec<_>>();
        assert!(!asked.is_empty());
        asked
    };
    // No environment: the session has the registered credentials and nothing else.
    let body = json!({"agent_id": agent, "prompt": "[[say hi]]"});
    let session = client.create_session(&body).await;
    let ended = session.ended().await.completed();
    assert_eq!(ended.session["environment_id"], serde_json::Value::Null);
    let before = asked();
    for request in &before {
        assert_eq!(request.headers["authorization"], format!("Bearer {token}"));
        assert!(!request.headers.contains_key("x-api-key"));
    }
    // Without the token the next turn of the same session goes back to the key.
    client
        .delete("/credentials/runtime_token:claude-oauth")
        .await
        .expect(200);
    session.prompt("[[say again]]").await;
    assert_eq!(
        result(&session.ended().await.completed().last_stdout()),
        "again"
    );
    let after = asked().split_off(before.len());
    assert!(!after.is_empty());
    for request in &after {
        assert_eq!(request.headers["x-api-key"], key);
        assert!(!request.headers.contains_key("authorization"));
    }
}
