//! How the CLI is started.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use aod_plugin_claude::Claude;
use aod_plugin_sdk::testing::{
    context, keeps_secrets_apart, mcp_servers, prompt, setting, shown, starts_afresh,
    with_everything,
};
use aod_plugin_sdk::{
    AuthStyle, Capability, Context, Continuity, Endpoint, EndpointSource, FailureKind, ForkOrigin,
    ForkPoint, Fragment, Launch, Limit, Origin, Prompt, SecretEncoding, WorkspaceConfig, describe,
    prepare,
};

fn turn() -> (Context, Prompt) {
    (context("anthropic/claude-sonnet-4-6"), prompt("say hello"))
}

fn launch((context, prompt): &(Context, Prompt)) -> Launch {
    prepare::<Claude>(context, prompt).unwrap()
}

fn follows(launch: &Launch, option: &str) -> Option<String> {
    let at = launch.argv.iter().position(|word| word == option)?;
    launch.argv.get(at + 1).cloned()
}

fn has(launch: &Launch, option: &str) -> bool {
    launch.argv.iter().any(|word| word == option)
}

#[test]
fn a_first_turn() {
    insta::assert_snapshot!(shown(&launch(&turn())));
}

#[test]
fn a_later_turn_with_everything() {
    let mut turn = with_everything(
        turn(),
        "5e551011-0000-4000-8000-000000000000 0.5",
        "anthropic",
    );
    turn.1.settings = vec![
        setting("reasoning_effort", "\"low\""),
        setting("permission_mode", "\"plan\""),
    ];
    turn.1.limits = vec![
        Limit::MaxRounds(7),
        Limit::MaxCostUsd(0.25),
        Limit::BackgroundWaitMs(0),
        Limit::MaxOutputTokens(1000),
    ];
    turn.1.output_schema = Some(r#"{"type":"object"}"#.to_owned());
    insta::assert_snapshot!(shown(&launch(&turn)));
}

#[test]
fn a_lost_conversation_starts_afresh() {
    let (context, prompt) = turn();
    starts_afresh::<Claude>(&context, prompt);
}

#[test]
fn a_conversation_is_copied_from_its_end() {
    let mut turn = turn();
    let mut fork = ForkOrigin {
        token: "other-id 0.5".to_owned(),
        after_turn: None,
    };
    turn.0.origin = Origin::Fork(fork.clone());
    let copy = launch(&turn);
    assert_eq!(follows(&copy, "--resume").as_deref(), Some("other-id"));
    assert!(has(&copy, "--fork-session"));
    assert_eq!(follows(&copy, "--session-id"), Some(turn.1.turn_id.clone()));
    assert_eq!(copy.continuity, Continuity::Native);

    fork.after_turn = Some(3);
    turn.0.origin = Origin::Fork(fork);
    let refusal = prepare::<Claude>(&turn.0, &turn.1).unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("origin.after_turn"));
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
        turn.0.secrets = secrets.into_iter().map(str::to_owned).collect();
        assert_eq!(launch(&turn).withhold, withheld);
    }
}

#[test]
fn mcp_servers_go_by_file_with_holes_for_secrets() {
    let mut turn = turn();
    turn.0.mcp_servers = mcp_servers();
    let launch = launch(&turn);
    let path = follows(&launch, "--mcp-config").unwrap();
    assert_eq!(path, "/run/private/mcp.json");
    assert_eq!(launch.files.len(), 1);
    assert_eq!(launch.files[0].path, path);

    let mut json = String::new();
    for fragment in &launch.files[0].content {
        match fragment {
            Fragment::Text(text) => json += text,
            Fragment::Secret(secret) => {
                assert_eq!(secret.encoding, SecretEncoding::Json);
                json += &format!("<{}>", secret.name);
            }
            Fragment::Attachment(id) => panic!("an attachment: {id}"),
        }
    }
    let written: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        written,
        serde_json::json!({"mcpServers": {
            "docs": {
                "type": "http",
                "url": "https://example.test/mcp?a=$b",
                "headers": {"Authorization": "<docs-header>"},
            },
            "local": {
                "command": "node",
                "args": ["server.mjs", "q\"b\\s"],
                "env": {"TOKEN": "<local-token>"},
            },
        }})
    );
    keeps_secrets_apart::<Claude>(turn.0, &turn.1);
}

