//! What an agent brings: MCP servers, skills, a system prompt.

use aod_e2e::{files_with, repository};
use serde_json::{Value, json};

use crate::{Lab, result, secret};

/// A setup script that places the fixture of an MCP server in the workspace.
fn place_server() -> String {
    let source = repository().join("tests/standin/fixtures/mcp-server.mjs");
    let source = std::fs::read_to_string(source).unwrap();
    format!("cat >/workspace/server.mjs <<'END-OF-SERVER'\n{source}\nEND-OF-SERVER\n")
}

#[tokio::test]
async fn an_mcp_server_is_really_called_and_given_its_sealed_values() {
    let value = secret();
    let servers = json!([{
        "name": "notes",
        "type": "stdio",
        "command": "node",
        "args": ["/workspace/server.mjs", "/workspace/calls.jsonl"],
        "env": {"MCP_TOKEN": value, "MCP_ODD": "a \"quoted\" \\ value"},
    }]);
    let lab = Lab::with(
        json!({"mcp_servers": servers}),
        json!({"setup_script": place_server()}),
    )
    .await;
    let read = lab
        .client()
        .get(&format!("/agents/{}", lab.agent))
        .await
        .expect(200);
    assert_eq!(read["mcp_servers"][0]["env"]["MCP_TOKEN"], "***");
    let session = lab.session("[[mcp echo {\"text\": \"plum\"}]]").await;
    let ended = session.ended().await.completed();
    assert!(
        result(&ended.stdout()).contains("echo: plum"),
        "{}",
        ended.stdout()
    );
    assert!(
        ended
            .events
            .iter()
            .any(|e| e.data["stage"] == "mcp_config" && e.data["state"] == "done"),
        "{:#?}",
        ended.events
    );
    let calls = lab
        .server
        .workspace_file(&session.id, "calls.jsonl")
        .unwrap();
    let call: Value = serde_json::from_str(calls.lines().next().unwrap()).unwrap();
    assert_eq!(call["tool"], "echo");
    assert_eq!(call["arguments"], json!({"text": "plum"}));
    assert_eq!(call["env"]["MCP_TOKEN"], value);
    assert_eq!(call["env"]["MCP_ODD"], "a \"quoted\" \\ value");
    // And again in a later turn.
    session
        .prompt("[[mcp remember {\"text\": \"pear\"}]]")
        .await;
    session.ended().await.completed();
    let calls = lab
        .server
        .workspace_file(&session.id, "calls.jsonl")
        .unwrap();
    assert_eq!(calls.lines().count(), 2);
    let private = |path: &std::path::Path| path.ends_with("workspace") || path.ends_with("home");
    let files = files_with(&lab.server.data(), &value, &private);
    assert!(files.is_empty(), "the sealed value is in {files:?}");
    assert!(!lab.server.log().contains(&value));
}

#[tokio::test]
async fn a_system_prompt_and_skills_arrive() {
    let skill = json!({
        "name": "tangerine-peeling",
        "description": "How tangerines are peeled without a knife.",
        "content": "Start at the top. The secret word is zest.",
    });
    let lab = Lab::with(
        json!({"system": "You are a pomologist; 'quote' \"this\".", "skills": [skill]}),
        json!({}),
    )
    .await;
    let prompt = "[[bash cat ~/.claude/skills/tangerine-peeling/SKILL.md]]";
    let session = lab.session(prompt).await;
    let ended = session.ended().await.completed();
    let asked = &lab.messages()[0].body;
    let system = asked["system"].to_string();
    assert!(
        system.contains("You are a pomologist; 'quote' \\\"this\\\"."),
        "{system}"
    );
    // The CLI itself found the skill, and tells the model of it.
    let whole = asked.to_string();
    assert!(
        whole.contains("How tangerines are peeled without a knife."),
        "{whole}"
    );
    assert!(
        ended.stdout().contains("The secret word is zest."),
        "{}",
        ended.stdout()
    );
    let done = |stage: &str| {
        ended
            .events
            .iter()
            .any(|e| e.data["stage"] == stage && e.data["state"] == "done")
    };
    assert!(done("skills") && !done("mcp_config"));
}
