//! An answer of many pieces, as fast as the CLI prints them, with one subscriber: through the
//! server, against the same CLI spoken to through a pipe.

use std::time::{Duration, Instant};

use aod_e2e::Session;
use futures::StreamExt as _;

use crate::clis::{Dialogue, installed};
use crate::dialogue::{Pair, Pipe};
use crate::{median, processor_time, row};

const DELTAS: usize = 10_000;
const ROUNDS: usize = 5;

pub(crate) async fn measure() {
    // The others tell several words of their models in one piece when they come this fast.
    for (dialogue, cli) in installed().filter(|(it, _)| it.runtime == "claude") {
        compare(dialogue, &cli).await;
    }
}

async fn compare(dialogue: &Dialogue, cli: &std::path::Path) {
    let mut pair = Pair::start(dialogue, cli).await;
    let (mut through, mut bare, mut spent) = (Vec::new(), Vec::new(), Vec::new());
    let mut last = format!("{}.0", pair.last);
    for _ in 0..ROUNDS {
        bare.push(tokio::task::block_in_place(|| {
            bare_turn(&mut pair.pipe, dialogue)
        }));
        let before = processor_time(pair.server.process());
        let took;
        (took, last) = turn(&pair.session, &last).await;
        through.push(took);
        spent.push(Duration::from_secs_f64(
            processor_time(pair.server.process()) - before,
        ));
    }
    let rate = |took: Duration| DELTAS as f64 / took.as_secs_f64();
    let (through, bare) = (rate(median(through)), rate(median(bare)));
    row(
        &format!("{DELTAS} deltas of `{}`, one subscriber", dialogue.runtime),
        &format!("{through:.0} a second"),
        &format!("the CLI itself, {bare:.0} a second"),
        &format!("{:.2}", through / bare),
        "≥ 0.8",
    );
    row(
        "the same: the host's processor time",
        &format!("{:.2} s", median(spent).as_secs_f64()),
        "–",
        "",
        "≤ 0.2 s",
    );
}

fn prompt() -> String {
    format!("[[words {DELTAS}]]")
}

/// Asks the CLI itself, and returns how long it took from the first delta to the last.
fn bare_turn(pipe: &mut Pipe, dialogue: &Dialogue) -> Duration {
    let (first, last) = pipe.ask(dialogue, &prompt(), dialogue.is_delta);
    last - first
}

/// Asks, and returns how long it took from the first delta to the last, and the last event's id.
async fn turn(session: &Session, after: &str) -> (Duration, String) {
    session.prompt(&prompt()).await;
    let client = &session.client;
    let path = format!("/sessions/{}/events?after={after}", session.id);
    let request = client.request(reqwest::Method::GET, &path);
    let request = request.header("accept", "text/event-stream");
    let mut body = request.send().await.unwrap().bytes_stream();
    let (mut rest, mut id, mut deltas) = (Vec::new(), after.to_owned(), 0);
    let mut times: Option<(Instant, Instant)> = None;
    while let Some(chunk) = body.next().await {
        rest.extend_from_slice(&chunk.unwrap());
        while let Some(end) = memchr::memmem::find(&rest, b"\n\n") {
            let frame: Vec<u8> = rest.drain(..end + 2).collect();
            let frame = String::from_utf8(frame).unwrap();
            if let Some(number) = frame.lines().find_map(|line| line.strip_prefix("id: ")) {
                number.clone_into(&mut id);
            }
            if frame.contains("\"message.delta\"") {
                let now = Instant::now();
                times = Some((times.map_or(now, |(first, _)| first), now));
                deltas += 1;
            }
        }
    }
    assert!(deltas >= DELTAS, "{deltas}");
    let (first, last) = times.expect("there were deltas");
    (last - first, id)
}
