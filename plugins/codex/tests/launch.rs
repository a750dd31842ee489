//! How the CLI is started.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use aod_plugin_codex::Codex;
use aod_plugin_sdk::testing::{
    context, keeps_secrets_apart, mcp_servers, prompt, setting, shown, starts_afresh,
    with_everything,
};
use aod_plugin_sdk::{
    Attachment, AuthStyle, Block, Capability, Context, ForkOrigin, Launch, Origin, Prompt,
    WorkspaceConfig, describe, prepare,
};

fn turn() -> (Context, Prompt) {
    let mut context = context("openai/gpt-4.1");
    context.secrets = vec!["OPENAI_API_KEY".to_owned()];
    (context, prompt("say hello"))
}

fn launch((context, prompt): &(Context, Prompt)) -> Launch {
    prepare::<Codex>(context, prompt).unwrap()
}

fn image(path: &str) -> Block {
    Block::Image(Attachment {
        id: "a1".to_owned(),
        name: "shot.png".to_owned(),
        media_type: "image/png".to_owned(),
        path: path.to_owned(),
        size: 7,
    })
}

#[test]
fn a_first_turn() {
    insta::assert_snapshot!(shown(&launch(&turn())));
}

#[test]
fn a_later_turn_with_everything() {
    let mut turn = with_everything(
        turn(),
        "01a20df4-c1ba-7620-a229-08b855435232 33 0 21",
        "openai",
    );
    turn.0.mcp_servers[0].call_timeout_ms = Some(90_001);
    turn.0.workspace_config = WorkspaceConfig::None;
    turn.1.blocks.push(image("/home/agent/in/shot.png"));
    turn.1.settings = vec![setting("reasoning_effort", "\"low\"")];
    turn.1.output_schema = Some(r#"{"type":"object"}"#.to_owned());
    insta::assert_snapshot!(shown(&launch(&turn)));
}

#[test]
fn a_lost_conversation_starts_afresh() {
    let (context, prompt) = turn();
    starts_afresh::<Codex>(&context, prompt);
}

#[test]
fn secrets_are_in_files_in_memory_or_in_the_environment_only() {
    let (context, prompt) = turn();
    keeps_secrets_apart::<Codex>(context, &prompt);
}

#[test]
fn a_conversation_is_copied_from_its_end() {
    let mut turn = turn();
    let mut fork = ForkOrigin {
        token: "thread 33 0 21".to_owned(),
        after_turn: None,
    };
    turn.0.origin = Origin::Fork(fork.clone());
    let argv = launch(&turn).argv.join(" ");
    assert!(argv.starts_with("codex exec fork "), "{argv}");
    assert!(argv.ends_with(" thread -"), "{argv}");

    fork.after_turn = Some(3);
    turn.0.origin = Origin::Fork(fork);
    let refusal = prepare::<Codex>(&turn.0, &turn.1).unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("origin.after_turn"));
}

#[test]
fn only_a_trusted_workspace_is_obeyed() {
    let mut turn = turn();
    for (config, trusted) in [
        (WorkspaceConfig::Instructions, false),
        (WorkspaceConfig::None, false),
        (WorkspaceConfig::All, true),
    ] {
        turn.0.workspace_config = config;
        let shown = shown(&launch(&turn));
        let trust = "[projects.\"/workspace\"]\ntrust_level = \"trusted\"\n";
        assert_eq!(shown.contains(trust), trusted, "{shown}");
    }
}

#[test]
fn what_it_cannot_be_told_is_refused() {
    let (mut context, mut prompt) = turn();
    let refused = |context: &Context, prompt: &Prompt| {
        let refusal = prepare::<Codex>(context, prompt).unwrap_err();
        refusal.field.unwrap()
    };
    prompt.settings = vec![setting("unheard_of", "1")];
    assert_eq!(refused(&context, &prompt), "settings.unheard_of");
    prompt.settings.clear();

    prompt.blocks.push(image("/in/a,b.png"));
    assert_eq!(refused(&context, &prompt), "blocks[1].path");
    prompt.blocks.pop();

    context.mcp_servers = mcp_servers();
    context.mcp_servers[1].name = "my tools".to_owned();
    assert_eq!(refused(&context, &prompt), "mcp_servers[1].name");
}

#[test]
fn what_is_declared() {
    let description = describe::<Codex>("{}").unwrap();
    assert_eq!(
        description.providers[0].default_endpoint.as_deref(),
        Some("https://api.openai.com/v1")
    );
    let AuthStyle::Header(header) = &description.credentials[0].sent[0] else {
        panic!("{:?}", description.credentials);
    };
    assert_eq!(
        (header.name.as_str(), header.prefix.as_str()),
        ("authorization", "Bearer ")
    );
    assert!(
        description
            .capabilities
            .iter()
            .any(|capability| matches!(capability, Capability::Images(_)))
    );
    for option in &description.options {
        for json in [&option.schema, &option.default] {
            serde_json::from_str::<serde_json::Value>(json).unwrap();
        }
    }
}
