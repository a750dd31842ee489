//! Requests told apart, and limits reached.

use aod_resources::Timestamp;
use aod_resources::event::{
    EventId, Level, Message, MessageDelta, MessageDiscarded, Notice, ToolCall, ToolResult,
    UsageDifference,
};
use serde_json::json;

use super::*;

fn event(body: EventBody) -> Event {
    Event {
        id: EventId { entry: 1, index: 0 },
        turn: Some(1),
        ordinal: 1,
        inside: None,
        at: Timestamp::now(),
        truncated: Vec::new(),
        body,
    }
}

fn body(name: &str) -> EventBody {
    let (kind, id) = name.split_once(' ').unwrap_or((name, ""));
    let call = |id: &str| json!({"call_id": id, "name": "x", "kind": "other", "input": {}, "locations": []});
    match kind {
        "delta" => EventBody::MessageDelta(MessageDelta {
            message: 1,
            text: "x".to_owned(),
        }),
        "text" => EventBody::Message(
            serde_json::from_value::<Message>(json!({"role": "assistant", "text": "x"})).unwrap(),
        ),
        "call" => EventBody::ToolCall(serde_json::from_value::<ToolCall>(call(id)).unwrap()),
        "result" => EventBody::ToolResult(
            serde_json::from_value::<ToolResult>(
                json!({"call_id": id, "output": "", "is_error": false}),
            )
            .unwrap(),
        ),
        "tokens" => EventBody::Usage(UsageDifference {
            model: (!id.is_empty()).then(|| id.to_owned()),
            input_tokens: 1,
            cache_write_tokens: 0,
            output_tokens: 1,
            reasoning_tokens: 0,
            cached_tokens: 0,
            cost_usd: None,
        }),
        "discard" => EventBody::MessageDiscarded(MessageDiscarded {
            message: 1,
            reason: "x".to_owned(),
        }),
        "retry" => EventBody::Notice(Notice {
            level: Level::Warning,
            text: "x".to_owned(),
            code: Some("retry".to_owned()),
        }),
        other => panic!("{other}"),
    }
}

fn rounds(told: &[&str]) -> Rounds {
    let mut rounds = Rounds::default();
    for name in told {
        rounds.take(&event(body(name)), true);
    }
    rounds
}

#[test]
fn requests_are_told_apart_by_what_surrounds_them() {
    for (told, count, repeats, over) in [
        (&[][..], 0, 0, None),
        (&["delta", "text"], 1, 0, Some(0)),
        (&["delta", "text", "tokens"], 1, 0, None),
        // Two calls at once.
        (&["call a", "call b", "result a"], 1, 0, Some(0)),
        (&["call a", "call b", "result a", "result b"], 1, 0, Some(1)),
        (&["call a", "result a", "text"], 2, 0, Some(1)),
        // Tokens are told for each request, before or behind the answers to its calls.
        (
            &["text", "tokens", "call a", "result a", "text", "tokens"],
            2,
            0,
            None,
        ),
        (
            &["text", "call a", "result a", "tokens", "call b", "result b"],
            2,
            0,
            Some(2),
        ),
        // Two models were used for one.
        (&["text", "tokens m", "tokens n"], 1, 0, None),
        // Requests that fail, in the words of several CLIs.
        (&["retry", "retry", "retry"], 3, 3, Some(3)),
        (
            &["delta", "discard", "retry", "delta", "discard"],
            2,
            2,
            Some(2),
        ),
        (&["delta", "retry", "discard", "delta"], 2, 1, Some(1)),
        (
            &["delta", "tokens", "retry", "delta", "tokens", "retry"],
            2,
            2,
            Some(2),
        ),
        (&["tokens", "retry", "tokens"], 1, 1, Some(1)),
        (&["tokens", "tokens", "tokens"], 3, 3, Some(2)),
        // One that gets on.
        (&["retry", "retry", "text"], 3, 0, Some(2)),
    ] {
        let rounds = rounds(told);
        assert_eq!(
            (rounds.count, rounds.repeats, rounds.over()),
            (count, repeats, over),
            "{told:?}"
        );
    }
}

proptest::proptest! {
    #[test]
    fn nothing_that_is_told_counts_for_more_than_one_request(
        told in proptest::collection::vec(
            proptest::sample::select(vec![
                "delta", "text", "call a", "call b", "result a", "result b", "tokens m",
                "tokens n", "discard", "retry",
            ]),
            0..40,
        ),
    ) {
        let mut rounds = Rounds::default();
        for name in told {
            let before = rounds.count;
            rounds.take(&event(body(name)), true);
            proptest::prop_assert!(rounds.count - before <= 1);
            proptest::prop_assert!(rounds.repeats <= rounds.count);
            proptest::prop_assert!(rounds.over().is_none_or(|over| over <= rounds.count));
        }
    }
}

