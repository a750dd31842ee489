//! Sessions that do what sessions are for, and check all that they are told.

use std::time::Duration;

use aod_e2e::{Client, Event, Session, check_ids, output};
use serde_json::json;
use tokio::time::Instant;

/// Turns of each session.
const TURNS: usize = 4;
/// Lines of each turn.
const LINES: usize = 60;

/// A client's wait, and when it began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    pub(crate) begun: Instant,
    /// Until the server had said that it takes the request.
    pub(crate) accepted: Duration,
    pub(crate) took: Duration,
}

/// How long clients waited from a request to the first output.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    pub(crate) first: Vec<Wait>,
    pub(crate) further: Vec<Wait>,
    pub(crate) lines: usize,
}

impl Latencies {
    pub(crate) fn add(&mut self, other: Self) {
        self.first.extend(other.first);
        self.further.extend(other.further);
        self.lines += other.lines;
    }
}

/// Plays one session after the other until the time is over, and at least one.
pub(crate) async fn work(client: Client, agent: String, end: Instant) -> Latencies {
    let mut seen = Latencies::default();
    loop {
        play(&client, &agent, &mut seen).await;
        if Instant::now() >= end {
            return seen;
        }
    }
}

fn script(turn: usize) -> String {
    format!("i=0; while [ $i -lt {LINES} ]; do echo turn {turn} line $i; i=$((i+1)); done")
}

fn expected(turn: usize) -> String {
    (0..LINES)
        .map(|line| format!("turn {turn} line {line}\n"))
        .collect()
}

async fn play(client: &Client, agent: &str, seen: &mut Latencies) {
    let begun = Instant::now();
    let body = json!({"agent_id": agent, "prompt": script(0)});
    let session = client.create_session(&body).await;
    let asked = (begun, begun.elapsed());
    let mut last = follow(&session, 0, 0, asked, &mut seen.first).await;
    for turn in 1..TURNS {
        let begun = Instant::now();
        session.prompt(&script(turn)).await;
        let asked = (begun, begun.elapsed());
        last = follow(&session, turn, last, asked, &mut seen.further).await;
    }
    seen.lines += TURNS * LINES;
    // The whole history once more, as a late reader has it.
    let whole = session.ended().await.completed();
    let text = output(&whole.events, "stdout");
    for turn in 0..TURNS {
        assert_eq!(text.matches(&expected(turn)).count(), 1, "{text}");
    }
    client
        .delete(&format!("/sessions/{}/delete", session.id))
        .await
        .expect(200);
}

/// Follows a turn from the event after `last`: every line once, and one end. Returns the last id.
async fn follow(
    session: &Session,
    turn: usize,
    last: u64,
    (begun, accepted): (Instant, Duration),
    waited: &mut Vec<Wait>,
) -> u64 {
    let mut stream = session.client.stream(&session.id, Some(last)).await;
    let is_output = |event: &Event| event.kind() == "output";
    let mut events = stream.until(is_output).await;
    let took = begun.elapsed();
    let wait = Wait {
        begun,
        accepted,
        took,
    };
    waited.push(wait);
    events.extend(stream.rest().await);
    let last = check_ids(&events, last);
    let text = output(&events, "stdout");
    assert!(text.starts_with(&expected(turn)), "{events:#?}");
    assert_eq!(text.matches("turn ").count(), LINES, "{events:#?}");
    let ends = events.iter().filter(|event| event.is_terminal()).count();
    assert_eq!(ends, 1, "{events:#?}");
    assert_eq!(events.last().unwrap().data["code"], 0, "{events:#?}");
    last
}
