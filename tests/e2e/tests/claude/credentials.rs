//! Keys and tokens: they reach the CLI, and nobody else.

use aod_e2e::{Gate, Runtimes, Server, ServerOptions, files_with, processes_with};
use aod_standin::{Options, Standin};
use serde_json::json;

use crate::{Lab, MODEL, result, secret};

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
            "env_vars": {"CLAUDE_CODE_OAUTH_TOKEN": token, "ANTHROPIC_BASE_URL": model.url()},
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
        ("env:ANTHROPIC_BASE_URL", &model.url()),
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

#[tokio::test]
async fn a_missing_key_is_named_with_the_ways_to_supply_it() {
    let model = Standin::start(Options::default()).await.unwrap();
    let server = Server::start(ServerOptions::new(Runtimes::vendor("claude"))).await;
    let client = server.client();
    let body = json!({"name": "hello", "runtime": "claude", "model": MODEL});
    let agent = client.create_agent(&body).await;
    let environment = client
        .create_environment(&json!({
            "name": "e", "env_vars": {"ANTHROPIC_BASE_URL": model.url()},
        }))
        .await;
    let body = json!({"agent_id": agent, "environment_id": environment, "prompt": "hi"});
    // Created, and failed by its CLI.
    let session = client.create_session(&body).await;
    let ended = session.ended().await;
    let error = ended.failed();
    for part in ["ANTHROPIC_API_KEY", "env_vars", "aod credential set"] {
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }
    assert_ne!(ended.session["exit_code"], 0);
    assert_eq!(ended.session["resumable"], true);
    // Secrets are read anew at each turn: supplied now, it works.
    let changes = json!({
        "version": 1,
        "env_vars": {"ANTHROPIC_API_KEY": secret(), "ANTHROPIC_BASE_URL": model.url()},
    });
    client
        .put(&format!("/environments/{environment}"), &changes)
        .await
        .expect(200);
    session.prompt("[[say hi]]").await;
    assert_eq!(
        result(&session.ended().await.completed().last_stdout()),
        "hi"
    );
}

#[tokio::test]
async fn a_key_is_nowhere_but_in_the_sandbox() {
    let lab = Lab::new().await;
    let gate = Gate::new("gate");
    let prompt = format!("[[bash env; {}; echo $ANTHROPIC_API_KEY]]", gate.command());
    let session = lab.session(&prompt).await;
    gate.reached(&lab.server, &session).await;
    assert_eq!(processes_with(&lab.key), Vec::<String>::new());
    gate.open(&lab.server, &session);
    let ended = session.ended().await.completed();
    assert_eq!(
        lab.messages()[0].headers["x-api-key"],
        lab.key,
        "it arrives"
    );
    let stdout = ended.stdout();
    assert!(stdout.contains("[redacted:ANTHROPIC_API_KEY]"), "{stdout}");

    let client = lab.client();
    for path in [
        format!("/sessions/{}", session.id),
        format!("/sessions/{}/turns", session.id),
        format!("/sessions/{}/stream", session.id),
        format!("/environments/{}", lab.environment),
        format!("/environments/{}/versions", lab.environment),
        format!("/agents/{}", lab.agent),
    ] {
        let reply = client.get(&path).await;
        assert!(!reply.text.contains(&lab.key), "{path}: {}", reply.text);
    }
    assert!(
        !lab.server.log().contains(&lab.key),
        "it is in the server's log"
    );
    let private = |path: &std::path::Path| path.ends_with("workspace") || path.ends_with("home");
    let files = files_with(&lab.server.data(), &lab.key, &private);
    assert!(files.is_empty(), "the key is in {files:?}");
}
