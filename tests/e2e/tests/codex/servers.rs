//! MCP servers: waited for, and told how they stand.

use aod_e2e::place_mcp_server;
use serde_json::{Value, json};

use crate::{Lab, answer, events, of_type};

#[tokio::test]
async fn a_server_that_needs_time_is_waited_for_and_others_are_named() {
    let lab = Lab::new().await;
    let servers = json!([
        {
            "name": "slow", "type": "stdio", "command": "sh",
            "args": ["-c", "sleep 2; exec node /workspace/server.mjs /workspace/calls.jsonl"],
        },
        {"name": "broken", "type": "stdio", "command": "sh", "args": ["-c", "exit 7"]},
        {"name": "missing", "type": "stdio", "command": "/no/such/program", "args": []},
        {"name": "far", "type": "url", "url": "http://127.0.0.1:9/mcp"},
    ]);
    let environment = lab
        .client()
        .create_environment(&json!({"name": "e", "setup_script": place_mcp_server()}))
        .await;
    let session = lab
        .session_with(
            json!({"mcp_servers": servers}),
            json!({
                "environment_id": environment,
                "prompt": "[[mcp echo {\"text\": \"plum\"}]]",
            }),
        )
        .await;
    let text = answer(&session).await;
    assert!(text.contains("echo: plum"), "{text}");
    let all = events(&session).await;
    let states = of_type(&all, "mcp.server");
    let of = |name: &str| -> Vec<&Value> {
        let of_it = states.iter().filter(|state| state["name"] == name);
        of_it.copied().collect()
    };
    assert_eq!(of("slow").len(), 1, "{states:#?}");
    assert_eq!(of("slow")[0]["state"], "ready");
    for name in ["broken", "missing", "far"] {
        let said = of(name);
        assert_eq!(said.len(), 1, "{states:#?}");
        assert_eq!(said[0]["state"], "failed", "{states:#?}");
        let why = said[0]["message"].as_str().unwrap_or_default();
        assert!(!why.is_empty(), "{states:#?}");
    }
    assert!(of("far")[0]["message"].to_string().contains("127.0.0.1:9"));

    // They live on between turns, and how they stand is no news.
    session
        .prompt("[[mcp remember {\"text\": \"pear\"}]]")
        .await;
    answer(&session).await;
    let all = events(&session).await;
    assert_eq!(of_type(&all, "mcp.server").len(), 4, "{all:#?}");
}
