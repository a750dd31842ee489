//! Dialogues, with the real adapter for agents that speak a protocol over stdio.

use super::*;
use crate::turn::answers::UserAnswer;
use crate::turn::fold::{QuestionState, TimerAction};

fn adapter() -> Arc<Adapter> {
    static ADAPTER: OnceLock<Arc<Adapter>> = OnceLock::new();
    let adapter = ADAPTER.get_or_init(|| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/acp.wasm");
        let settings = Settings {
            options: OPTIONS.to_owned(),
            limits: Limits {
                // The machine may be busy.
                call_deadline: aod_runtime::MAX_CALL_DEADLINE,
                ..Limits::default()
            },
            ..Settings::default()
        };
        let adapter = Adapter::from_file(&Engine::new().unwrap(), "acp", path.as_ref(), settings);
        Arc::new(adapter.unwrap_or_else(|error| panic!("cargo xtask plugins first: {error}")))
    });
    adapter.clone()
}

const OPTIONS: &str = r#"{"argv":["agent"],"providers":[{"id":"demo"}],"permission_deadline":60,"replay_quiet_ms":500}"#;

fn fold(resume: bool) -> Fold {
    let mut input = input(adapter());
    input.context.options = OPTIONS.to_owned();
    if resume {
        input.context.origin = Origin::Resume("s".to_owned());
    }
    input.start.is_dialogue = true;
    Fold::new(input)
}

const INITIALIZED: &str =
    "{\"id\":0,\"result\":{\"protocolVersion\":1,\"agentCapabilities\":{\"loadSession\":true}}}\n";
const OPENED: &str = "{\"id\":1,\"result\":{\"sessionId\":\"s\"}}\n";
const PROMPTED: &str = "{\"id\":2,\"result\":{\"stopReason\":\"end_turn\"}}\n";

fn asked(id: u32) -> String {
    format!(
        "{{\"id\":{id},\"method\":\"session/request_permission\",\"params\":{{\"toolCall\":{{\
         \"toolCallId\":\"c{id}\",\"title\":\"t\"}},\"options\":[{{\"optionId\":\"y\",\
         \"kind\":\"allow_once\"}},{{\"optionId\":\"n\",\"kind\":\"reject_once\"}}]}}}}\n"
    )
}

/// The effects for the supervisor, as they are numbered.
fn outside(advance: Advance) -> Vec<(u64, aod_supervisor::Effect)> {
    let each = advance
        .effects
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Outside(seq, effect) => Some((seq, effect)),
            Effect::Remember(_) | Effect::Asked(..) | Effect::Settled(_) => None,
        });
    each.collect()
}

fn choice(value: &str) -> UserAnswer {
    UserAnswer::Choice(value.to_owned())
}

impl Bench {
    fn say(&mut self, line: &str) {
        self.output(OutputSource::Stdout, line);
    }

    fn answer(&mut self, question: &str, value: &str) {
        let answer = aod_supervisor::Answer {
            question: question.to_owned(),
            value: value.to_owned(),
            by_default: false,
            is_error: false,
        };
        let json = serde_json::to_string(&answer).unwrap();
        self.append(Kind::Answer, Flags::NONE, &json);
    }
}

