//! The adapter speaks with the real CLI: what that wrote, played again.

use aod_plugin_opencode::Opencode;
use aod_plugin_sdk::testing::{Dialogue, context, dialogues, restarts_change_nothing, setting};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dialogues");

const REQUESTS: &[&str] = &[
    "initialize",
    "session/new",
    "session/set_model",
    "session/set_config_option",
    "session/prompt",
];

fn play(dialogue: &Dialogue, restarts: bool) -> String {
    let mut context = context("anthropic/claude-sonnet-4-6");
    context.live = true;
    let settings = match &*dialogue.name {
        "stopped" => vec![setting("permission_mode", "\"ask\"")],
        _ => Vec::new(),
    };
    aod_acp::testing::play::<Opencode>(dialogue, context, &settings, REQUESTS, restarts)
}

#[test]
fn recorded_dialogues() {
    for dialogue in dialogues(FOLDER) {
        insta::assert_snapshot!(dialogue.name.clone(), play(&dialogue, false));
    }
}

#[test]
fn a_restart_between_turns_changes_nothing() {
    restarts_change_nothing(FOLDER, &[], play);
}
