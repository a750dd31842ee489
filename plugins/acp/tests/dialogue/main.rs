//! What is said to an agent.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod living;
mod opening;
mod turns;

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
