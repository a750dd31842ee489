//! How turns are run.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use aod_plugin_opencode::Opencode;
use aod_plugin_sdk::testing::{context, mcp_servers, written};
use aod_plugin_sdk::{Continuity, Endpoint, Plan, Stdin, TurnContext, plan_turn};

fn turn() -> TurnContext {
    let mut turn = context("google/gemini-2.5-flash", "say hello");
    turn.secrets = vec!["GEMINI_API_KEY".to_owned()];
    turn
}

fn plan(context: &TurnContext) -> Plan {
    plan_turn::<Opencode>(context).unwrap()
}

/// All of a plan, as a host would carry it out.
fn shown(plan: &Plan) -> String {
    let Stdin::Text(stdin) = &plan.stdin else {
        panic!("{:?}", plan.stdin);
    };
    let mut text = format!("{}\n{:?}\n", plan.argv.join(" "), plan.continuity);
    for variable in &plan.env {
        text += &format!("{}={}\n", variable.name, written(&variable.value));
    }
    for path in &plan.delete {
        text += &format!("delete {path}\n");
    }
    for file in &plan.files {
        text += &format!(
            "file {} {:o}\n{}\n",
            file.path,
            file.mode,
            written(&file.content)
        );
    }
    text + &format!("stdin {}\n", written(stdin))
}

#[test]
fn a_first_turn() {
    insta::assert_snapshot!(shown(&plan(&turn())));
}

#[test]
fn a_later_turn_with_everything() {
    let mut turn = turn();
    turn.turn = 2;
    turn.turn_id = "5e551011-0000-4000-8000-000000000002".to_owned();
    turn.resume = Some("ses_df2062ddaffewSbxAt7C8ALBjl".to_owned());
    turn.system = Some("Be brief.\n\"Now\".".to_owned());
    turn.mcp_servers = mcp_servers();
    turn.endpoints = vec![Endpoint {
        provider: "google".to_owned(),
        url: "http://127.0.0.1:1/".to_owned(),
    }];
    insta::assert_snapshot!(shown(&plan(&turn)));
}

#[test]
fn a_lost_conversation_starts_afresh() {
    let mut turn = turn();
    let first = plan(&turn);
    turn.turn = 2;
    for nothing in [None, Some(String::new())] {
        turn.resume = nothing;
        let fresh = plan(&turn);
        assert_eq!(fresh.continuity, Continuity::Fresh);
        assert_eq!(fresh.argv, first.argv);
    }
}

#[test]
fn secrets_are_in_files_in_memory_or_in_the_environment_only() {
    let mut turn = turn();
    turn.mcp_servers = mcp_servers();
    let plan = plan(&turn);
    for file in &plan.files {
        let has_secret = written(&file.content).contains('<');
        assert!(
            !has_secret || file.path.starts_with("/run/private/"),
            "{}",
            file.path
        );
        assert_eq!(file.mode, 0o600);
    }
}
