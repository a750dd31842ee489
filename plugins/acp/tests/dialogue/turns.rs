//! A turn, and what is asked in it.

use super::*;

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
