//! Any output as that of every CLI: no line is lost, what comes out does not depend on how lines
//! were batched, there is at most one result, and what should be JSON is.

#![no_main]

use std::collections::BTreeSet;

use aod_plugin_sdk::testing::{context, exit, prompt};
use aod_plugin_sdk::{Action, Adapter, Driver, EventBody, Input, OutputSource};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|output: &str| {
    check::<aod_plugin_acp::Acp>(output);
    check::<aod_plugin_claude::Claude>(output);
    check::<aod_plugin_codex::Codex>(output);
    check::<aod_plugin_demo::Demo>(output);
    check::<aod_plugin_gemini::Gemini>(output);
    check::<aod_plugin_opencode::Opencode>(output);
});

/// All that came of the output.
#[derive(Debug, PartialEq)]
struct Outcome {
    actions: Vec<Action>,
    /// The lines that were told by an event. The prompt and the end have no lines.
    told: BTreeSet<u32>,
    absorbed: Vec<u32>,
}

fn check<A: Adapter>(output: &str) {
    let lines: Vec<&str> = output.split_inclusive('\n').collect();
    let whole = tell::<A>(&[output]);
    assert_eq!(whole, tell::<A>(&lines));
    for line in (0..).take(lines.len()) {
        let told = whole.told.contains(&line);
        let absorbed = whole.absorbed.contains(&line);
        assert!(
            told != absorbed,
            "line {line}: event {told}, absorbed {absorbed}"
        );
    }
    let mut results = 0;
    for action in &whole.actions {
        match action {
            Action::Emit(emitted) => {
                results += u32::from(matches!(emitted.body, EventBody::TurnResult(_)));
                if let EventBody::ToolCall(call) = &emitted.body {
                    assert_json(&call.input);
                }
            }
            Action::Ask(question) => assert_json(&question.detail),
            _ => {}
        }
    }
    assert!(results <= 1, "{results} results");
}

fn assert_json(text: &str) {
    let json = serde_json::from_str::<serde::de::IgnoredAny>(text);
    assert!(json.is_ok(), "no JSON: {text}");
}

/// Feeds a turn these batches, each of whole lines.
fn tell<A: Adapter>(batches: &[&str]) -> Outcome {
    let mut driver = Driver::<A>::new(context("anthropic/claude-sonnet-4-6"), None);
    let mut actions = driver.receive(Input::Prompt(prompt("x"))).actions;
    let mut told = BTreeSet::new();
    let mut absorbed = Vec::new();
    let mut base = 0;
    for batch in batches {
        let reaction = driver.feed(OutputSource::Stdout, batch);
        // As in a host, output puts off the wish to be woken.
        actions.retain(|action| !matches!(action, Action::WakeAfter(_)));
        actions.extend(reaction.actions.into_iter().map(|mut action| {
            if let Action::Emit(emitted) = &mut action {
                emitted.line += base;
                told.insert(emitted.line);
            }
            action
        }));
        absorbed.extend(reaction.absorbed.iter().map(|line| line + base));
        base += u32::try_from(batch.split_inclusive('\n').count()).expect("output is short");
    }
    let end = driver.finish(exit(0));
    actions.extend(end.actions);
    Outcome {
        actions,
        told,
        absorbed,
    }
}
