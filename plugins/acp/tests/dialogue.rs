//! What is said to an agent.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use aod_plugin_acp::Acp;
use aod_plugin_sdk::testing::{context, exit, mcp_servers, prompt, written};
use aod_plugin_sdk::{
    Action, Answer, Attachment, AuthHeader, AuthStyle, Block, Capability, Context, Continuity,
    Driver, EventBody, FailureKind, Fork, ForkOrigin, InjectMode, Injection, InjectionState, Input,
    McpState, Origin, OutputSource, Prompt, Question, Reaction, Setting, Stdin, StopKind, describe,
    prepare,
};

const INITIALIZED: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":1,"agentCapabilities":{"loadSession":true,"mcpCapabilities":{"http":true}}}}"#;
const OPENED: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"sessionId":"s1"}}"#;
const ASKED: &str = r#"{"jsonrpc":"2.0","id":"q","method":"session/request_permission","params":{"sessionId":"s1","toolCall":{"toolCallId":"c","title":"rm -r x","kind":"execute","rawInput":{"command":"rm -r x"}},"options":[{"optionId":"y","name":"Yes","kind":"allow_once"},{"optionId":"n","name":"No","kind":"reject_once"}]}}"#;

fn facts(options: &str) -> Context {
    let mut facts = context("acme/m-1");
    facts.options = options.to_owned();
    facts
}

/// A conversation that has its first prompt.
fn begun(facts: Context) -> Driver<Acp> {
    let mut driver = Driver::new(facts, None);
    let reaction = driver.receive(Input::Prompt(prompt("say \"hi\"")));
    assert!(
        said(&reaction).is_empty(),
        "the launch has written the first request"
    );
    driver
}

/// One that goes on with another, in its second turn.
fn gone_on(mut facts: Context, origin: Origin) -> Driver<Acp> {
    facts.origin = origin;
    let mut driver = Driver::new(facts, None);
    driver.receive(Input::Prompt(later(2, "go on")));
    driver
}

fn later(turn: u32, text: &str) -> Prompt {
    Prompt {
        turn,
        ..prompt(text)
    }
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
    driver.feed(OutputSource::Stdout, &format!("{line}\n"))
}

