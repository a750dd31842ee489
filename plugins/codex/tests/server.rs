//! What is said to the app server, and what of it the recordings do not have.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use aod_plugin_codex::Codex;
use aod_plugin_sdk::testing::{context, exit, prompt, setting, written};
use aod_plugin_sdk::{
    Action, Answer, Attachment, Block, Driver, EventBody, FailureKind, Fork, ForkOrigin,
    InjectMode, Injection, InjectionState, Input, Origin, OutputSource, Prompt, Reaction, Stdin,
    StopKind, prepare,
};

/// One more line that the server has written.
fn feed(driver: &mut Driver<Codex>, line: &str) -> Reaction {
    driver.feed(OutputSource::Stdout, &format!("{line}\n"))
}

/// What was written to the server.
fn said(reaction: &Reaction) -> Vec<String> {
    let writes = reaction.actions.iter().filter_map(|action| match action {
        Action::WriteStdin(fragments) => Some(written(fragments).trim_end().to_owned()),
        _ => None,
    });
    writes.collect()
}

fn events(reaction: &Reaction) -> impl Iterator<Item = &EventBody> {
    reaction.actions.iter().filter_map(|action| match action {
        Action::Emit(event) => Some(&event.body),
        _ => None,
    })
}

fn result(reaction: &Reaction) -> &aod_plugin_sdk::TurnResult {
    let mut results = events(reaction).filter_map(|event| match event {
        EventBody::TurnResult(result) => Some(result),
        _ => None,
    });
    results.next().unwrap_or_else(|| panic!("{reaction:#?}"))
}

