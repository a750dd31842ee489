//! What the CLI's log says besides its stream.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use aod_plugin_codex::Codex;
use aod_plugin_sdk::testing::{context, mcp_servers, prompt, recordings};
use aod_plugin_sdk::{
    Action, Driver, EventBody, ForkOrigin, Input, McpState, Origin, OutputSource, Reaction,
};

const RECORDINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts");

fn states(reactions: &[Reaction]) -> Vec<(String, McpState)> {
    let actions = reactions.iter().flat_map(|reaction| &reaction.actions);
    let each = actions.filter_map(|action| match action {
        Action::Emit(event) => match &event.body {
            EventBody::McpServer(server) => Some((server.name.clone(), server.state)),
            _ => None,
        },
        _ => None,
    });
    each.collect()
}

/// The log as it comes: before the model has answered.
#[test]
fn each_server_is_told_once() {
    let recordings = recordings(RECORDINGS).unwrap();
    let recording = recordings
        .iter()
        .find(|recording| recording.name == "mcp_states")
        .unwrap();
    let mut facts = context("openai/gpt-4.1");
    for name in ["ab", "bad", "un", "slow", "quiet"] {
        let mut server = mcp_servers().remove(0);
        server.name = name.to_owned();
        facts.mcp_servers.push(server);
    }
    let mut expected = vec![
        ("bad".to_owned(), McpState::Failed),
        ("un".to_owned(), McpState::Failed),
        ("slow".to_owned(), McpState::Connecting),
        ("ab".to_owned(), McpState::Ready),
        ("quiet".to_owned(), McpState::Ready),
    ];
    let told = |facts: &aod_plugin_sdk::Context| {
        let mut driver = Driver::<Codex>::new(facts.clone(), None);
        driver.receive(Input::Prompt(prompt("x")));
        states(&[
            driver.feed(OutputSource::Stderr, &recording.stderr),
            driver.feed(OutputSource::Stdout, &recording.stdout),
        ])
    };
    assert_eq!(told(&facts), expected);

    // With a log of the user's own, silence says nothing.
    facts.secrets = vec!["RUST_LOG".to_owned()];
    expected.pop();
    assert_eq!(told(&facts), expected);
}

/// A copy of a thread counts on from where the thread stood.
#[test]
fn a_copy_is_not_charged_for_what_was_before_it() {
    let recordings = recordings(RECORDINGS).unwrap();
    let recording = recordings
        .iter()
        .find(|recording| recording.name == "forked")
        .unwrap();
    let mut facts = context("openai/gpt-4.1");
    facts.origin = Origin::Fork(ForkOrigin {
        token: "other 22 8 14 0 6".to_owned(),
        after_turn: None,
    });
    let mut driver = Driver::<Codex>::new(facts, None);
    driver.receive(Input::Prompt(prompt("x")));
    let reaction = driver.feed(OutputSource::Stdout, &recording.stdout);
    let used = reaction.actions.iter().find_map(|action| match action {
        Action::Emit(event) => match &event.body {
            EventBody::Usage(usage) => Some(usage.clone()),
            _ => None,
        },
        _ => None,
    });
    let used = used.unwrap();
    assert_eq!((used.input_tokens, used.cache_read_tokens), (7, 4));
    assert_eq!((used.output_tokens, used.reasoning_tokens), (7, 3));
}