/// A turn whose prompt was sent.
fn prompted(options: &str) -> Driver<Acp> {
    let mut driver = begun(facts(options));
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

fn closes(reaction: &Reaction) -> bool {
    reaction
        .actions
        .iter()
        .any(|action| matches!(action, Action::Close))
}

fn events(reaction: &Reaction) -> impl Iterator<Item = &EventBody> {
    reaction.actions.iter().filter_map(|action| match action {
        Action::Emit(event) => Some(&event.body),
        _ => None,
    })
}

fn stop(reaction: &Reaction) -> Option<StopKind> {
    events(reaction).find_map(|event| match event {
        EventBody::TurnResult(result) => Some(result.stop),
        _ => None,
    })
}

fn failure(reaction: &Reaction) -> Option<FailureKind> {
    events(reaction).find_map(|event| match event {
        EventBody::TurnResult(result) => Some(result.failure.as_ref()?.kind),
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
fn a_launch_is_what_its_table_says() {
    let mut facts = facts(
        r#"{"argv":["agent","--model={model}"],"providers":[{"id":"acme"}],"delete":["{home}/lock"],
            "env":{"A":"{canonical}","URL":"{endpoint:acme}"},"system_prompt_file":"{home}/AGENT.md"}"#,
    );
    facts.system = Some("Be brief.".to_owned());
    let launch = prepare::<Acp>(&facts, &later(2, "x")).unwrap();
    assert_eq!(launch.argv, ["agent", "--model=m-1"]);
    assert_eq!(launch.continuity, Continuity::Fresh);
    assert_eq!(launch.delete, ["/home/agent/lock"]);
    assert_eq!(launch.files[0].path, "/home/agent/AGENT.md");
    let variables: Vec<_> = launch
        .env
        .iter()
        .map(|it| (it.name.as_str(), written(&it.value)))
        .collect();
    assert_eq!(variables, [("A", "acme/m-1".to_owned())]);
    let Stdin::Open(first) = launch.stdin else {
        panic!("{:?}", launch.stdin);
    };
    assert!(written(&first).contains("\"initialize\""));
}

#[test]
fn a_description_is_what_its_table_says() {
    let description = describe::<Acp>(
        r#"{"argv":["agent"],"providers":[{"id":"acme","default_endpoint":"https://acme.test/v1"}],
            "credentials":[{"name":"provider_key:acme","variable":"ACME","providers":["acme"],
                "sent":[{"header":"authorization","prefix":"Bearer "},{"query":"key"}]}],
            "settings":[{"id":"reasoning_effort","config":"effort","values":["low","high"]}],
            "steering":true,"fork":true,"images":[]}"#,
    )
    .unwrap();
    assert_eq!(
        description.providers[0].default_endpoint.as_deref(),
        Some("https://acme.test/v1")
    );
    assert_eq!(
        description.credentials[0].sent,
        [
            AuthStyle::Header(AuthHeader {
                name: "authorization".to_owned(),
                prefix: "Bearer ".to_owned()
            }),
            AuthStyle::Query("key".to_owned())
        ]
    );
    assert_eq!(description.options[0].schema, r#"{"enum":["low","high"]}"#);
    let can = |capability| description.capabilities.contains(&capability);
    assert!(can(Capability::Live));
    assert!(can(Capability::Inject(vec![InjectMode::Steer])));
    let images = |it: &Capability| matches!(it, Capability::Images(_));
    assert!(!description.capabilities.iter().any(images));
}

#[test]
fn a_session_is_opened_step_by_step() {
    let mut facts = facts(r#"{"auth_method":"key","select_model":"{model}","mode":"build"}"#);
    facts.system = Some("Be brief.".to_owned());
    facts.mcp_servers = mcp_servers();
    let mut driver = begun(facts);
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
    let mut driver = begun(facts);
    let reaction = feed(
        &mut driver,
        &INITIALIZED.replace("\"http\":true", "\"http\":false"),
    );
    let line = &said(&reaction)[0];
    assert!(
        line.contains("\"local\"") && !line.contains("\"docs\""),
        "{line}"
    );
    let is_missing = |event: &EventBody| {
        matches!(event, EventBody::McpServer(it)
            if it.name == "docs" && it.state == McpState::Failed && it.message.is_some())
    };
    assert!(events(&reaction).any(is_missing));
}

#[test]
fn an_agent_that_cannot_go_on_starts_afresh_and_says_so() {
    let mut driver = gone_on(facts("{}"), Origin::Resume("s0".to_owned()));
    let reaction = feed(&mut driver, r#"{"id":0,"result":{"protocolVersion":1}}"#);
    assert!(said(&reaction)[0].contains("session/new"));
    assert!(matches!(
        events(&reaction).next(),
        Some(EventBody::Notice(_))
    ));
}

#[test]
fn a_session_that_is_not_found_is_begun_afresh_and_it_is_said() {
    let mut driver = gone_on(facts("{}"), Origin::Resume("s0".to_owned()));
    let loading = feed(&mut driver, INITIALIZED);
    assert!(said(&loading)[0].contains("session/load"));
    let lost = r#"{"id":1,"error":{"code":-32603,"message":"no such session"}}"#;
    let reaction = feed(&mut driver, lost);
    assert!(said(&reaction)[0].contains("session/new"));
    let says_why = |event: &EventBody| matches!(event, EventBody::Notice(notice) if notice.text.contains("no such session"));
    assert!(events(&reaction).any(says_why), "{:?}", reaction.actions);
    // Who is not let in has not lost anything.
    let mut driver = gone_on(facts("{}"), Origin::Resume("s0".to_owned()));
    feed(&mut driver, INITIALIZED);
    let refused = r#"{"id":1,"error":{"code":-32000,"message":"who are you?"}}"#;
    let reaction = feed(&mut driver, refused);
    assert_eq!(failure(&reaction), Some(FailureKind::Auth));
    assert!(said(&reaction).is_empty());
    assert!(closes(&reaction));
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
        edited_input: None,
        message: None,
        by_default: false,
    };
    let answered = said(&driver.receive(Input::Answer(answer.clone())));
    assert_eq!(
        answered,
        [
            r#"{"jsonrpc":"2.0","id":"q","result":{"outcome":{"outcome":"selected","optionId":"y"}}}"#
        ]
    );
    assert!(
        said(&driver.receive(Input::Answer(answer))).is_empty(),
        "once"
    );
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
    let reaction = driver.receive(Input::Interrupt);
    let withdrawn = Action::Withdraw("permission-1-1".to_owned());
    assert!(reaction.actions.contains(&withdrawn));
    let lines = said(&reaction);
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
    assert!(ends_turn(&reaction) && closes(&reaction));
    assert_eq!(stop(&reaction), Some(StopKind::Interrupted));
    assert_eq!(driver.finish(exit(0)).actions, []);
    // Before there is anything to cancel the turn just ends.
    let mut driver = begun(facts("{}"));
    assert!(ends_turn(&driver.receive(Input::Interrupt)));
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
    let mut driver = begun(facts("{}"));
    let reaction = feed(&mut driver, r#"{"id":0,"result":{"protocolVersion":2}}"#);
    assert_eq!(failure(&reaction), Some(FailureKind::Crash));
}

// ---- a process that stays ----------------------------------------------------------------------

const LIVE: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":1,"agentCapabilities":{"loadSession":true,"promptCapabilities":{"image":true},"sessionCapabilities":{"resume":{},"fork":{}}},"_meta":{"steering":{"supported":true}}}}"#;

/// A process that stays, with its first prompt at work as request 2.
fn living(options: &str) -> Driver<Acp> {
    let mut facts = facts(options);
    facts.live = true;
    facts.system = Some("Be brief.".to_owned());
    let mut driver = begun(facts);
    feed(&mut driver, LIVE);
    let prompt = &said(&feed(&mut driver, OPENED))[0];
    assert!(prompt.contains("session/prompt") && prompt.contains("Be brief."));
    driver
}

fn chunk(text: &str) -> String {
    format!(
        r#"{{"method":"session/update","params":{{"sessionId":"s1","update":{{"sessionUpdate":"agent_message_chunk","content":{{"type":"text","text":"{text}"}}}}}}}}"#
    )
}

fn ended(id: u32, reason: &str) -> String {
    format!(r#"{{"id":{id},"result":{{"stopReason":"{reason}"}}}}"#)
}

/// What the turn's result says, and whether the turn is over and the process stays.
fn answer(reaction: &Reaction) -> Option<String> {
    assert!(ends_turn(reaction) && !closes(reaction));
    events(reaction).find_map(|event| match event {
        EventBody::TurnResult(result) => Some(result.text.clone().unwrap_or_default()),
        _ => None,
    })
}

#[test]
fn three_turns_in_one_process() {
    let mut driver = living("{}");
    feed(&mut driver, &chunk("one"));
    let reaction = feed(&mut driver, &ended(2, "end_turn"));
    assert_eq!(answer(&reaction).as_deref(), Some("one"));
    for (turn, id, text) in [(2, 3, "two"), (3, 4, "three")] {
        let reaction = driver.receive(Input::Prompt(later(turn, text)));
        let lines = said(&reaction);
        assert_eq!(
            lines,
            [format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"session/prompt","params":{{"sessionId":"s1","prompt":[{{"type":"text","text":"{text}"}}]}}}}"#
            )]
        );
        // Numbers of messages begin anew in each turn.
        let reaction = feed(&mut driver, &chunk(text));
        assert!(
            events(&reaction)
                .any(|event| matches!(event, EventBody::MessageDelta(delta) if delta.item == 0))
        );
        let reaction = feed(&mut driver, &ended(id, "end_turn"));
        assert_eq!(answer(&reaction).as_deref(), Some(text));
    }
    assert!(closes(&driver.receive(Input::Close)));
    assert_eq!(driver.finish(exit(0)).actions, []);
}

#[test]
fn an_interrupted_process_takes_the_next_prompt() {
    let mut driver = living("{}");
    feed(&mut driver, &chunk("on"));
    let lines = said(&driver.receive(Input::Interrupt));
    assert!(lines[0].contains("session/cancel"));
    // This agent says that it has ended well.
    let reaction = feed(&mut driver, &ended(2, "end_turn"));
    assert_eq!(stop(&reaction), Some(StopKind::Interrupted));
    assert!(
        events(&reaction)
            .any(|event| matches!(event, EventBody::Message(it) if it.aborted && it.text == "on"))
    );
    assert_eq!(answer(&reaction).as_deref(), Some("on"));
    let lines = said(&driver.receive(Input::Prompt(later(2, "next"))));
    assert!(lines[0].contains("\"id\":3,\"method\":\"session/prompt\""));
    feed(&mut driver, &chunk("well"));
    let reaction = feed(&mut driver, &ended(3, "end_turn"));
    assert_eq!(stop(&reaction), Some(StopKind::Completed));
    assert_eq!(answer(&reaction).as_deref(), Some("well"));
}

#[test]
fn a_prompt_that_is_stopped_before_the_session_is_open_is_not_asked() {
    let mut facts = facts("{}");
    facts.live = true;
    let mut driver = begun(facts);
    feed(&mut driver, LIVE);
    let reaction = driver.receive(Input::Interrupt);
    assert_eq!(stop(&reaction), Some(StopKind::Interrupted));
    assert!(!closes(&reaction));
    assert!(said(&feed(&mut driver, OPENED)).is_empty());
    let lines = said(&driver.receive(Input::Prompt(later(2, "next"))));
    assert!(lines[0].contains("session/prompt") && lines[0].contains("next"));
}

#[test]
fn a_prompt_that_fails_leaves_the_process() {
    let mut driver = living("{}");
    let reaction = feed(
        &mut driver,
        r#"{"id":2,"error":{"code":-32603,"message":"rate limit reached"}}"#,
    );
    assert_eq!(failure(&reaction), Some(FailureKind::Quota));
    assert!(ends_turn(&reaction) && !closes(&reaction));
    let lines = said(&driver.receive(Input::Prompt(later(2, "again"))));
    assert!(lines[0].contains("session/prompt"));
}

#[test]
fn what_is_no_longer_asked_is_withdrawn() {
    let withdrawn = Action::Withdraw("permission-1-1".to_owned());
    // The call has ended,
    let mut driver = living("{}");
    feed(&mut driver, ASKED);
    let reaction = feed(
        &mut driver,
        r#"{"method":"session/update","params":{"sessionId":"s1","update":{"sessionUpdate":"tool_call_update","toolCallId":"c","status":"failed"}}}"#,
    );
    assert!(reaction.actions.contains(&withdrawn));
    // or the turn has.
    let mut driver = living("{}");
    feed(&mut driver, ASKED);
    let reaction = feed(&mut driver, &ended(2, "end_turn"));
    assert!(reaction.actions.contains(&withdrawn));
    let answer = Input::Answer(Answer {
        question: "permission-1-1".to_owned(),
        value: "y".to_owned(),
        edited_input: None,
        message: None,
        by_default: false,
    });
    assert!(said(&driver.receive(answer)).is_empty());
}

fn with_image() -> Prompt {
    let mut prompt = later(2, "what is this?");
    prompt.blocks.push(Block::Image(Attachment {
        id: "a1".to_owned(),
        name: "cat.png".to_owned(),
        media_type: "image/png".to_owned(),
        path: "/workspace/in/cat.png".to_owned(),
        size: 3,
    }));
    prompt
}

#[test]
fn an_image_is_handed_over_to_an_agent_that_takes_it() {
    let mut driver = living("{}");
    feed(&mut driver, &ended(2, "end_turn"));
    let lines = said(&driver.receive(Input::Prompt(with_image())));
    assert!(
        lines[0].contains(r#"{"type":"image","mimeType":"image/png","data":"<attachment a1>"}"#),
        "{lines:?}"
    );
}

#[test]
fn an_image_is_named_to_an_agent_that_takes_none() {
    let mut driver = Driver::<Acp>::new(facts("{}"), None);
    let mut first = with_image();
    first.turn = 1;
    driver.receive(Input::Prompt(first));
    feed(&mut driver, INITIALIZED);
    let lines = said(&feed(&mut driver, OPENED));
    assert!(
        lines[0].contains(r#"{"type":"text","text":"[image cat.png: /workspace/in/cat.png]"}"#),
        "{lines:?}"
    );
}

fn injection(mode: InjectMode) -> Input {
    Input::Inject(Injection {
        id: "i1".to_owned(),
        blocks: vec![Block::Text("rather blue".to_owned())],
        mode,
    })
}

fn injected(reaction: &Reaction) -> Option<InjectionState> {
    reaction.actions.iter().find_map(|action| match action {
        Action::Injected(outcome) => Some(outcome.state),
        _ => None,
    })
}

#[test]
fn a_prompt_is_steered_where_the_agent_offers_it() {
    let mut driver = living("{}");
    let lines = said(&driver.receive(injection(InjectMode::Steer)));
    assert_eq!(
        lines,
        [
            r#"{"jsonrpc":"2.0","id":3,"method":"_session/steering","params":{"sessionId":"s1","prompt":[{"type":"text","text":"rather blue"}]}}"#
        ]
    );
    let reaction = feed(&mut driver, r#"{"id":3,"result":{"outcome":"injected"}}"#);
    assert_eq!(injected(&reaction), Some(InjectionState::Delivered));
    let reaction = feed(&mut driver, &ended(2, "end_turn"));
    assert!(ends_turn(&reaction));
    // Nothing runs any more.
    let reaction = driver.receive(injection(InjectMode::Steer));
    assert_eq!(injected(&reaction), Some(InjectionState::Refused));
    // What the agent refuses is refused.
    let mut driver = living("{}");
    driver.receive(injection(InjectMode::Steer));
    let reaction = feed(
        &mut driver,
        r#"{"id":3,"error":{"code":-1,"message":"no"}}"#,
    );
    assert_eq!(injected(&reaction), Some(InjectionState::Refused));
    // Others take nothing.
    let mut driver = prompted("{}");
    let reaction = driver.receive(injection(InjectMode::Steer));
    assert_eq!(injected(&reaction), Some(InjectionState::Refused));
    let mut driver = living("{}");
    let reaction = driver.receive(injection(InjectMode::Queue));
    assert_eq!(injected(&reaction), Some(InjectionState::Refused));
}

#[test]
fn settings_are_made_before_the_prompt_and_once() {
    let options = r#"{"settings":[{"id":"effort","config":"level","values":["low","high"]}]}"#;
    let mut driver = living(options);
    feed(&mut driver, &ended(2, "end_turn"));
    let with = |turn: u32, value: &str| {
        let mut prompt = later(turn, "go");
        prompt.settings = vec![Setting {
            id: "effort".to_owned(),
            value: format!("{value:?}"),
        }];
        Input::Prompt(prompt)
    };
    let lines = said(&driver.receive(with(2, "high")));
    assert_eq!(
        lines,
        [
            r#"{"jsonrpc":"2.0","id":3,"method":"session/set_config_option","params":{"sessionId":"s1","configId":"level","value":"high"}}"#
        ]
    );
    let lines = said(&feed(
        &mut driver,
        r#"{"id":3,"result":{"configOptions":[]}}"#,
    ));
    assert!(lines[0].contains("\"id\":4,\"method\":\"session/prompt\""));
    feed(&mut driver, &ended(4, "end_turn"));
    let lines = said(&driver.receive(with(3, "high")));
    assert!(lines[0].contains("session/prompt"), "it has it already");
    feed(&mut driver, &ended(5, "end_turn"));
    driver.receive(with(4, "low"));
    let reaction = feed(
        &mut driver,
        r#"{"id":6,"error":{"code":-1,"message":"no"}}"#,
    );
    assert!(said(&reaction)[0].contains("session/prompt"));
    assert!(events(&reaction).any(
        |event| matches!(event, EventBody::Notice(it) if it.code.as_deref() == Some("setting_refused"))
    ));
}

#[test]
fn a_conversation_is_copied() {
    let mut driver = living("{}");
    feed(&mut driver, &ended(2, "end_turn"));
    let wish = |after_turn| {
        Input::Fork(Fork {
            id: "f1".to_owned(),
            after_turn,
        })
    };
    let lines = said(&driver.receive(wish(None)));
    assert!(lines[0].contains("\"id\":3,\"method\":\"session/fork\""));
    let reaction = feed(&mut driver, r#"{"id":3,"result":{"sessionId":"s2"}}"#);
    let token = reaction.actions.iter().find_map(|action| match action {
        Action::Forked(outcome) => outcome.token.clone().ok(),
        _ => None,
    });
    // The history of the copy is not told here.
    let history = chunk("old").replace("s1", "s2");
    assert_eq!(feed(&mut driver, &history).actions, []);
    let reaction = driver.receive(wish(Some(1)));
    assert!(matches!(&reaction.actions[..], [Action::Forked(outcome)] if outcome.token.is_err()));
    // The copy goes on with what was said; another conversation is copied first.
    let table = [
        (token.unwrap(), "session/resume", "s2"),
        ("s1".to_owned(), "session/fork", "s1"),
    ];
    for (token, method, session) in table {
        let origin = Origin::Fork(ForkOrigin {
            token,
            after_turn: None,
        });
        let mut driver = gone_on(facts("{}"), origin);
        let lines = said(&feed(&mut driver, LIVE));
        assert!(
            lines[0].contains(method) && lines[0].contains(&format!("\"sessionId\":\"{session}\"")),
            "{lines:?}"
        );
    }
}

#[test]
fn what_a_tool_puts_out_is_told_while_it_runs() {
    let mut driver = prompted("{}");
    let update = |kind: &str, status: &str, output: &str| {
        format!(
            r#"{{"method":"session/update","params":{{"sessionId":"s1","update":{{"sessionUpdate":"{kind}","toolCallId":"c","title":"make","kind":"execute","status":"{status}","rawInput":{{"command":"make"}},"content":[{{"type":"content","content":{{"type":"text","text":"{output}"}}}}]}}}}}}"#
        )
    };
    let reaction = feed(&mut driver, &update("tool_call", "in_progress", ""));
    assert!(matches!(
        events(&reaction).next(),
        Some(EventBody::ToolCall(_))
    ));
    let mut told = Vec::new();
    for output in ["a", "ab", "ab", "abc"] {
        let reaction = feed(
            &mut driver,
            &update("tool_call_update", "in_progress", output),
        );
        told.extend(events(&reaction).filter_map(|event| match event {
            EventBody::ToolUpdate(update) => update.output.clone(),
            _ => None,
        }));
    }
    assert_eq!(told, ["a", "b", "c"]);
    let reaction = feed(&mut driver, &update("tool_call_update", "completed", "abc"));
    assert!(
        events(&reaction)
            .any(|event| matches!(event, EventBody::ToolResult(it) if it.output == "abc"))
    );
}

#[test]
fn a_failure_that_is_told_as_a_message_is_a_failure() {
    let mut driver = living("{}");
    feed(&mut driver, &chunk("rate limit reached"));
    feed(
        &mut driver,
        r#"{"method":"session/update","params":{"sessionId":"s1","update":{"sessionUpdate":"session_info_update","_meta":{"codex":{"threadStatus":{"type":"systemError"}}}}}}"#,
    );
    let reaction = feed(&mut driver, &ended(2, "end_turn"));
    assert_eq!(failure(&reaction), Some(FailureKind::Quota));
}

#[test]
fn what_an_agent_does_by_itself_is_a_turn_of_its_own() {
    let mut driver = living("{}");
    feed(&mut driver, &chunk("started"));
    feed(&mut driver, &ended(2, "end_turn"));
    let reaction = feed(&mut driver, &chunk("it is done"));
    assert!(matches!(reaction.actions[0], Action::OpenTurn(_)));
    assert!(driver.state().is_none(), "a turn is open");
    let reaction = driver.tick(60_000);
    assert_eq!(stop(&reaction), Some(StopKind::Unasked));
    assert_eq!(answer(&reaction).as_deref(), Some("it is done"));
    assert!(driver.state().is_some());
}

#[test]
fn subagents_are_told_inside_of_their_call() {
    let mut driver = prompted("{}");
    let inner = chunk("inner").replace(
        "\"sessionUpdate\"",
        r#""_meta":{"claudeCode":{"parentToolUseId":"t1"}},"sessionUpdate""#,
    );
    feed(&mut driver, &inner);
    let reaction = feed(&mut driver, &chunk("outer"));
    let told: Vec<_> = reaction
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::Emit(event) => Some((&event.body, event.inside.as_deref())),
            _ => None,
        })
        .collect();
    assert!(matches!(told[0], (EventBody::Message(it), Some("t1")) if it.text == "inner"));
    assert!(matches!(told[1], (EventBody::MessageDelta(_), None)));
    let reaction = feed(&mut driver, &ended(2, "end_turn"));
    let text = events(&reaction).find_map(|event| match event {
        EventBody::TurnResult(result) => result.text.clone(),
        _ => None,
    });
    assert_eq!(text.as_deref(), Some("outer"));
}