#[test]
fn the_same_records_give_the_same_effects_however_often_they_are_read() {
    let mut bench = Bench::new();
    let mut reader = bench.reader();
    let mut events = bench.events("steps");
    let mut stepwise = fold(false);
    let mut effects = Vec::new();
    let mut step = |bench: &Bench, stepwise: &mut Fold| {
        let _ = bench;
        effects.extend(outside(
            stepwise
                .advance(&mut reader, &mut events, usize::MAX)
                .unwrap(),
        ));
    };
    bench.say(INITIALIZED);
    step(&bench, &mut stepwise);
    bench.append(Kind::Stdin, Flags::NONE, "opens a session\n");
    bench.say(OPENED);
    step(&bench, &mut stepwise);
    bench.append(Kind::Stdin, Flags::NONE, "prompts\n");
    bench.say(&asked(7));
    step(&bench, &mut stepwise);
    assert_eq!(stepwise.done(), 2);
    assert_eq!(
        stepwise.question_state("permission-1-1", &choice("y")),
        QuestionState::Open
    );
    assert_eq!(
        stepwise.question_state("permission-1-2", &choice("y")),
        QuestionState::Unknown
    );
    let choices = vec!["y".to_owned(), "n".to_owned()];
    assert_eq!(
        stepwise.question_state("permission-1-1", &choice("maybe")),
        QuestionState::NoChoice(choices)
    );
    // The deadline counts from the record that asked.
    let (due, wanted) = stepwise.next_due().unwrap();
    assert_eq!(due, after(bench.time, 60_000));
    assert!(matches!(wanted, TimerAction::Default { value, .. } if value == "n"));
    // A line that is written while it waits, and a second question.
    bench.say("{\"half\":");
    bench.answer("permission-1-1", "y");
    bench.answer("permission-1-1", "n");
    bench.say("0}\n");
    bench.say(&asked(8));
    step(&bench, &mut stepwise);
    assert_eq!(
        stepwise.question_state("permission-1-1", &choice("y")),
        QuestionState::Answered
    );
    bench.answer("permission-1-2", "n");
    bench.say(PROMPTED);
    step(&bench, &mut stepwise);
    bench.end();
    step(&bench, &mut stepwise);
    stepwise.finish(&exited(), &mut events).unwrap();

    let mut events = bench.events("at-once");
    let mut whole = fold(false);
    let at_once = outside(
        whole
            .advance(&mut bench.reader(), &mut events, usize::MAX)
            .unwrap(),
    );
    whole.finish(&exited(), &mut events).unwrap();
    assert_eq!(at_once, effects);
    let numbers: Vec<u64> = effects.iter().map(|(seq, _)| *seq).collect();
    // A session, the prompt, two answers, and the turn's end.
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
    assert_eq!(effects[4].1, aod_supervisor::Effect::Close);
    assert_eq!(bench.stored("steps"), bench.stored("at-once"));
    let told = parsed(&bench.stored("steps"));
    let answers: Vec<_> = told
        .iter()
        .filter(|event| event["type"] == "permission.answer")
        .map(|event| event["answer"].as_str().unwrap())
        .collect();
    assert_eq!(answers, ["y", "n"]);
}

fn after(since: i64, milliseconds: i64) -> Due {
    Due {
        at: since + milliseconds * 1000,
        since,
    }
}

#[test]
fn a_stopped_turn_takes_no_answer() {
    let mut bench = Bench::new();
    for line in [INITIALIZED, OPENED, &asked(7)] {
        bench.say(line);
    }
    bench.append(Kind::Interrupt, Flags::NONE, "{}");
    bench.answer("permission-1-1", "y");
    let mut fold = fold(false);
    let mut events = bench.events("events");
    let effects = outside(
        fold.advance(&mut bench.reader(), &mut events, usize::MAX)
            .unwrap(),
    );
    // A session, the prompt, "cancelled" to the question, and the wish to stop.
    assert_eq!(effects.len(), 4);
    assert_eq!(
        fold.question_state("permission-1-1", &choice("y")),
        QuestionState::Dropped
    );
    assert_eq!(fold.next_due(), None);
}

#[test]
fn a_tick_comes_where_it_was_wanted_and_on_record() {
    let mut bench = Bench::new();
    let mut reader = bench.reader();
    let mut events = bench.events("events");
    let mut fold = fold(true);
    bench.say(INITIALIZED);
    bench.say("{\"id\":1,\"result\":{}}\n");
    let mut advance =
        |fold: &mut Fold| outside(fold.advance(&mut reader, &mut events, usize::MAX).unwrap());
    assert_eq!(advance(&mut fold).len(), 1, "the session is loaded");
    let first = bench.time;
    let due = after(first, 500);
    assert_eq!(fold.next_due(), Some((due, TimerAction::Tick(0))));
    // What the agent says meanwhile puts it off.
    bench.say("{\"method\":\"session/update\",\"params\":{\"update\":{}}}\n");
    assert_eq!(advance(&mut fold).len(), 0);
    let due = after(bench.time, 500);
    assert_eq!(fold.next_due(), Some((due, TimerAction::Tick(0))));
    bench.append(Kind::Tick, Flags::NONE, "{}");
    assert_eq!(advance(&mut fold).len(), 1, "the prompt is sent");
    assert_eq!(fold.next_due(), None);
}

#[test]
fn what_could_not_be_written_is_told() {
    let mut bench = Bench::new();
    bench.say(INITIALIZED);
    let note = serde_json::to_string(&aod_supervisor::Note::Refused {
        reason: "stdin is closed".to_owned(),
    });
    bench.append(Kind::Note, Flags::NONE, &note.unwrap());
    let mut fold = fold(false);
    fold.advance(&mut bench.reader(), &mut bench.events("events"), usize::MAX)
        .unwrap();
    assert_eq!(fold.done(), 1);
    let told = parsed(&bench.stored("events"));
    assert_eq!(kinds(&told), ["turn.started", "notice"]);
    assert!(
        told[1]["text"]
            .as_str()
            .unwrap()
            .contains("stdin is closed")
    );
}
