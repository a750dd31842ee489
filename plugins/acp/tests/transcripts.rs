//! The adapter reads what real agents have written: `gemini_*` by Gemini CLI 0.61.0, `opencode_*`
//! by opencode 1.18.33.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use aod_plugin_acp::Acp;
use aod_plugin_sdk::testing::{Recording, context, laws, mcp_servers, prompt, recordings, replay};
use aod_plugin_sdk::{
    Action, Context, Driver, EventBody, Input, McpServer, Origin, OutputSource, Prompt,
};

const RECORDINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts");

/// The facts that a recording was made with.
fn facts(recording: &Recording) -> (Context, Prompt) {
    let mut facts = context("anthropic/claude-haiku-4-5");
    let mut prompt = prompt("x");
    let name = recording.name.as_str();
    let resumed = match name {
        _ if name.contains("resume") => Some("ses_dee7f75a5ffeHA2RDKO925MvRW"),
        _ if name.starts_with("gemini_load") => Some("fd8bd376-5556-40eb-8d44-983d93c905d9"),
        _ => None,
    };
    if let Some(session) = resumed {
        prompt.turn = 2;
        facts.origin = Origin::Resume(session.to_owned());
    }
    if name.contains("model") {
        facts.options = r#"{"select_model":"{canonical}"}"#.to_owned();
    }
    if name.contains("mode_yolo") {
        facts.options = r#"{"mode":"yolo","permissions":"allow"}"#.to_owned();
    }
    if name == "gemini_load" {
        facts.options = r#"{"auth_method":"gemini-api-key"}"#.to_owned();
    }
    if name.contains("mcp") {
        let server = mcp_servers().remove(1);
        facts.mcp_servers = vec![McpServer {
            name: "notes".to_owned(),
            ..server
        }];
    }
    (facts, prompt)
}

fn recorded(name: &str) -> Recording {
    let mut all = recordings(RECORDINGS).unwrap();
    let at = all.iter().position(|it| it.name == name).unwrap();
    all.swap_remove(at)
}

#[test]
fn recorded_turns() {
    for recording in recordings(RECORDINGS).unwrap() {
        let (context, prompt) = facts(&recording);
        let replay = replay::<Acp>(context, prompt, &recording, []);
        insta::assert_debug_snapshot!(recording.name.clone(), replay);
    }
}

#[test]
fn the_laws_hold() {
    let recordings = recordings(RECORDINGS).unwrap();
    laws::<Acp>(&context("acme/m"), &prompt("x"), &recordings);
    let mut resumed = context("acme/m");
    resumed.origin = Origin::Resume("s".to_owned());
    laws::<Acp>(&resumed, &prompt("x"), &recordings);
}

/// This agent goes on telling the history after it has said that the session is loaded.
#[test]
fn a_history_that_is_told_late_is_not_told_again() {
    let recording = recorded("gemini_load");
    let (facts, prompt) = facts(&recording);
    let mut driver = Driver::<Acp>::new(facts, None);
    driver.receive(Input::Prompt(prompt));
    let lines: Vec<&str> = recording.stdout.lines().collect();
    let last_of_history = |line: &&str| line.contains("available_commands_update");
    let end = lines.iter().position(last_of_history).unwrap() + 1;
    let (history, answer) = lines.split_at(end);
    let reaction = driver.feed(OutputSource::Stdout, &(history.join("\n") + "\n"));
    let told = |actions: &[Action]| -> Vec<EventBody> {
        let events = actions.iter().filter_map(|action| match action {
            Action::Emit(event) => Some(event.body.clone()),
            _ => None,
        });
        events.collect()
    };
    assert!(
        matches!(&told(&reaction.actions)[..], [EventBody::SessionStarted(_)]),
        "{:#?}",
        reaction.actions
    );
    // One wish to be woken is left, from the last line.
    let wakes = |actions: &[Action]| {
        let wakes = actions
            .iter()
            .filter(|it| matches!(it, Action::WakeAfter(_)));
        wakes.count()
    };
    assert_eq!(wakes(&reaction.actions), 1);
    let prompted = driver.tick(5_000);
    assert!(
        matches!(&prompted.actions[..], [Action::WriteStdin(_)]),
        "{:#?}",
        prompted.actions
    );
    let reaction = driver.feed(OutputSource::Stdout, &(answer.join("\n") + "\n"));
    let events = told(&reaction.actions);
    assert!(
        events
            .iter()
            .any(|event| matches!(event, EventBody::TurnResult(_))),
        "{events:#?}"
    );
}
