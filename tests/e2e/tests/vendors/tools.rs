//! The agent's own tools: every CLI calls them, waits, and goes on with what it is told.

use std::time::Duration;

use aod_e2e::{MODEL_HOST, Session, eventually};
use serde_json::{Value, json};

use crate::lab::{Lab, Vendor, said};

each_vendor!(
    a_tool_of_the_agents_own_is_called_and_answered,
    a_permission_for_a_tool_of_an_mcp_server_is_asked_for,
);

/// On a busy machine, a CLI may take a minute to come so far.
const PATIENCE: Duration = Duration::from_secs(180);

/// The event of this type, once it is told.
pub(crate) async fn event(session: &Session, kind: &str) -> Value {
    eventually(&format!("{kind} is told"), PATIENCE, async || {
        let path = format!("/sessions/{}/events?limit=200", session.id);
        let page = session.client.get(&path).await.expect(200);
        let status = session.read().await["status"].clone();
        assert!(status == "pending" || status == "running", "{page:#}");
        let all = page["data"].as_array().unwrap().iter();
        let mut told = all.filter(|it| it["type"] == kind);
        told.next().cloned()
    })
    .await
}

async fn a_tool_of_the_agents_own_is_called_and_answered(vendor: &'static Vendor) {
    let mut lab = Lab::new(vendor).await;
    let tool = json!({
        "name": "lookup_fruit",
        "description": "Looks a fruit up.",
        "input_schema": {
            "type": "object",
            "properties": {"text": {"type": "string"}},
            "required": ["text"],
        },
    });
    let agent = lab.agent(json!({"tools": [tool]})).await;
    let prompt = "[[mcp lookup_fruit {\"text\": \"plum\"}]]";
    let mut session = lab
        .session_with(json!({"agent_id": agent, "prompt": prompt}))
        .await;
    let asked = event(&session, "tool.request").await;
    assert_eq!(asked["name"], "lookup_fruit");
    assert_eq!(asked["input"], json!({"text": "plum"}));
    // The call outlives the host.
    lab.server.kill_and_start_again().await;
    session = session.at(lab.client());
    let path = format!("/sessions/{}/answers", session.id);
    let answer = json!({"request_id": asked["request_id"], "content": "It is a stone fruit."});
    lab.client().post(&path, &answer).await.expect(202);
    let ended = session.ended().await.completed();
    let answer = said(&session, &ended).await;
    assert!(answer.contains("It is a stone fruit."), "{answer}");
}

async fn a_permission_for_a_tool_of_an_mcp_server_is_asked_for(vendor: &'static Vendor) {
    let lab = Lab::new(vendor).await;
    let servers = json!([{
        "name": "far-notes",
        "type": "url",
        "url": format!("{}/mcp", lab.model.url_at(MODEL_HOST)),
        "permissions": {"tools": {"echo": "ask"}},
    }]);
    let agent = lab.agent(json!({"mcp_servers": servers})).await;
    let prompt = "[[mcp echo {\"text\": \"plum\"}]]";
    let session = lab
        .session_with(json!({"agent_id": agent, "prompt": prompt}))
        .await;
    let asked = event(&session, "permission.request").await;
    assert_eq!(asked["detail"]["tool"], "echo");
    let path = format!("/sessions/{}/answers", session.id);
    let answer = json!({"request_id": asked["request_id"], "answer": "allow"});
    lab.client().post(&path, &answer).await.expect(202);
    let ended = session.ended().await.completed();
    let answer = said(&session, &ended).await;
    assert!(answer.contains("echo: plum"), "{answer}");
}