#[test]
fn a_turn_that_is_done_reaches_no_limit() {
    let limits = TurnLimits {
        asked: Limits {
            max_output_tokens: Some(5),
            ..Limits::default()
        },
        ..TurnLimits::default()
    };
    let usage = Usage {
        output_tokens: 7,
        ..Usage::default()
    };
    let reached = |told: &[&str]| rounds(told).reached(&limits, &usage, false);
    assert_eq!(reached(&["text", "tokens"]), None);
    assert!(reached(&["call a", "tokens", "result a"]).is_some());
    assert!(reached(&["text", "tokens", "text"]).is_some());
}

#[test]
fn what_was_refused_another_request_has_reached_its_limit() {
    let mut rounds = rounds(&["retry", "retry", "retry"]);
    let limits = TurnLimits {
        asked: Limits {
            max_rounds: Some(4),
            ..Limits::default()
        },
        ..TurnLimits::default()
    };
    let reached = |rounds: &Rounds| {
        let limit = rounds.reached(&limits, &Usage::default(), false);
        limit.map(|limit| limit.to_string())
    };
    assert_eq!(reached(&rounds), None);
    rounds.refuse(3);
    let text = "max_rounds: 3 requests to the model of at most 3";
    let met = rounds.refused().map(|limit| limit.to_string());
    assert_eq!(met.as_deref(), Some(text));
    // It may end by itself, and say that it has failed.
    rounds.take(&event(body("retry")), true);
    assert_eq!(reached(&rounds), None);
    rounds.refuse(3);
    rounds.refuse(3);
    assert_eq!(reached(&rounds).as_deref(), Some(text));
}

#[test]
fn what_comes_to_nothing_again_and_again_has_an_end() {
    let reached = |told: &[&str], asked: Option<u32>, holds_rounds| {
        let limits = TurnLimits {
            asked: Limits {
                max_rounds: asked,
                ..Limits::default()
            },
            ..TurnLimits::default()
        };
        let limit = rounds(told).reached(&limits, &Usage::default(), holds_rounds);
        limit.map(|limit| limit.to_string())
    };
    assert_eq!(reached(&["retry"; 199], None, false), None);
    assert!(reached(&["retry"; 200], None, false).is_some());
    assert!(reached(&["retry"; 3], Some(3), true).is_some());
    let works = ["call a", "result a", "call b", "result b", "call c"];
    assert!(reached(&works, Some(2), false).is_some());
    assert_eq!(reached(&works, Some(2), true), None);
    assert_eq!(reached(&works, None, false), None);
}

/// A CLI tells of a request for a title that is made again and again as of any other.
#[test]
fn where_a_gateway_counts_what_is_told_ends_no_turn_before_it() {
    let reached = |told: &[&str], gateways_count| {
        let limits = TurnLimits {
            asked: Limits {
                max_rounds: Some(2),
                ..Limits::default()
            },
            gateways_count,
            ..TurnLimits::default()
        };
        let mut rounds = rounds(told);
        let before = rounds.reached(&limits, &Usage::default(), false);
        (0..MOST_REFUSALS).for_each(|_| rounds.refuse(2));
        let after = rounds.reached(&limits, &Usage::default(), false);
        (before.is_some(), after.is_some())
    };
    let title_fails = ["retry", "call a", "result a"];
    assert_eq!(reached(&title_fails, false), (true, true));
    assert_eq!(reached(&title_fails, true), (false, true));
    assert_eq!(reached(&["retry"; 3], false), (true, true));
    assert_eq!(reached(&["retry"; 3], true), (false, true));
    // It has an end all the same.
    assert_eq!(reached(&["retry"; 200], true), (true, true));
}

#[test]
fn whether_gateways_count_is_told_by_where_requests_go() {
    let begin = |endpoints: serde_json::Value| {
        let begin = json!({"limits": {"asked": {"max_rounds": 2}}, "endpoints": endpoints});
        let limits = super::super::limits_of(begin.to_string().as_bytes());
        assert_eq!(limits.asked.max_rounds, Some(2));
        limits.gateways_count
    };
    let gateway = json!({"provider": "a", "url": "http://127.0.0.1:8081/a", "is_gateway": true});
    let other = json!({"provider": "b", "url": "https://example.com"});
    assert!(begin(json!([gateway])));
    assert!(!begin(json!([gateway, other])));
    assert!(!begin(json!([other])));
    assert!(!begin(json!([])));
}
