//! What the CLI asks, and what it is told.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use aod_plugin_claude::Claude;
use aod_plugin_sdk::testing::{context, prompt, setting, written};
use aod_plugin_sdk::{Action, Answer, Driver, Input, OutputSource, Reaction};
use serde_json::{Value, json};

/// A turn in this mode, in which the CLI asks whether it may call this tool.
fn asked(mode: &str, tool: &str, input: &Value) -> (Driver<Claude>, Reaction) {
    let mut driver = Driver::<Claude>::new(context("anthropic/claude-sonnet-4-6"), None);
    let mut prompt = prompt("x");
    prompt.settings = vec![setting("permission_mode", &format!("\"{mode}\""))];
    driver.receive(Input::Prompt(prompt));
    let request = json!({"subtype": "can_use_tool", "tool_name": tool, "input": input});
    let line = json!({"type": "control_request", "request_id": "r", "request": request});
    let reaction = driver.feed(OutputSource::Stdout, &format!("{line}\n"));
    (driver, reaction)
}

/// What the CLI is told.
fn reply(reaction: &Reaction) -> Value {
    let mut told = reaction.actions.iter().filter_map(|action| match action {
        Action::WriteStdin(fragments) => Some(written(fragments)),
        _ => None,
    });
    let line: Value = serde_json::from_str(&told.next().unwrap()).unwrap();
    line["response"]["response"].clone()
}

fn answer(driver: &mut Driver<Claude>, value: &str) -> Value {
    let reaction = driver.receive(Input::Answer(Answer {
        question: "question-1-1".to_owned(),
        value: value.to_owned(),
        edited_input: None,
        message: None,
        by_default: false,
    }));
    reply(&reaction)
}

#[test]
fn an_input_without_its_secrets_is_not_sent_back() {
    let whole = json!({"command": "ls"});
    let (mut driver, _) = asked("default", "Bash", &whole);
    let allowed = json!({"behavior": "allow", "updatedInput": whole});
    assert_eq!(answer(&mut driver, "allow"), allowed);

    let without = json!({"command": "login [redacted:KEY]"});
    let (mut driver, _) = asked("default", "Bash", &without);
    assert_eq!(answer(&mut driver, "allow"), json!({"behavior": "allow"}));
}

/// Files of the CLI's own are asked about even there.
#[test]
fn where_nothing_is_asked_the_adapter_answers() {
    let input = json!({"command": "ls"});
    let (_, told) = asked("bypassPermissions", "Bash", &input);
    assert_eq!(reply(&told)["behavior"], "allow");
    let question = json!({"questions": [{"question": "Which?"}]});
    let (_, told) = asked("bypassPermissions", "AskUserQuestion", &question);
    assert_eq!(reply(&told)["behavior"], "deny");
    let asks = |action: &Action| matches!(action, Action::Ask(_));
    assert!(!told.actions.iter().any(asks));
}
