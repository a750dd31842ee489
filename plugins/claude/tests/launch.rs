//! How turns are run.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use aod_plugin_claude::Claude;
use aod_plugin_sdk::testing::context;
use aod_plugin_sdk::{
    Continuity, Encoding, Endpoint, Fragment, McpServer, McpStdio, McpTransport, McpUrl, McpValue,
    Plan, Stdin, TurnContext, describe, plan_turn,
};

fn turn() -> TurnContext {
    context("anthropic/claude-sonnet-4-6", "say hello")
}

fn plan(context: &TurnContext) -> Plan {
    plan_turn::<Claude>(context).unwrap()
}

fn follows(plan: &Plan, option: &str) -> Option<String> {
    let at = plan.argv.iter().position(|word| word == option)?;
    plan.argv.get(at + 1).cloned()
}

#[test]
fn a_first_turn_chooses_the_session_id() {
    let plan = plan(&turn());
    assert_eq!(
        plan.argv.join(" "),
        "claude --print --output-format stream-json --verbose --include-partial-messages \
         --dangerously-skip-permissions --strict-mcp-config --model claude-sonnet-4-6 \
         --session-id 5e551011-0000-4000-8000-000000000000"
    );
    assert_eq!(
        plan.stdin,
        Stdin::Text(vec![Fragment::Text("say hello".into())])
    );
    assert_eq!(plan.continuity, Continuity::First);
    assert!(plan.files.is_empty() && plan.withhold.is_empty() && plan.delete.is_empty());
    let names: Vec<_> = plan
        .env
        .iter()
        .map(|variable| variable.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "IS_SANDBOX",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
            "DISABLE_AUTOUPDATER",
            "CLAUDE_CODE_MAX_RETRIES"
        ]
    );
}

#[test]
fn a_later_turn_resumes_what_was_remembered() {
    let mut turn = turn();
    turn.turn = 2;
    turn.turn_id = "5e551011-0000-4000-8000-000000000002".to_owned();

    turn.resume = Some("5e551011-0000-4000-8000-000000000000 0.5".to_owned());
    let resumed = plan(&turn);
    assert_eq!(
        follows(&resumed, "--resume").as_deref(),
        Some("5e551011-0000-4000-8000-000000000000")
    );
    assert_eq!(follows(&resumed, "--session-id"), None);
    assert_eq!(resumed.continuity, Continuity::Native);

    for nothing in [None, Some(String::new())] {
        turn.resume = nothing;
        let fresh = plan(&turn);
        assert_eq!(follows(&fresh, "--session-id"), Some(turn.turn_id.clone()));
        assert_eq!(follows(&fresh, "--resume"), None);
        assert_eq!(fresh.continuity, Continuity::Fresh);
    }
}

#[test]
fn an_oauth_token_displaces_the_key() {
    let mut turn = turn();
    for (secrets, withheld) in [
        (vec!["ANTHROPIC_API_KEY"], vec![]),
        (vec!["CLAUDE_CODE_OAUTH_TOKEN"], vec![]),
        (
            vec!["ANTHROPIC_API_KEY", "OTHER", "CLAUDE_CODE_OAUTH_TOKEN"],
            vec!["ANTHROPIC_API_KEY"],
        ),
    ] {
        turn.secrets = secrets.into_iter().map(str::to_owned).collect();
        assert_eq!(plan(&turn).withhold, withheld);
    }
}

#[test]
fn a_system_prompt_goes_by_file() {
    let mut turn = turn();
    turn.system = Some("Be brief.\n\"Now\".".to_owned());
    let plan = plan(&turn);
    let path = follows(&plan, "--append-system-prompt-file").unwrap();
    assert_eq!(path, "/run/private/system-prompt.txt");
    assert_eq!(plan.files[0].path, path);
    assert_eq!(plan.files[0].mode, 0o600);
    assert_eq!(
        plan.files[0].content,
        [Fragment::Text("Be brief.\n\"Now\".".into())]
    );
}

#[test]
fn mcp_servers_go_by_file_with_holes_for_secrets() {
    let value = |name: &str, secret: &str| McpValue {
        name: name.to_owned(),
        secret: secret.to_owned(),
    };
    let mut turn = turn();
    turn.mcp_servers = vec![
        McpServer {
            name: "docs".to_owned(),
            transport: McpTransport::Url(McpUrl {
                url: "https://example.test/mcp".to_owned(),
                headers: vec![value("Authorization", "mcp/docs/0")],
            }),
        },
        McpServer {
            name: "local \"tool\"".to_owned(),
            transport: McpTransport::Stdio(McpStdio {
                command: "node".to_owned(),
                args: vec!["server.mjs".to_owned(), "a\\b".to_owned()],
                env: vec![value("A", "mcp/tool/0"), value("B", "mcp/tool/1")],
            }),
        },
    ];
    let plan = plan(&turn);
    let path = follows(&plan, "--mcp-config").unwrap();
    assert_eq!(path, "/run/private/mcp.json");
    assert_eq!(plan.files.len(), 1);
    assert_eq!(plan.files[0].path, path);

    let mut json = String::new();
    for fragment in &plan.files[0].content {
        match fragment {
            Fragment::Text(text) => json += text,
            Fragment::Secret(secret) => {
                assert_eq!(secret.encoding, Encoding::Json);
                json += &format!("<{}>", secret.name);
            }
        }
    }
    let written: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        written,
        serde_json::json!({"mcpServers": {
            "docs": {
                "type": "http",
                "url": "https://example.test/mcp",
                "headers": {"Authorization": "<mcp/docs/0>"},
            },
            "local \"tool\"": {
                "command": "node",
                "args": ["server.mjs", "a\\b"],
                "env": {"A": "<mcp/tool/0>", "B": "<mcp/tool/1>"},
            },
        }})
    );
}

#[test]
fn an_endpoint_is_in_the_environment_already() {
    let mut turn = turn();
    let without = plan(&turn);
    turn.endpoints = vec![Endpoint {
        provider: "anthropic".to_owned(),
        url: "http://127.0.0.1:1".to_owned(),
    }];
    turn.secrets = vec!["ANTHROPIC_BASE_URL".to_owned()];
    assert_eq!(plan(&turn), without);
    assert_eq!(
        describe::<Claude>("{}").unwrap().providers[0]
            .endpoint_variable
            .as_deref(),
        Some("ANTHROPIC_BASE_URL")
    );
}

#[test]
fn unknown_options_are_refused() {
    let error = describe::<Claude>(r#"{"retries": 3}"#).unwrap_err();
    assert!(error.contains("retries"), "{error}");
}
