//! How turns are run.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use aod_plugin_codex::Codex;
use aod_plugin_sdk::testing::{
    context, keeps_secrets_apart, shown, starts_afresh, with_everything,
};
use aod_plugin_sdk::{Plan, TurnContext, plan_turn};

fn turn() -> TurnContext {
    let mut turn = context("openai/gpt-4.1", "say hello");
    turn.secrets = vec!["OPENAI_API_KEY".to_owned()];
    turn
}

fn plan(context: &TurnContext) -> Plan {
    plan_turn::<Codex>(context).unwrap()
}

#[test]
fn a_first_turn() {
    insta::assert_snapshot!(shown(&plan(&turn())));
}

#[test]
fn a_later_turn_with_everything() {
    let turn = with_everything(
        turn(),
        "01a20df4-c1ba-7620-a229-08b855435232 33 0 21",
        "openai",
    );
    insta::assert_snapshot!(shown(&plan(&turn)));
}

#[test]
fn a_lost_conversation_starts_afresh() {
    starts_afresh::<Codex>(turn());
}

#[test]
fn secrets_are_in_files_in_memory_or_in_the_environment_only() {
    keeps_secrets_apart::<Codex>(turn());
}
