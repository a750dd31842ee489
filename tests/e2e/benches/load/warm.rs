//! A follow-up prompt to a process that stays, until the first word of its answer: through the
//! server, against the same CLI spoken to through a pipe. A runtime whose CLI is not installed is
//! left out.

use std::path::Path;
use std::time::{Duration, Instant};

use aod_e2e::Session;

use crate::clis::{Dialogue, installed};
use crate::dialogue::{Pair, Pipe};
use crate::{median, milliseconds, row};

const ROUNDS: usize = 20;
const PAUSE: Duration = Duration::from_millis(250);
const PROMPT: &str = "[[words 3]]";
/// What the first piece of the answer says, and nothing before it.
const FIRST: &str = "word1 ";

pub(crate) async fn measure() {
    for (dialogue, cli) in installed() {
        compare(dialogue, &cli).await;
    }
}

async fn compare(dialogue: &Dialogue, cli: &Path) {
    let mut pair = Pair::start(dialogue, cli).await;
    tokio::task::block_in_place(|| bare_turn(&mut pair.pipe, dialogue));
    let (mut through, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // As a person would: what follows the end of a turn is not what is measured.
        tokio::time::sleep(PAUSE).await;
        bare.push(tokio::task::block_in_place(|| {
            bare_turn(&mut pair.pipe, dialogue)
        }));
        let took;
        (took, pair.last) = turn(&pair.session, pair.last).await;
        through.push(took);
    }
    assert_eq!(pair.server.supervisors().len(), 1, "it was one process");
    let (through, bare) = (median(through), median(bare));
    row(
        &format!(
            "a follow-up prompt of `{}` to the first word of its answer",
            dialogue.runtime
        ),
        &milliseconds(through),
        &format!("the CLI itself, spoken to, {}", milliseconds(bare)),
        &format!("{:.2}×", through.as_secs_f64() / bare.as_secs_f64()),
        "≤ 1.3×",
    );
}

/// Asks, and returns how long it took to the first word of the answer, and the last event's id.
async fn turn(session: &Session, last: u64) -> (Duration, u64) {
    let begun = Instant::now();
    session.prompt(PROMPT).await;
    let mut stream = session.client.stream_after(&session.id, last).await;
    let says = |data: &str| data.contains(FIRST);
    stream
        .until(|event| event.data["data"].as_str().is_some_and(says))
        .await;
    let took = begun.elapsed();
    let rest = stream.rest().await;
    (took, rest.last().and_then(|event| event.id()).unwrap())
}

/// Asks the CLI itself, and returns how long it took to the first word of the answer.
fn bare_turn(pipe: &mut Pipe, dialogue: &Dialogue) -> Duration {
    let begun = Instant::now();
    let (first, _) = pipe.ask(dialogue, PROMPT, |line| line.contains(FIRST));
    first - begun
}
