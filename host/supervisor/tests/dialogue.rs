//! What the host asks for in a dialogue is done once, and recorded.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::time::{Duration, Instant};

use aod_log::Kind;
use aod_supervisor::{Answer, ControlError, Effect, Fragment, Note, Reason, Request, Stdin};
use common::{Case, Entry, effect, text, write};

fn cat() -> Case {
    let mut case = Case::sh("while read -r line; do echo got $line; done; echo end");
    case.spec.stdin = Stdin::Open(vec![Fragment::Text("one\n".to_owned())]);
    case
}

fn notes(entries: &[Entry]) -> Vec<Note> {
    let notes = entries.iter().filter(|entry| entry.kind == Kind::Note);
    notes
        .map(|entry| serde_json::from_slice(&entry.payload).unwrap())
        .collect()
}

fn reason(refused: Result<(), ControlError>) -> String {
    match refused {
        Err(ControlError::Refused { reason }) => reason,
        other => panic!("it was not refused: {other:?}"),
    }
}

#[test]
fn an_effect_is_carried_out_once_and_in_its_turn() {
    let case = cat();
    case.start();
    case.wait_for_line("got one");
    let mut control = case.control();
    assert!(reason(control.send(&write(1, "too early\n"))).contains("effect 0"));
    for (seq, text) in [(0, "two\n"), (0, "two\n"), (1, "three\n"), (0, "two\n")] {
        control.send(&write(seq, text)).unwrap();
    }
    // A host that starts anew asks for everything again, over a connection of its own.
    for (seq, text) in [(0, "two\n"), (1, "three\n"), (2, "four\n")] {
        case.send(write(seq, text));
    }
    control.send(&effect(3, Effect::CloseStdin)).unwrap();
    let (exited, entries) = case.end();
    assert_eq!((exited.code, exited.reason), (Some(0), Reason::Exit));
    assert_eq!(
        text(&entries, Kind::Stdout),
        "got one\ngot two\ngot three\ngot four\nend\n"
    );
    assert_eq!(text(&entries, Kind::Stdin), "two\nthree\nfour\n");
    assert_eq!(notes(&entries), [Note::CloseStdin]);
}

#[test]
fn secrets_are_filled_in_for_the_cli_alone() {
    let mut case = Case::sh("cat >received").secret("KEY", "sk-01\"234\\56789");
    case.spec.stdin = Stdin::Open(Vec::new());
    case.start();
    let mut control = case.control();
    let line = vec![
        Fragment::Text("{\"raw\": ".to_owned()),
        Fragment::Secret("KEY".to_owned()),
        Fragment::Text(", \"json\": \"".to_owned()),
        Fragment::JsonSecret("KEY".to_owned()),
        Fragment::Text("\", sk-01\"234\\56789}\n".to_owned()),
    ];
    control.send(&effect(0, Effect::Write(line))).unwrap();
    let unknown = vec![Fragment::Secret("NO".to_owned())];
    let refused = control.send(&effect(1, Effect::Write(unknown.clone())));
    assert!(reason(refused).contains("\"NO\""));
    // It is not tried again, and what follows is done.
    control.send(&effect(1, Effect::Write(unknown))).unwrap();
    control.send(&write(2, "after\n")).unwrap();
    control.send(&effect(3, Effect::CloseStdin)).unwrap();
    let (_, entries) = case.end();
    assert_eq!(
        std::fs::read_to_string(case.path("received")).unwrap(),
        "{\"raw\": sk-01\"234\\56789, \"json\": \"sk-01\\\"234\\\\56789\", \
         sk-01\"234\\56789}\nafter\n"
    );
    assert_eq!(
        text(&entries, Kind::Stdin),
        "{\"raw\": [redacted:KEY], \"json\": \"[redacted:KEY]\", [redacted:KEY]}\nafter\n"
    );
    let notes = notes(&entries);
    assert!(
        matches!(&notes[..], [Note::Refused { reason }, Note::CloseStdin] if reason.contains("NO")),
        "{notes:?}"
    );
}

#[test]
fn the_first_answer_is_the_only_one() {
    let case = cat();
    case.start();
    let mut control = case.control();
    let answer = |question: &str, value: &str| {
        Request::Answer(Answer {
            question: question.to_owned(),
            value: value.to_owned(),
            by_default: false,
            is_error: false,
        })
    };
    control.send(&answer("a", "yes")).unwrap();
    assert!(reason(control.send(&answer("a", "no"))).contains("has been answered"));
    control.send(&answer("b", "no")).unwrap();
    control.send(&effect(0, Effect::Close)).unwrap();
    let (_, entries) = case.end();
    let answers: Vec<Answer> = entries
        .iter()
        .filter(|entry| entry.kind == Kind::Answer)
        .map(|entry| serde_json::from_slice(&entry.payload).unwrap())
        .collect();
    let answers: Vec<_> = answers
        .iter()
        .map(|answer| (&*answer.question, &*answer.value))
        .collect();
    assert_eq!(answers, [("a", "yes"), ("b", "no")]);
    assert_eq!(notes(&entries), [Note::Close]);
}

#[test]
fn a_tick_is_recorded_once_and_not_after_output_that_nobody_read() {
    let case = cat();
    case.start();
    case.wait_for_line("got one");
    let mut control = case.control();
    let tick = |seq, after| Request::Tick { seq, after };
    assert!(reason(control.send(&tick(0, 0))).contains("meanwhile"));
    control.send(&tick(0, 1)).unwrap();
    control.send(&tick(0, 1)).unwrap();
    control.send(&tick(1, 1)).unwrap();
    control.send(&effect(0, Effect::CloseStdin)).unwrap();
    let (_, entries) = case.end();
    let ticks = entries.iter().filter(|entry| entry.kind == Kind::Tick);
    assert_eq!(ticks.count(), 2);
}

#[test]
fn who_is_asked_by_dialogue_gets_no_signal_and_is_killed_after_the_grace() {
    let script = "trap 'echo signalled; exit 5' INT; echo ready; \
                  while read -r line; do echo got $line; done; exit 3";
    let mut case = Case::sh(script);
    case.spec.stdin = Stdin::Open(Vec::new());
    case.spec.interrupt.by_dialogue = true;
    case.spec.clock.grace_ms = 60_000;
    case.start();
    case.wait_for_line("ready");
    case.send(Request::Interrupt);
    case.send(Request::Interrupt);
    case.send(write(0, "stop\n"));
    case.send(effect(1, Effect::Close));
    let (exited, entries) = case.end();
    assert_eq!((exited.code, exited.reason), (Some(3), Reason::Interrupted));
    assert_eq!(text(&entries, Kind::Stdout), "ready\ngot stop\n");
    let interrupts = entries.iter().filter(|entry| entry.kind == Kind::Interrupt);
    assert_eq!(interrupts.count(), 1);

    let mut case = Case::sh(script);
    case.spec.stdin = Stdin::Open(Vec::new());
    case.spec.interrupt.by_dialogue = true;
    case.spec.clock.grace_ms = 100;
    case.start();
    case.wait_for_line("ready");
    let begun = Instant::now();
    case.send(Request::Interrupt);
    let (exited, _) = case.end();
    assert_eq!(
        (exited.signal, exited.reason),
        (Some(9), Reason::Interrupted)
    );
    assert!(begun.elapsed() >= Duration::from_millis(100));
}
