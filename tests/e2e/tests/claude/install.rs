//! Claude Code as `runtimes.toml` declares it: installed from npm on first use.

use std::time::Duration;

use aod_e2e::{MODEL_HOST, Runtimes, Server, ServerOptions, plugin, within};
use aod_standin::{Options, Standin};
use futures::future::join;
use serde_json::json;

use crate::{MODEL, result, secret};

/// It downloads some hundred megabytes.
const DOWNLOAD: Duration = Duration::from_secs(300);

#[tokio::test]
async fn two_first_sessions_share_one_installation() {
    let install = "install = { npm = \"@anthropic-ai/claude-code@2.1.331\" }\n";
    let runtimes = Runtimes::default().with("claude", &plugin("claude"), install);
    let server = Server::start(ServerOptions::new(runtimes)).await;
    let model = Standin::start(Options::default()).await.unwrap();
    let client = server.client();
    let agent = client
        .create_agent(&json!({"name": "a", "runtime": "claude", "model": MODEL}))
        .await;
    let environment = client
        .create_environment(&json!({
            "name": "e",
            "env_vars": {"ANTHROPIC_API_KEY": secret(), "ANTHROPIC_BASE_URL": model.url_at(MODEL_HOST)},
        }))
        .await;
    let body = json!({"agent_id": agent, "environment_id": environment, "prompt": "[[say hi]]"});
    let first = client.create_session(&body).await;
    let second = client.create_session(&body).await;
    let (mut one, mut two) = (first.stream().await, second.stream().await);
    within(
        "both installations",
        DOWNLOAD,
        join(one.rest_within(DOWNLOAD), two.rest_within(DOWNLOAD)),
    )
    .await;
    for session in [&first, &second] {
        let ended = session.ended().await.completed();
        assert_eq!(result(&ended.stdout()), "hi");
        let setup = ended
            .events
            .iter()
            .find(|e| e.data["stage"] == "provision_setup" && e.data["state"] == "done");
        assert!(setup.is_some(), "{:#?}", ended.events);
    }
    let installed: Vec<_> = std::fs::read_dir(server.data().join("runtimes"))
        .unwrap()
        .collect();
    assert_eq!(installed.len(), 1, "{installed:?}");
    let said: Vec<bool> = [&first, &second]
        .map(|session| server.session_folder(&session.id).join("provisioning.log"))
        .map(|log| std::fs::read_to_string(log).is_ok_and(|text| text.contains("npm install")))
        .into();
    assert_eq!(
        said.iter().filter(|said| **said).count(),
        1,
        "npm ran once: {said:?}"
    );
    // Later sessions and turns have nothing left to set up.
    let third = client.create_session(&body).await.ended().await.completed();
    assert!(
        !third
            .events
            .iter()
            .any(|event| event.data["stage"] == "provision_setup")
    );
    let runtime = client.get("/runtimes/claude").await.expect(200);
    assert_eq!(runtime["health"], "ready", "{runtime}");
}
