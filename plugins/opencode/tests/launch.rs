//! How prompts are run.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use aod_plugin_opencode::Opencode;
use aod_plugin_sdk::testing::{
    context, keeps_secrets_apart, prompt, setting, shown, starts_afresh, with_everything,
};
use aod_plugin_sdk::{
    Attachment, Block, Context, Continuity, ForkOrigin, Launch, Origin, Prompt, WorkspaceConfig,
    prepare,
};

fn facts() -> (Context, Prompt) {
    let mut context = context("google/gemini-2.5-flash");
    context.secrets = vec!["GEMINI_API_KEY".to_owned()];
    (context, prompt("say hello"))
}

fn launch((context, prompt): &(Context, Prompt)) -> Launch {
    prepare::<Opencode>(context, prompt).unwrap()
}

/// A launch without the plugin's code.
fn brief(launch: &Launch) -> String {
    shown(launch).replace(include_str!("../src/events.js"), "…")
}

#[test]
fn a_process_that_is_spoken_to() {
    let mut facts = facts();
    facts.0.live = true;
    insta::assert_snapshot!(brief(&launch(&facts)));
}

#[test]
fn a_process_that_asks() {
    let mut facts = facts();
    facts.1.settings = vec![setting("permission_mode", "\"ask\"")];
    facts.0.workspace_config = WorkspaceConfig::All;
    let launch = launch(&facts);
    assert!(launch.argv.join(" ").starts_with("opencode acp"));
    let shown = brief(&launch);
    assert!(shown.contains(r#""bash":"ask""#), "{shown}");
    assert!(
        !shown.contains("OPENCODE_DISABLE_PROJECT_CONFIG"),
        "{shown}"
    );
    assert!(!shown.contains("AGENTS.md"), "{shown}");
}

/// The CLI would load plugins of the workspace all the same, but not the adapter's.
#[test]
fn who_leaves_plugins_out_has_the_adapters() {
    let mut facts = facts();
    facts.0.secrets.push("OPENCODE_PURE".to_owned());
    assert_eq!(launch(&facts).withhold, ["OPENCODE_PURE"]);
}

#[test]
fn a_first_turn() {
    insta::assert_snapshot!(brief(&launch(&facts())));
}

#[test]
fn a_later_turn_with_everything() {
    let (mut context, mut prompt) =
        with_everything(facts(), "ses_df2062ddaffewSbxAt7C8ALBjl", "google");
    context.mcp_servers[0].call_timeout_ms = Some(600_000);
    prompt.settings = vec![setting("reasoning_effort", "\"high\"")];
    let attachment = Attachment {
        id: "a".to_owned(),
        name: "a b.png".to_owned(),
        media_type: "image/png".to_owned(),
        path: "/workspace/in/a b.png".to_owned(),
        size: 1,
    };
    prompt.blocks.push(Block::Image(attachment.clone()));
    prompt.blocks.push(Block::File(attachment));
    insta::assert_snapshot!(brief(&launch(&(context, prompt))));
}

#[test]
fn a_copy_begins_at_the_end_of_another_conversation() {
    let (mut context, prompt) = facts();
    let origin = |after_turn| {
        Origin::Fork(ForkOrigin {
            token: "ses_1".to_owned(),
            after_turn,
        })
    };
    context.origin = origin(None);
    let launch = launch(&(context.clone(), prompt.clone()));
    assert!(launch.argv.join(" ").contains("--session ses_1 --fork"));
    assert_eq!(launch.continuity, Continuity::Native);
    context.origin = origin(Some(1));
    let refusal = prepare::<Opencode>(&context, &prompt).unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("origin.after_turn"));
}

#[test]
fn a_setting_that_it_does_not_have_is_refused() {
    let (context, mut prompt) = facts();
    prompt.settings = vec![setting("temperature", "1")];
    let refusal = prepare::<Opencode>(&context, &prompt).unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("settings.temperature"));
}

#[test]
fn a_lost_conversation_starts_afresh() {
    let (context, prompt) = facts();
    starts_afresh::<Opencode>(&context, prompt);
}

#[test]
fn secrets_are_in_files_in_memory_or_in_the_environment_only() {
    let (context, prompt) = facts();
    keeps_secrets_apart::<Opencode>(context, &prompt);
}
