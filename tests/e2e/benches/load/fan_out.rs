//! One session with many live subscribers.

use std::time::Instant;

use aod_e2e::{DEADLINE, Gate, Session, Stream, check_ids};

use crate::{processor_time, row, server};

/// What the session writes while all listen.
const BYTES: usize = 1_000_000;

pub(crate) async fn measure(subscribers: usize) {
    let server = server().await;
    let gate = Gate::new("gate");
    let prompt = format!("{}\nbytes {BYTES}", gate.step());
    let session = server.client().demo_session(&prompt).await;
    gate.reached(&server, &session).await;
    let mut streams = Vec::new();
    for _ in 0..subscribers {
        let mut stream = session.stream().await;
        let first = stream.next().await.unwrap();
        assert_eq!(first.kind(), "start");
        streams.push(tokio::spawn(read(stream, first)));
    }
    let before = processor_time(server.process());
    let begun = Instant::now();
    gate.open(&server, &session);
    let mut events = 0;
    let whole = whole(&session).await;
    for stream in streams {
        let seen = stream.await.unwrap();
        assert_eq!(seen, whole, "a subscriber saw something else");
        events += seen;
    }
    let took = begun.elapsed();
    let spent = processor_time(server.process()) - before;
    row(
        &format!("{subscribers} live subscribers of one session"),
        &format!(
            "{events} events in {:.1} s, all to all and in order",
            took.as_secs_f64()
        ),
        "–",
        &format!(
            "{:.1} µs of the host's for each event",
            spent * 1e6 / events as f64
        ),
        "one wake-up and one write a batch",
    );
}

/// Reads to the end; returns how many numbered events there were.
async fn read(mut stream: Stream, first: aod_e2e::Event) -> usize {
    let mut events = vec![first];
    events.extend(stream.rest_within(DEADLINE * 5).await);
    assert!(events.last().unwrap().is_terminal());
    usize::try_from(check_ids(&events, 0)).unwrap()
}

async fn whole(session: &Session) -> usize {
    let mut stream = session.stream().await;
    let first = stream.next().await.unwrap();
    read(stream, first).await
}