#[test]
fn servers_that_the_cli_would_not_tell_apart_are_refused() {
    let mut turn = turn();
    turn.0.mcp_servers = mcp_servers();
    for (names, blamed) in [
        (["a b", "a_b"], "mcp_servers[1].name"),
        (["workspace", "b"], "mcp_servers[0].name"),
    ] {
        for (server, name) in turn.0.mcp_servers.iter_mut().zip(names) {
            server.name = name.to_owned();
        }
        let refusal = prepare::<Claude>(&turn.0, &turn.1).unwrap_err();
        assert_eq!(refusal.kind, FailureKind::Unsupported);
        assert_eq!(refusal.field.as_deref(), Some(blamed));
    }
}

#[test]
fn what_it_cannot_be_told_is_refused() {
    let (context, mut prompt) = turn();
    prompt.settings = vec![setting("temperature", "1")];
    let refusal = prepare::<Claude>(&context, &prompt).unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("settings.temperature"));

    prompt.settings.clear();
    prompt.output_schema = Some(format!("{{\"description\":\"{}\"}}", "x".repeat(200_000)));
    let refusal = prepare::<Claude>(&context, &prompt).unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("output_schema"));
}

#[test]
fn files_in_the_workspace_decide_what_they_may() {
    let mut turn = turn();
    for (config, sources, folder) in [
        (
            WorkspaceConfig::Instructions,
            Some("user"),
            Some("/workspace"),
        ),
        (WorkspaceConfig::None, Some("user"), None),
        (WorkspaceConfig::All, None, None),
    ] {
        turn.0.workspace_config = config;
        let launch = launch(&turn);
        assert_eq!(follows(&launch, "--setting-sources").as_deref(), sources);
        assert_eq!(follows(&launch, "--add-dir").as_deref(), folder);
        let reads_instructions = launch
            .env
            .iter()
            .any(|variable| variable.name == "CLAUDE_CODE_ADDITIONAL_DIRECTORIES_CLAUDE_MD");
        assert_eq!(reads_instructions, folder.is_some());
    }
}

#[test]
fn an_older_cli_is_not_asked_for_what_it_does_not_know() {
    let mut turn = turn();
    for (version, knows) in [
        (None, true),
        (Some("2.1.331"), true),
        (Some("2.1.331 (Claude Code)"), true),
        (Some("2.2.0"), true),
        (Some("2.1.197"), false),
    ] {
        turn.0.cli_version = version.map(str::to_owned);
        assert_eq!(has(&launch(&turn), "--forward-subagent-text"), knows);
    }
}

#[test]
fn an_endpoint_is_in_the_environment_already() {
    let mut turn = turn();
    let without = launch(&turn);
    turn.0.endpoints = vec![Endpoint {
        provider: "anthropic".to_owned(),
        url: "http://127.0.0.1:1".to_owned(),
        source: EndpointSource::User,
    }];
    turn.0.secrets = vec!["ANTHROPIC_BASE_URL".to_owned()];
    assert_eq!(launch(&turn), without);
}

#[test]
fn what_is_declared() {
    let description = describe::<Claude>("{}").unwrap();
    let provider = &description.providers[0];
    assert_eq!(
        provider.endpoint_variable.as_deref(),
        Some("ANTHROPIC_BASE_URL")
    );
    assert!(provider.default_endpoint.is_some());
    let sent: Vec<_> = description
        .credentials
        .iter()
        .flat_map(|credential| &credential.sent)
        .map(|style| match style {
            AuthStyle::Header(header) => format!("{}: {}", header.name, header.prefix),
            AuthStyle::Query(name) => name.clone(),
        })
        .collect();
    assert_eq!(sent, ["x-api-key: ", "authorization: Bearer "]);
    assert!(
        description
            .capabilities
            .contains(&Capability::Fork(ForkPoint::End))
    );
    for option in &description.options {
        for json in [&option.schema, &option.default] {
            serde_json::from_str::<serde_json::Value>(json).unwrap();
        }
    }
}

#[test]
fn unknown_options_are_refused() {
    let error = describe::<Claude>(r#"{"retries": 3}"#).unwrap_err();
    assert!(error.contains("retries"), "{error}");
}