/// A process whose thread `t` is open, with its first prompt asked for as request 2.
fn opened(origin: Origin, first: Prompt) -> Driver<Codex> {
    let mut facts = context("openai/gpt-4.1");
    facts.live = true;
    facts.origin = origin;
    let mut driver = Driver::new(facts, None);
    driver.receive(Input::Prompt(first));
    feed(&mut driver, r#"{"id":0,"result":{}}"#);
    let reaction = feed(&mut driver, r#"{"id":1,"result":{"thread":{"id":"t"}}}"#);
    assert!(said(&reaction)[0].contains("turn/start"), "{reaction:#?}");
    driver
}

/// The same, with the turn at work.
fn at_work(policy: &str) -> Driver<Codex> {
    let mut first = prompt("hello");
    first.settings = vec![setting("permission_mode", &format!("\"{policy}\""))];
    let mut driver = opened(Origin::New, first);
    feed(&mut driver, r#"{"id":2,"result":{"turn":{"id":"u1"}}}"#);
    driver
}

fn over(turn: &str, status: &str) -> String {
    format!(
        r#"{{"method":"turn/completed","params":{{"threadId":"t","turn":{{"id":"{turn}","status":"{status}"}}}}}}"#
    )
}

fn later(turn: u32) -> Prompt {
    Prompt {
        turn,
        ..prompt("more")
    }
}

fn answered(driver: &mut Driver<Codex>, question: &str, value: &str) -> Vec<String> {
    said(&driver.receive(Input::Answer(Answer {
        question: question.to_owned(),
        value: value.to_owned(),
        edited_input: None,
        message: None,
        by_default: false,
    })))
}

/// The id, the title and the choices of the question that is asked.
fn asked(reaction: &Reaction) -> (String, String, Vec<String>) {
    let mut asked = reaction.actions.iter().filter_map(|action| match action {
        Action::Ask(question) => Some((
            question.id.clone(),
            question.title.clone(),
            question.choices.iter().map(|it| it.id.clone()).collect(),
        )),
        _ => None,
    });
    asked.next().unwrap_or_else(|| panic!("{reaction:#?}"))
}

#[test]
fn a_prompt_has_images_and_a_form_and_an_effort_that_holds_for_it_alone() {
    let mut driver = at_work("never");
    feed(&mut driver, &over("u1", "completed"));
    let mut second = later(2);
    second.blocks.push(Block::Image(Attachment {
        id: "a".to_owned(),
        name: "shot.png".to_owned(),
        media_type: "image/png".to_owned(),
        path: "/home/agent/in/a,b.png".to_owned(),
        size: 7,
    }));
    second.output_schema = Some("{\n\"type\":\n\"object\"}".to_owned());
    second.settings = vec![setting("reasoning_effort", "\"high\"")];
    let lines = said(&driver.receive(Input::Prompt(second)));
    assert_eq!(
        lines,
        [
            r#"{"id":3,"method":"turn/start","params":{"threadId":"t","input":[{"type":"text","text":"more"},{"type":"localImage","path":"/home/agent/in/a,b.png"}],"approvalPolicy":"never","effort":"high","outputSchema":{ "type": "object"}}}"#
        ]
    );
    feed(&mut driver, r#"{"id":3,"result":{"turn":{"id":"u2"}}}"#);
    feed(
        &mut driver,
        r#"{"method":"item/completed","params":{"threadId":"t","turnId":"u2","item":{"type":"agentMessage","id":"m","text":"{\"a\":1}"}}}"#,
    );
    let reaction = feed(&mut driver, &over("u2", "completed"));
    assert_eq!(result(&reaction).structured.as_deref(), Some("{\"a\":1}"));
    // The server goes on with the effort unless it is told to take it back.
    let lines = said(&driver.receive(Input::Prompt(later(3))));
    assert!(
        lines[0].contains(r#""collaborationMode":{"mode":"default","settings":{"model":"gpt-4.1","reasoning_effort":null"#),
        "{lines:?}"
    );
    feed(&mut driver, r#"{"id":4,"result":{"turn":{"id":"u3"}}}"#);
    feed(&mut driver, &over("u3", "completed"));
    let lines = said(&driver.receive(Input::Prompt(later(4))));
    assert!(!lines[0].contains("effort"), "{lines:?}");
}

#[test]
fn an_answer_of_another_form_fails_the_turn() {
    let mut first = prompt("hello");
    first.output_schema = Some("{}".to_owned());
    let mut driver = opened(Origin::New, first);
    feed(&mut driver, r#"{"id":2,"result":{"turn":{"id":"u1"}}}"#);
    feed(
        &mut driver,
        r#"{"method":"item/completed","params":{"threadId":"t","turnId":"u1","item":{"type":"agentMessage","id":"m","text":"no"}}}"#,
    );
    let reaction = feed(&mut driver, &over("u1", "completed"));
    let failure = result(&reaction).failure.clone().unwrap();
    assert_eq!(failure.kind, FailureKind::Output);
    assert!(reaction.actions.contains(&Action::EndTurn));
}

/// A process that serves one prompt and may ask is spoken to, too, and exits then.
#[test]
fn who_is_asked_is_spoken_to_even_where_the_process_does_not_stay() {
    let facts = context("openai/gpt-4.1");
    let mut asking = prompt("hello");
    asking.settings = vec![setting("permission_mode", "\"untrusted\"")];
    let launch = prepare::<Codex>(&facts, &asking).unwrap();
    assert_eq!(launch.argv, ["codex", "app-server"]);
    assert!(matches!(launch.stdin, Stdin::Open(_)));
    let mut driver = Driver::<Codex>::new(facts, None);
    driver.receive(Input::Prompt(asking));
    feed(&mut driver, r#"{"id":0,"result":{}}"#);
    let reaction = feed(&mut driver, r#"{"id":1,"result":{"thread":{"id":"t"}}}"#);
    assert!(said(&reaction)[0].contains(r#""approvalPolicy":"untrusted""#));
    feed(&mut driver, r#"{"id":2,"result":{"turn":{"id":"u1"}}}"#);
    let reaction = feed(&mut driver, &over("u1", "completed"));
    assert!(reaction.actions.contains(&Action::Close));
}

#[test]
fn a_turn_can_be_stopped_before_it_is_one() {
    // Before the thread is open,
    let mut facts = context("openai/gpt-4.1");
    facts.live = true;
    let mut driver = Driver::<Codex>::new(facts, None);
    driver.receive(Input::Prompt(prompt("hello")));
    let reaction = driver.receive(Input::Interrupt);
    assert_eq!(result(&reaction).stop, StopKind::Interrupted);
    feed(&mut driver, r#"{"id":0,"result":{}}"#);
    let reaction = feed(&mut driver, r#"{"id":1,"result":{"thread":{"id":"t"}}}"#);
    assert!(said(&reaction).is_empty());
    assert!(said(&driver.receive(Input::Prompt(later(2))))[0].contains("turn/start"));
    // and before the server has said its id.
    assert!(said(&driver.receive(Input::Interrupt)).is_empty());
    let reaction = feed(&mut driver, r#"{"id":2,"result":{"turn":{"id":"u2"}}}"#);
    assert_eq!(
        said(&reaction),
        [r#"{"id":3,"method":"turn/interrupt","params":{"threadId":"t","turnId":"u2"}}"#]
    );
    let reaction = feed(&mut driver, &over("u2", "interrupted"));
    assert!(said(&reaction)[0].contains("thread/backgroundTerminals/clean"));
    let reaction = feed(&mut driver, r#"{"id":4,"result":{}}"#);
    assert_eq!(result(&reaction).stop, StopKind::Interrupted);
}

const RUNS: &str = r#"{"method":"item/started","params":{"threadId":"t","turnId":"u1","item":{"type":"commandExecution","id":"c","command":"sleep 9","processId":"77","status":"inProgress"}}}"#;
const RAN: &str = r#"{"method":"item/completed","params":{"threadId":"t","turnId":"u1","item":{"type":"commandExecution","id":"c","command":"sleep 9","processId":"77","status":"failed","exitCode":-1}}}"#;

#[test]
fn what_does_not_say_that_it_has_stopped_is_not_waited_for_long() {
    let mut driver = at_work("never");
    feed(&mut driver, RUNS);
    driver.receive(Input::Interrupt);
    let reaction = feed(&mut driver, &over("u1", "interrupted"));
    assert!(said(&reaction)[0].contains("thread/backgroundTerminals/clean"));
    assert!(events(&reaction).next().is_none(), "{reaction:#?}");
    let reaction = feed(&mut driver, r#"{"id":4,"result":{}}"#);
    assert!(reaction.actions.contains(&Action::WakeAfter(1_000)));
    let reaction = driver.tick(5_000);
    assert_eq!(result(&reaction).stop, StopKind::Interrupted);
}

#[test]
fn work_in_the_background_can_be_stopped() {
    let mut driver = at_work("never");
    feed(&mut driver, RUNS);
    let reaction = feed(&mut driver, &over("u1", "completed"));
    assert!(events(&reaction).any(|event| matches!(event, EventBody::Task(_))));
    let lines = said(&driver.receive(Input::StopTask("1-c".to_owned())));
    assert_eq!(
        lines,
        [
            r#"{"id":3,"method":"thread/backgroundTerminals/terminate","params":{"threadId":"t","processId":"77"}}"#
        ]
    );
    assert!(driver.state().is_none(), "a reply is waited for");
    feed(&mut driver, r#"{"id":3,"result":{}}"#);
    assert!(driver.state().is_some());
    let lines = said(&driver.receive(Input::CleanUp));
    assert!(lines[0].contains("backgroundTerminals/clean"));
    feed(&mut driver, RAN);
    assert!(said(&driver.receive(Input::CleanUp)).is_empty());
    // What runs when the process ends ends with it.
    feed(&mut driver, &RUNS.replace("\"c\"", "\"d\""));
    driver.receive(Input::Prompt(later(2)));
    let reaction = driver.finish(exit(0));
    assert!(
        events(&reaction).any(|event| matches!(
            event,
            EventBody::TurnResult(result) if result.stop == StopKind::Failed
        )),
        "{reaction:#?}"
    );
}

#[test]
fn what_an_mcp_server_asks_is_asked() {
    let mut driver = at_work("untrusted");
    let reaction = feed(
        &mut driver,
        r#"{"method":"mcpServer/elicitation/request","id":0,"params":{"threadId":"t","turnId":"u1","serverName":"notes","mode":"form","message":"Allow it?","_meta":{"codex_approval_kind":"mcp_tool_call","persist":["session","always"]},"requestedSchema":{}}}"#,
    );
    let (question, title, choices) = asked(&reaction);
    assert_eq!(title, "Allow it?");
    assert_eq!(choices, ["accept", "acceptForSession", "decline", "cancel"]);
    assert_eq!(
        answered(&mut driver, &question, "acceptForSession"),
        [r#"{"id":0,"result":{"action":"accept","content":{},"_meta":{"persist":"session"}}}"#]
    );
    // An answer that nobody waits for any more goes nowhere.
    assert!(answered(&mut driver, &question, "accept").is_empty());
    let reaction = feed(
        &mut driver,
        r#"{"method":"mcpServer/elicitation/request","id":1,"params":{"threadId":"t","turnId":"u1","serverName":"notes","mode":"form","message":"Which?","requestedSchema":{"type":"object"}}}"#,
    );
    let (question, _, choices) = asked(&reaction);
    assert_eq!(choices, ["accept", "decline", "cancel"]);
    let reaction = driver.receive(Input::Answer(Answer {
        question,
        value: "accept".to_owned(),
        edited_input: Some("{\"name\":\n\"x\"}".to_owned()),
        message: None,
        by_default: false,
    }));
    assert_eq!(
        said(&reaction),
        [r#"{"id":1,"result":{"action":"accept","content":{"name": "x"},"_meta":null}}"#]
    );
}

#[test]
fn permissions_are_granted_as_asked_or_not_at_all() {
    let ask = r#"{"method":"item/permissions/requestApproval","id":5,"params":{"threadId":"t","turnId":"u1","itemId":"c","reason":"to fetch","permissions":{"network":{"enabled":true}}}}"#;
    for (answer, reply) in [
        (
            "acceptForSession",
            r#"{"id":5,"result":{"permissions":{"network":{"enabled":true}},"scope":"session"}}"#,
        ),
        (
            "decline",
            r#"{"id":5,"result":{"permissions":{},"scope":"turn"}}"#,
        ),
    ] {
        let mut driver = at_work("untrusted");
        let (question, title, _) = asked(&feed(&mut driver, ask));
        assert_eq!(title, "to fetch");
        assert_eq!(answered(&mut driver, &question, answer), [reply]);
    }
}

#[test]
fn several_questions_are_asked_one_after_the_other() {
    let mut driver = at_work("never");
    let reaction = feed(
        &mut driver,
        r#"{"method":"item/tool/requestUserInput","id":2,"params":{"threadId":"t","turnId":"u1","itemId":"c","questions":[{"id":"a","question":"Which?","options":[{"label":"X"},{"label":"Y"}]},{"id":"b","question":"Why?","options":null}]}}"#,
    );
    let (question, title, choices) = asked(&reaction);
    assert_eq!((title.as_str(), choices.len()), ("Which?", 2));
    let reaction = driver.receive(Input::Answer(Answer {
        question,
        value: "Y".to_owned(),
        edited_input: None,
        message: None,
        by_default: false,
    }));
    let (question, title, choices) = asked(&reaction);
    assert_eq!((title.as_str(), choices.len()), ("Why?", 0));
    assert_eq!(
        answered(&mut driver, &question, "because"),
        [r#"{"id":2,"result":{"answers":{"a":{"answers":["Y"]},"b":{"answers":["because"]}}}}"#]
    );
}

#[test]
fn a_question_that_is_resolved_is_withdrawn_and_no_request_hangs() {
    let mut driver = at_work("untrusted");
    let reaction = feed(
        &mut driver,
        r#"{"method":"item/fileChange/requestApproval","id":0,"params":{"threadId":"t","turnId":"u1","itemId":"c"}}"#,
    );
    let (question, ..) = asked(&reaction);
    let reaction = feed(
        &mut driver,
        r#"{"method":"serverRequest/resolved","params":{"threadId":"t","requestId":0}}"#,
    );
    assert_eq!(reaction.actions, [Action::Withdraw(question)]);
    let reaction = feed(
        &mut driver,
        r#"{"method":"item/tool/call","id":1,"params":{"threadId":"t"}}"#,
    );
    assert_eq!(
        said(&reaction),
        [
            r#"{"id":1,"error":{"code":-32601,"message":"this client has no method item/tool/call"}}"#
        ]
    );
}

#[test]
fn a_turn_is_steered_while_it_runs() {
    let more = || {
        Input::Inject(Injection {
            id: "i".to_owned(),
            blocks: vec![Block::Text("rather blue".to_owned())],
            mode: InjectMode::Steer,
        })
    };
    let state = |reaction: &Reaction| match &reaction.actions[..] {
        [Action::Injected(outcome)] => outcome.state,
        other => panic!("{other:#?}"),
    };
    let mut driver = at_work("never");
    let lines = said(&driver.receive(more()));
    assert!(lines[0].contains("turn/steer") && lines[0].contains("\"expectedTurnId\":\"u1\""));
    let reaction = feed(
        &mut driver,
        r#"{"error":{"code":-32600,"message":"no active turn to steer"},"id":3}"#,
    );
    assert_eq!(state(&reaction), InjectionState::Refused);
    feed(&mut driver, &over("u1", "completed"));
    assert_eq!(state(&driver.receive(more())), InjectionState::Refused);
}

#[test]
fn a_conversation_is_copied_as_it_is_or_was() {
    let mut driver = at_work("never");
    feed(&mut driver, &over("u1", "completed"));
    driver.receive(Input::Prompt(later(2)));
    feed(&mut driver, r#"{"id":3,"result":{"turn":{"id":"u2"}}}"#);
    feed(&mut driver, &over("u2", "completed"));
    let mut wish = |after_turn| {
        driver.receive(Input::Fork(Fork {
            id: "f".to_owned(),
            after_turn,
        }))
    };
    assert!(!said(&wish(None))[0].contains("lastTurnId"));
    assert!(said(&wish(Some(1)))[0].contains("\"lastTurnId\":\"u1\""));
    assert!(
        matches!(&wish(Some(7)).actions[..], [Action::Forked(outcome)] if outcome.token.is_err())
    );
    let reaction = feed(&mut driver, r#"{"id":4,"result":{"thread":{"id":"c"}}}"#);
    let Action::Forked(outcome) = &reaction.actions[0] else {
        panic!("{reaction:#?}");
    };
    let token = outcome.token.clone().unwrap();
    // What the copy's thread tells is not told here.
    let noise = r#"{"method":"thread/status/changed","params":{"threadId":"c"}}"#;
    assert_eq!(feed(&mut driver, noise).actions, []);

    // The copy's process goes on with it; another conversation is copied first.
    for (token, method) in [
        (token, "thread/resume"),
        ("o 5 0 5 0 0".to_owned(), "thread/fork"),
    ] {
        let origin = Origin::Fork(ForkOrigin {
            token: token.clone(),
            after_turn: None,
        });
        let mut facts = context("openai/gpt-4.1");
        facts.origin = origin.clone();
        let word = prepare::<Codex>(&facts, &later(2)).unwrap().argv[2].clone();
        assert_eq!(format!("thread/{word}"), method);
        facts.live = true;
        let mut driver = Driver::<Codex>::new(facts, None);
        driver.receive(Input::Prompt(later(3)));
        let reaction = feed(&mut driver, r#"{"id":0,"result":{}}"#);
        let lines = said(&reaction);
        assert!(lines[1].contains(method), "{lines:?}");
        // What it has used so far was used elsewhere.
        let mut driver = opened(origin, later(3));
        let used = |turn: &str, tokens: u32| {
            format!(
                r#"{{"method":"thread/tokenUsage/updated","params":{{"threadId":"t","turnId":"{turn}","tokenUsage":{{"total":{{"inputTokens":{tokens},"outputTokens":1}}}}}}}}"#
            )
        };
        assert_eq!(feed(&mut driver, &used("old", 50)).actions, []);
        feed(&mut driver, r#"{"id":2,"result":{"turn":{"id":"u3"}}}"#);
        let reaction = feed(&mut driver, &used("u3", 61));
        assert!(
            events(&reaction)
                .any(|event| matches!(event, EventBody::Usage(it) if it.input_tokens == 11)),
            "{reaction:#?}"
        );
    }
}

#[test]
fn plans_and_compactions_are_told() {
    let mut driver = at_work("never");
    let reaction = feed(
        &mut driver,
        r#"{"method":"turn/plan/updated","params":{"threadId":"t","turnId":"u1","plan":[{"step":"one","status":"completed"},{"step":"two","status":"inProgress"}]}}"#,
    );
    assert!(
        events(&reaction).any(|event| matches!(event, EventBody::Todo(items) if items.len() == 2))
    );
    let reaction = feed(
        &mut driver,
        r#"{"method":"item/completed","params":{"threadId":"t","turnId":"u1","item":{"type":"contextCompaction","id":"k"}}}"#,
    );
    assert!(events(&reaction).any(|event| matches!(event, EventBody::Compaction(it) if it.done)));
}

#[test]
fn a_plan_that_is_used_up_says_when_it_is_open_again() {
    let mut driver = at_work("never");
    feed(
        &mut driver,
        r#"{"method":"account/rateLimits/updated","params":{"rateLimits":{"primary":{"usedPercent":100,"windowDurationMins":300,"resetsAt":1795799610},"secondary":{"usedPercent":20,"windowDurationMins":10080,"resetsAt":1795900000}}}}"#,
    );
    let reaction = feed(
        &mut driver,
        r#"{"method":"turn/completed","params":{"threadId":"t","turn":{"id":"u1","status":"failed","error":{"message":"You've hit your usage limit.","codexErrorInfo":"usageLimitExceeded"}}}}"#,
    );
    let failure = result(&reaction).failure.clone().unwrap();
    assert_eq!(failure.kind, FailureKind::Quota);
    assert_eq!(failure.retry_at_ms, Some(1_795_799_610_000));
}

const SPAWNED: &str = r#"{"method":"item/completed","params":{"threadId":"t","turnId":"u1","item":{"type":"collabAgentToolCall","id":"s","tool":"spawnAgent","status":"completed","prompt":"look","receiverThreadIds":["k"],"agentsStates":{"k":{"status":"pendingInit","message":null}}}}}"#;
const WORKS: &str = r#"{"method":"turn/started","params":{"threadId":"k","turn":{"id":"v1","status":"inProgress"}}}"#;
const IS_DONE: &str = r#"{"method":"turn/completed","params":{"threadId":"k","turn":{"id":"v1","status":"completed"}}}"#;

#[test]
fn a_turn_waits_for_its_subagents_and_what_they_ask() {
    let mut driver = at_work("untrusted");
    feed(&mut driver, SPAWNED);
    feed(&mut driver, WORKS);
    let reaction = feed(
        &mut driver,
        r#"{"method":"item/commandExecution/requestApproval","id":0,"params":{"threadId":"k","turnId":"v1","itemId":"c","command":"rm x"}}"#,
    );
    let (question, ..) = asked(&reaction);
    // The agent has ended; its subagent still waits for the answer.
    let reaction = feed(&mut driver, &over("u1", "completed"));
    assert!(
        !reaction.actions.contains(&Action::EndTurn),
        "{reaction:#?}"
    );
    assert_eq!(
        answered(&mut driver, &question, "accept"),
        [r#"{"id":0,"result":{"decision":"accept"}}"#]
    );
    let reaction = feed(&mut driver, IS_DONE);
    assert_eq!(result(&reaction).stop, StopKind::Completed);
    assert!(reaction.actions.contains(&Action::EndTurn));
    assert!(driver.state().is_some());
}

#[test]
fn who_stops_a_turn_stops_its_subagents() {
    let mut driver = at_work("never");
    feed(&mut driver, SPAWNED);
    feed(&mut driver, WORKS);
    feed(&mut driver, &over("u1", "completed"));
    assert_eq!(
        said(&driver.receive(Input::Interrupt)),
        [r#"{"id":3,"method":"turn/interrupt","params":{"threadId":"k","turnId":"v1"}}"#]
    );
    let reaction = feed(
        &mut driver,
        &IS_DONE.replace("completed\"}", "interrupted\"}"),
    );
    assert!(said(&reaction)[0].contains("backgroundTerminals/clean"));
    let reaction = feed(&mut driver, r#"{"id":4,"result":{}}"#);
    assert_eq!(result(&reaction).stop, StopKind::Interrupted);
}

/// One that is done before it is known to be a subagent is not waited for.
#[test]
fn a_subagent_may_be_quicker_than_the_call_that_started_it() {
    let mut driver = at_work("never");
    feed(&mut driver, WORKS);
    feed(&mut driver, IS_DONE);
    feed(&mut driver, SPAWNED);
    let reaction = feed(&mut driver, &over("u1", "completed"));
    assert!(reaction.actions.contains(&Action::EndTurn), "{reaction:#?}");
}

/// The process is of no use, and must not stay for the next prompt.
#[test]
fn a_conversation_that_is_lost_ends_its_process() {
    let mut facts = context("openai/gpt-4.1");
    facts.live = true;
    facts.origin = Origin::Resume("gone 5 0 5 0 0".to_owned());
    let mut driver = Driver::<Codex>::new(facts, None);
    driver.receive(Input::Prompt(later(2)));
    feed(&mut driver, r#"{"id":0,"result":{}}"#);
    let reaction = feed(
        &mut driver,
        r#"{"id":1,"error":{"code":-32600,"message":"no rollout found for thread id gone"}}"#,
    );
    let failure = result(&reaction).failure.clone().unwrap();
    assert_eq!(failure.kind, FailureKind::Resume);
    let at = |wanted: &Action| reaction.actions.iter().position(|it| it == wanted);
    assert!(reaction.actions.contains(&Action::Forget));
    assert!(at(&Action::Close) < at(&Action::EndTurn), "{reaction:#?}");
}

#[test]
fn a_server_that_fails_before_the_thread_is_open_is_told() {
    let mut facts = context("openai/gpt-4.1");
    facts.live = true;
    facts.mcp_servers = vec![aod_plugin_sdk::testing::mcp_server("notes")];
    let mut driver = Driver::<Codex>::new(facts, None);
    driver.receive(Input::Prompt(prompt("hello")));
    feed(&mut driver, r#"{"id":0,"result":{}}"#);
    let reaction = feed(
        &mut driver,
        r#"{"method":"mcpServer/startupStatus/updated","params":{"threadId":"t","name":"notes","status":"failed","error":"[types] error: gone"}}"#,
    );
    assert!(
        events(&reaction).any(|event| matches!(
            event,
            EventBody::McpServer(server) if server.message.as_deref() == Some("gone")
        )),
        "{reaction:#?}"
    );
}

#[test]
fn what_is_said_before_the_turn_runs_waits_for_that() {
    let more = || {
        Input::Inject(Injection {
            id: "i".to_owned(),
            blocks: vec![Block::Text("rather blue".to_owned())],
            mode: InjectMode::Steer,
        })
    };
    let states = |reaction: &Reaction| -> Vec<InjectionState> {
        let outcomes = reaction.actions.iter().filter_map(|action| match action {
            Action::Injected(outcome) => Some(outcome.state),
            _ => None,
        });
        outcomes.collect()
    };
    let mut driver = opened(Origin::New, prompt("hello"));
    let early = driver.receive(more());
    assert_eq!(states(&early), [InjectionState::Queued]);
    assert!(said(&early).is_empty());
    let begun = feed(&mut driver, r#"{"id":2,"result":{"turn":{"id":"u1"}}}"#);
    let lines = said(&begun);
    assert!(lines[0].contains("turn/steer") && lines[0].contains("rather blue"));
    let taken = feed(&mut driver, r#"{"id":3,"result":{"turnId":"u1"}}"#);
    assert_eq!(states(&taken), [InjectionState::Delivered]);

    // A turn that never runs takes nothing.
    let mut driver = opened(Origin::New, prompt("hello"));
    driver.receive(more());
    let refused = feed(
        &mut driver,
        r#"{"id":2,"error":{"code":-1,"message":"no"}}"#,
    );
    assert_eq!(states(&refused), [InjectionState::Refused]);
    let mut driver = opened(Origin::New, prompt("hello"));
    driver.receive(more());
    assert_eq!(
        states(&driver.receive(Input::Interrupt)),
        [InjectionState::Refused]
    );
    let mut driver = opened(Origin::New, prompt("hello"));
    driver.receive(more());
    assert_eq!(states(&driver.finish(exit(1))), [InjectionState::Refused]);
}
