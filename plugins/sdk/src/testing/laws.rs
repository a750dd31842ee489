use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};

use super::{Recording, replay};
use crate::{Adapter, Context, EventBody, Prompt};

/// Checks what must hold for every adapter, by its recordings and by damaged copies of them: what
/// comes out does not depend on how lines were batched, no line is lost, there is at most one
/// result, and nothing panics.
///
/// # Panics
///
/// A law is broken.
pub fn laws<A: Adapter>(context: &Context, prompt: &Prompt, recordings: &[Recording]) {
    assert!(!recordings.is_empty(), "no recordings");
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::default()
    });
    let case = (
        select(recordings.to_vec()),
        vec(damage(), 0..4),
        vec(1..20_usize, 0..50),
    );
    runner
        .run(&case, |(mut recording, damages, sizes)| {
            for (damage, place) in damages {
                recording.stdout = damage.apply(&recording.stdout, &place);
            }
            let one_by_one = replay::<A>(context.clone(), prompt.clone(), &recording, []);
            let batched = replay::<A>(context.clone(), prompt.clone(), &recording, sizes);
            prop_assert_eq!(&one_by_one, &batched);
            let results = one_by_one
                .events()
                .filter(|event| matches!(event, EventBody::TurnResult(_)))
                .count();
            prop_assert!(results <= 1, "{} results", results);
            for event in one_by_one.events() {
                let json = match event {
                    EventBody::ToolCall(call) => &call.input,
                    EventBody::Other(other) => &other.json,
                    _ => continue,
                };
                prop_assert!(
                    serde_json::from_str::<serde::de::IgnoredAny>(json).is_ok(),
                    "this is no JSON: {}",
                    json
                );
            }
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

/// What can happen to output.
#[derive(Debug, Clone)]
enum Damage {
    Cut,
    Insert(String),
    Repeat,
    Drop,
}

fn damage() -> impl Strategy<Value = (Damage, Index)> {
    let text = prop_oneof![
        ".{0,20}",
        "[\\[\\]{}\":,\\\\\n0-9a-z]{0,20}",
        (1..5_000_usize).prop_map(|depth| "[".repeat(depth)),
        (1..2_000_usize).prop_map(|depth| "{\"a\":".repeat(depth)),
        select(ODD_LINES).prop_map(|line| format!("\n{line}\n")),
    ];
    let damage = prop_oneof![
        Just(Damage::Cut),
        text.prop_map(Damage::Insert),
        Just(Damage::Repeat),
        Just(Damage::Drop),
    ];
    (damage, any::<Index>())
}

const ODD_LINES: &[&str] = &[
    "null",
    "[]",
    "{}",
    "\"text\"",
    "{\"type\":null}",
    "{\"type\":7}",
    "{\"type\":\"\"}",
    "{\"type\":\"result\"}",
    "{\"type\":\"error\"}",
    "\u{feff}{\"type\":\"result\"}",
    "\r",
    "\u{2028}",
];

impl Damage {
    fn apply(&self, output: &str, place: &Index) -> String {
        if output.is_empty() {
            return match self {
                Self::Insert(text) => text.clone(),
                _ => String::new(),
            };
        }
        let starts: Vec<usize> = output.char_indices().map(|(at, _)| at).collect();
        let (before, after) = output.split_at(*place.get(&starts));
        let (line, rest) = after.split_once('\n').unwrap_or((after, ""));
        match self {
            Self::Cut => before.to_owned(),
            Self::Insert(text) => format!("{before}{text}{after}"),
            Self::Repeat => format!("{before}{line}\n{after}"),
            Self::Drop => format!("{before}{rest}"),
        }
    }
}
