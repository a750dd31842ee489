//! Which of a CLI's own tools may be called: the agent's `permissions`.

use serde_json::{Value, json};

use crate::lab::{Lab, Vendor, said};
use crate::tools::event;

each_vendor!(own_tools_are_denied_or_asked_for);

/// The CLI's tool that runs commands, and one that reads files; none where a CLI cannot be told
/// what to keep from.
fn tools_of(vendor: &Vendor) -> Option<(&'static str, &'static str)> {
    match vendor.runtime {
        "claude" => Some(("Bash", "Read")),
        "gemini" => Some(("run_shell_command", "read_file")),
        "opencode" => Some(("bash", "read")),
        _ => None,
    }
}

async fn own_tools_are_denied_or_asked_for(vendor: &'static Vendor) {
    let lab = Lab::new(vendor).await;
    let agent = |permissions: Value| {
        json!({
            "name": "a", "runtime": vendor.runtime, "model": vendor.model,
            "permissions": permissions,
        })
    };
    let Some((shell, reader)) = tools_of(vendor) else {
        let deny = agent(json!({"tools": {"shell": "deny"}}));
        let refusal = lab.client().post("/agents", &deny).await.refusal(422);
        assert!(refusal.contains("permissions"), "{refusal}");
        assert!(refusal.contains("tool_policies"), "{refusal}");
        return;
    };
    let make = |name: &str| format!("[[bash touch {name}]]");
    let is_there = |session: &str, name| lab.server.workspace_file(session, name).is_some();

    // What is denied is not offered, and all else is.
    let denied = lab
        .client()
        .create_agent(&agent(json!({"tools": {shell: "deny"}})))
        .await;
    let body = json!({"agent_id": denied, "prompt": make("denied.txt")});
    let session = lab.session_with(body).await;
    session.ended().await;
    assert!(!is_there(&session.id, "denied.txt"));
    let offered = offered(&lab);
    assert!(!offered.iter().any(|it| it == shell), "{offered:?}");
    assert!(offered.iter().any(|it| it == reader), "{offered:?}");

    // What is to be asked for waits for the answer.
    let asking = lab
        .client()
        .create_agent(&agent(json!({"tools": {shell: "ask"}})))
        .await;
    let body = json!({"agent_id": asking, "prompt": make("asked.txt")});
    let session = lab.session_with(body).await;
    let asked = event(&session, "permission.request").await;
    assert!(!is_there(&session.id, "asked.txt"));
    let path = format!("/sessions/{}/answers", session.id);
    let choices = asked["choices"].as_array().unwrap();
    let once = choices.iter().find(|it| it["meaning"] == "allow_once");
    let answer = json!({"request_id": asked["request_id"], "answer": once.unwrap()["id"]});
    lab.client().post(&path, &answer).await.expect(202);
    session.ended().await.completed();
    assert!(is_there(&session.id, "asked.txt"));

    // All but one are denied; the agent's own tools are no part of that.
    let custom = json!({
        "name": "lookup_fruit", "description": "Looks a fruit up.",
        "input_schema": {"type": "object", "properties": {"text": {"type": "string"}}},
        "default": {"content": "It is a stone fruit."}, "timeout": 1,
    });
    let mut body = agent(json!({"default": "deny", "tools": {reader: "allow"}}));
    body["tools"] = json!([custom]);
    let strict = lab.client().create_agent(&body).await;
    let prompt = "[[mcp lookup_fruit {\"text\": \"plum\"}]]";
    let session = lab
        .session_with(json!({"agent_id": strict, "prompt": prompt}))
        .await;
    let ended = session.ended().await.completed();
    let answer = said(&session, &ended).await;
    assert!(answer.contains("stone fruit"), "{answer}");
    let offered = self::offered(&lab);
    assert!(!offered.iter().any(|it| it == shell), "{offered:?}");

    // What is misspelt is not allowed without a word.
    let misspelt = lab
        .client()
        .create_agent(&agent(json!({"tools": {"shel": "deny"}})))
        .await;
    let session = lab
        .session_with(json!({"agent_id": misspelt, "prompt": "hello"}))
        .await;
    let failed = session.ended().await;
    let error = format!("{:?}", failed.events);
    assert!(error.contains("permissions.tools.shel"), "{error}");
    assert!(error.contains(shell), "{error}");
}

/// The names of the tools that the model was last offered.
fn offered(lab: &Lab) -> Vec<String> {
    let requests = lab.model.requests();
    let last = requests.iter().rfind(|it| it.body["tools"].is_array());
    let mut names = Vec::new();
    let mut waiting = vec![&last.unwrap().body["tools"]];
    while let Some(value) = waiting.pop() {
        match value {
            Value::Array(items) => waiting.extend(items),
            Value::Object(tool) => {
                names.extend(tool.get("name").and_then(Value::as_str).map(str::to_owned));
                waiting.extend(tool.get("functionDeclarations"));
            }
            _ => {}
        }
    }
    names
}
