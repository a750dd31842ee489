//! The adapter speaks with the real CLI: what that wrote, played again.

use aod_acp::testing::{Dialogue, dialogues};
use aod_plugin_gemini::Gemini;
use aod_plugin_sdk::testing::{context, mcp_server, setting};

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
    dialogue.play::<Gemini>(context, &settings, REQUESTS, restarts)
}

#[test]
fn recorded_dialogues() {
    for dialogue in dialogues(FOLDER) {
        insta::assert_snapshot!(dialogue.name.clone(), play(&dialogue, false));
    }
}

/// What a new conversation makes of the state after a turn is what the old one would have made.
#[test]
fn a_restart_between_turns_changes_nothing() {
    for dialogue in dialogues(FOLDER) {
        let name = &dialogue.name;
        assert_eq!(play(&dialogue, true), play(&dialogue, false), "{name}");
    }
}
