//! The adapter speaks with the real CLI: what that wrote, played again.

use aod_plugin_gemini::Gemini;
use aod_plugin_sdk::testing::{
    Dialogue, context, dialogues, mcp_server, restarts_change_nothing, setting,
};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dialogues");

const REQUESTS: &[&str] = &[
    "initialize",
    "session/new",
    "session/set_mode",
    "session/prompt",
];

fn play(dialogue: &Dialogue, restarts: bool) -> String {
    let mut context = context("google/gemini-2.5-flash");
    context.live = true;
    if dialogue.name == "permission" {
        context.mcp_servers = vec![mcp_server("broken")];
    }
    let settings = match &*dialogue.name {
        "permission" => vec![setting("permission_mode", "\"default\"")],
        _ => Vec::new(),
    };
    aod_acp::testing::play::<Gemini>(dialogue, context, &settings, REQUESTS, restarts)
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
