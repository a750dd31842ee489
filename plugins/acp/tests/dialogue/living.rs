//! A process that stays when a turn is over.

use super::*;

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
