//! Plans: shown as a host would carry them out, and what holds for those of every adapter.

use std::fmt::Write as _;

use super::{mcp_servers, written};
use crate::{Adapter, Continuity, Endpoint, Plan, Stdin, TurnContext, plan_turn};

/// All of a plan, in words that a snapshot can keep.
///
/// # Panics
///
/// When the plan's stdin is not a text.
#[must_use]
pub fn shown(plan: &Plan) -> String {
    let Stdin::Text(stdin) = &plan.stdin else {
        panic!("{:?}", plan.stdin);
    };
    let mut text = format!("{}\n{:?}\n", plan.argv.join(" "), plan.continuity);
    // Writing to a string cannot fail.
    for variable in &plan.env {
        let _ = writeln!(text, "{}={}", variable.name, written(&variable.value));
    }
    for path in &plan.delete {
        let _ = writeln!(text, "delete {path}");
    }
    for file in &plan.files {
        let content = written(&file.content);
        let _ = writeln!(text, "file {} {:o}\n{content}", file.path, file.mode);
    }
    let _ = writeln!(text, "stdin {}", written(stdin));
    text
}

/// `turn` as a later one that resumes, with everything that a user can ask for and a base URL for
/// `provider`.
#[must_use]
pub fn with_everything(mut turn: TurnContext, resume: &str, provider: &str) -> TurnContext {
    turn.turn = 2;
    turn.turn_id = "5e551011-0000-4000-8000-000000000002".to_owned();
    turn.resume = Some(resume.to_owned());
    turn.system = Some("Be brief.\n\"Now\".".to_owned());
    turn.mcp_servers = mcp_servers();
    turn.endpoints = vec![Endpoint {
        provider: provider.to_owned(),
        url: "http://127.0.0.1:1/".to_owned(),
    }];
    turn
}

/// A later turn with nothing to resume is run as the first one was, and says so.
///
/// # Panics
///
/// When it is not.
pub fn starts_afresh<A: Adapter>(mut turn: TurnContext) {
    let first = planned::<A>(&turn);
    turn.turn = 2;
    for nothing in [None, Some(String::new())] {
        turn.resume = nothing;
        let fresh = planned::<A>(&turn);
        assert_eq!(fresh.continuity, Continuity::Fresh);
        assert_eq!(fresh.argv, first.argv);
    }
}

/// The secrets of MCP servers stand in files in memory or in the environment, and every file is
/// for its owner alone.
///
/// # Panics
///
/// When they do not.
pub fn keeps_secrets_apart<A: Adapter>(mut turn: TurnContext) {
    turn.mcp_servers = mcp_servers();
    for file in planned::<A>(&turn).files {
        let has_secret = written(&file.content).contains('<');
        assert!(
            !has_secret || file.path.starts_with("/run/private/"),
            "{}",
            file.path
        );
        assert_eq!(file.mode, 0o600);
    }
}

fn planned<A: Adapter>(turn: &TurnContext) -> Plan {
    match plan_turn::<A>(turn) {
        Ok(plan) => plan,
        Err(error) => panic!("there is no plan: {error}"),
    }
}
