//! What is said to an agent.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use aod_plugin_acp::Acp;
use aod_plugin_sdk::testing::{context, exit, mcp_servers, written};
use aod_plugin_sdk::{
    Action, Answer, Continuity, Driver, Event, FailureKind, OutputStream, Question, Reaction,
    Stdin, TurnContext, describe, plan_turn,
};

const INITIALIZED: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":1,"agentCapabilities":{"loadSession":true,"mcpCapabilities":{"http":true}}}}"#;
const OPENED: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"sessionId":"s1"}}"#;
const ASKED: &str = r#"{"jsonrpc":"2.0","id":"q","method":"session/request_permission","params":{"sessionId":"s1","toolCall":{"toolCallId":"c","title":"rm -r x","kind":"execute","rawInput":{"command":"rm -r x"}},"options":[{"optionId":"y","name":"Yes","kind":"allow_once"},{"optionId":"n","name":"No","kind":"reject_once"}]}}"#;

fn facts(options: &str) -> TurnContext {
    let mut facts = context("acme/m-1", "say \"hi\"");
    facts.options = options.to_owned();
    facts
}

/// What the agent is written, line by line.
fn said(reaction: &Reaction) -> Vec<String> {
    let writes = reaction.actions.iter().filter_map(|action| match action {
        Action::WriteStdin(fragments) => Some(written(fragments)),
        _ => None,
    });
    let lines: Vec<String> = writes.collect();
    for line in &lines {
        assert!(
            line.ends_with('\n') && line.matches('\n').count() == 1,
            "{line:?}"
        );
        serde_json::from_str::<serde::de::IgnoredAny>(line).unwrap();
    }
    lines
        .iter()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

fn feed(driver: &mut Driver<Acp>, line: &str) -> Reaction {
    driver.feed(OutputStream::Stdout, &format!("{line}\n"))
}

/// A turn whose prompt was sent.
fn prompted(options: &str) -> Driver<Acp> {
    let mut driver = Driver::new(facts(options));
    feed(&mut driver, INITIALIZED);
    let prompt = feed(&mut driver, OPENED);
    assert!(said(&prompt)[0].contains("session/prompt"));
    driver
}

fn questions(reaction: &Reaction) -> Vec<&Question> {
    let asked = reaction.actions.iter().filter_map(|action| match action {
        Action::Ask(question) => Some(question),
        _ => None,
    });
    asked.collect()
}

fn ends_turn(reaction: &Reaction) -> bool {
    reaction
        .actions
        .iter()
        .any(|action| matches!(action, Action::EndTurn))
}

fn failure(reaction: &Reaction) -> Option<FailureKind> {
    reaction.actions.iter().find_map(|action| match action {
        Action::Emit(emitted) => match &emitted.event {
            Event::TurnResult(result) => Some(result.failure.as_ref()?.kind),
            _ => None,
        },
        _ => None,
    })
}

#[test]
fn options_that_make_no_agent_are_refused_in_words() {
    let table = [
        (r"{}", "options.argv is missing"),
        (r#"{"argv":["/opt/x"]}"#, "not the name of a program"),
        (r#"{"argv":["x"]}"#, "options.providers is missing"),
        (
            r#"{"argv":["x"],"providers":[{"id":"acme"}],"credentials":[{"name":"provider_key:o","variable":"O","providers":["other"]}]}"#,
            "does not have",
        ),
        (
            r#"{"argv":["x"],"providers":[{"id":"acme"}],"permission_deadline":0}"#,
            "not from 1 to",
        ),
        (r#"{"argv":["x"],"permissons":"ask"}"#, "unknown field"),
        (r#"{"argv":["x"],"permissions":"maybe"}"#, "maybe"),
    ];
    for (options, problem) in table {
        let refused = describe::<Acp>(options).unwrap_err();
        assert!(refused.contains(problem), "{options}: {refused}");
    }
}

#[test]
fn a_plan_is_what_its_table_says() {
    let mut facts = facts(
        r#"{"argv":["agent","--model={model}"],"providers":[{"id":"acme"}],"delete":["{home}/lock"],
            "env":{"A":"{canonical}","URL":"{endpoint:acme}"},"system_prompt_file":"{home}/AGENT.md"}"#,
    );
    facts.turn = 2;
    facts.system = Some("Be brief.".to_owned());
    let plan = plan_turn::<Acp>(&facts).unwrap();
    assert_eq!(plan.argv, ["agent", "--model=m-1"]);
    assert_eq!(plan.continuity, Continuity::Fresh);
    assert_eq!(plan.delete, ["/home/agent/lock"]);
    assert_eq!(plan.files[0].path, "/home/agent/AGENT.md");
    let variables: Vec<_> = plan
        .env
        .iter()
        .map(|it| (it.name.as_str(), written(&it.value)))
        .collect();
    assert_eq!(variables, [("A", "acme/m-1".to_owned())]);
    let Stdin::Open(first) = plan.stdin else {
        panic!("{:?}", plan.stdin);
    };
    assert!(written(&first).contains("\"initialize\""));
}

#[test]
fn a_session_is_opened_step_by_step() {
    let mut facts = facts(r#"{"auth_method":"key","select_model":"{model}","mode":"build"}"#);
    facts.system = Some("Be brief.".to_owned());
    facts.mcp_servers = mcp_servers();
    let mut driver = Driver::<Acp>::new(facts);
    let reply = |id: u32| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"sessionId":"s1"}}}}"#);
    let mut lines = said(&feed(&mut driver, INITIALIZED));
    for id in 1..=4 {
        lines.extend(said(&feed(&mut driver, &reply(id))));
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn servers_that_an_agent_does_not_reach_are_left_out_and_it_is_said() {
    let mut facts = facts("{}");
    facts.mcp_servers = mcp_servers();
    let mut driver = Driver::<Acp>::new(facts);
    let reaction = feed(
        &mut driver,
        &INITIALIZED.replace("\"http\":true", "\"http\":false"),
    );
    let line = &said(&reaction)[0];
    assert!(
        line.contains("\"local\"") && !line.contains("\"docs\""),
        "{line}"
    );
    let notice = reaction.actions.iter().any(|action| {
        matches!(action, Action::Emit(it) if matches!(&it.event, Event::Notice(notice) if notice.text.contains("\"docs\"")))
    });
    assert!(notice);
}

#[test]
fn an_agent_that_cannot_go_on_starts_afresh_and_says_so() {
    let mut facts = facts("{}");
    facts.turn = 2;
    facts.resume = Some("s0".to_owned());
    let mut driver = Driver::<Acp>::new(facts);
    let reaction = feed(&mut driver, r#"{"id":0,"result":{"protocolVersion":1}}"#);
    assert!(said(&reaction)[0].contains("session/new"));
    assert!(
        matches!(&reaction.actions[0], Action::Emit(it) if matches!(&it.event, Event::Notice(_)))
    );
}

#[test]
fn a_session_that_is_not_found_is_begun_afresh_and_it_is_said() {
    let mut facts = facts("{}");
    facts.turn = 2;
    facts.resume = Some("s0".to_owned());
    let mut driver = Driver::<Acp>::new(facts.clone());
    let loading = feed(&mut driver, INITIALIZED);
    assert!(said(&loading)[0].contains("session/load"));
    let lost = r#"{"id":1,"error":{"code":-32603,"message":"no such session"}}"#;
    let reaction = feed(&mut driver, lost);
    assert!(said(&reaction)[0].contains("session/new"));
    let notice = reaction.actions.iter().any(|action| {
        matches!(action, Action::Emit(it) if matches!(&it.event, Event::Notice(notice) if notice.text.contains("no such session")))
    });
    assert!(notice, "{:?}", reaction.actions);
    // Who is not let in has not lost anything.
    let mut driver = Driver::<Acp>::new(facts);
    feed(&mut driver, INITIALIZED);
    let refused = r#"{"id":1,"error":{"code":-32000,"message":"who are you?"}}"#;
    let reaction = feed(&mut driver, refused);
    assert_eq!(failure(&reaction), Some(FailureKind::Auth));
    assert!(said(&reaction).is_empty());
}

#[test]
fn what_is_asked_is_answered() {
    let mut driver = prompted("{}");
    let reaction = feed(&mut driver, ASKED);
    let [question] = questions(&reaction)[..] else {
        panic!("{:?}", reaction.actions);
    };
    assert_eq!((&*question.default, question.deadline_ms), ("n", 300_000));
    assert_eq!(question.title, "rm -r x");
    let answer = Answer {
        question: question.id.clone(),
        value: "y".to_owned(),
        by_default: false,
    };
    let answered = said(&driver.answer(answer.clone()));
    assert_eq!(
        answered,
        [
            r#"{"jsonrpc":"2.0","id":"q","result":{"outcome":{"outcome":"selected","optionId":"y"}}}"#
        ]
    );
    assert!(said(&driver.answer(answer)).is_empty(), "once");
}

#[test]
fn options_answer_where_nobody_is_to_be_asked() {
    for (permissions, option) in [("allow", "y"), ("reject", "n")] {
        let mut driver = prompted(&format!(r#"{{"permissions":"{permissions}"}}"#));
        let reaction = feed(&mut driver, ASKED);
        assert!(questions(&reaction).is_empty());
        let answered = said(&reaction);
        assert!(
            answered[0].contains(&format!("\"optionId\":\"{option}\"")),
            "{answered:?}"
        );
    }
}

#[test]
fn stopping_cancels_the_prompt_and_what_was_asked() {
    let mut driver = prompted("{}");
    feed(&mut driver, ASKED);
    let lines = said(&driver.interrupt());
    assert_eq!(
        lines,
        [
            r#"{"jsonrpc":"2.0","id":"q","result":{"outcome":{"outcome":"cancelled"}}}"#,
            r#"{"jsonrpc":"2.0","method":"session/cancel","params":{"sessionId":"s1"}}"#
        ]
    );
    let reaction = feed(
        &mut driver,
        r#"{"id":2,"result":{"stopReason":"cancelled"}}"#,
    );
    assert!(ends_turn(&reaction));
    assert_eq!(driver.finish(exit(0)).failure, None);
    // Before there is anything to cancel the turn just ends.
    let mut driver = Driver::<Acp>::new(facts("{}"));
    assert!(ends_turn(&driver.interrupt()));
}

#[test]
fn what_an_agent_asks_of_a_client_without_it_is_refused() {
    let mut driver = prompted("{}");
    let request = r#"{"jsonrpc":"2.0","id":7,"method":"fs/write_text_file","params":{"path":"x"}}"#;
    let lines = said(&feed(&mut driver, request));
    assert!(
        lines[0].contains("\"id\":7,\"error\":{\"code\":-32601"),
        "{lines:?}"
    );
}

#[test]
fn failures_have_kinds() {
    let error = |id: u32, code: i32, message: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"{message}"}}}}"#)
    };
    let mut driver = prompted("{}");
    let reaction = feed(&mut driver, &error(2, -32000, "who are you?"));
    assert_eq!(failure(&reaction), Some(FailureKind::Auth));
    assert!(ends_turn(&reaction));
    let mut driver = prompted("{}");
    let reaction = feed(&mut driver, &error(2, -32603, "rate limit reached"));
    assert_eq!(failure(&reaction), Some(FailureKind::Quota));
    // Another version of the protocol.
    let mut driver = Driver::<Acp>::new(facts("{}"));
    let reaction = feed(&mut driver, r#"{"id":0,"result":{"protocolVersion":2}}"#);
    assert_eq!(failure(&reaction), Some(FailureKind::Crash));
}
