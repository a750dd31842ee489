//! How turns are run.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use aod_plugin_opencode::Opencode;
use aod_plugin_sdk::testing::{
    context, keeps_secrets_apart, shown, starts_afresh, with_everything,
};
use aod_plugin_sdk::{Plan, TurnContext, plan_turn};

fn turn() -> TurnContext {
    let mut turn = context("google/gemini-2.5-flash", "say hello");
    turn.secrets = vec!["GEMINI_API_KEY".to_owned()];
    turn
}

fn plan(context: &TurnContext) -> Plan {
    plan_turn::<Opencode>(context).unwrap()
}

#[test]
fn a_first_turn() {
    insta::assert_snapshot!(shown(&plan(&turn())));
}

#[test]
fn a_later_turn_with_everything() {
    let turn = with_everything(turn(), "ses_df2062ddaffewSbxAt7C8ALBjl", "google");
    insta::assert_snapshot!(shown(&plan(&turn)));
}

#[test]
fn a_lost_conversation_starts_afresh() {
    starts_afresh::<Opencode>(turn());
}

#[test]
fn secrets_are_in_files_in_memory_or_in_the_environment_only() {
    keeps_secrets_apart::<Opencode>(turn());
}
