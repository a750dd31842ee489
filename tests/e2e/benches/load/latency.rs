//! How long a line takes from the agent to many subscribers, when lines come at the pace of a
//! model's words.

use std::time::{Duration, SystemTime};

use aod_e2e::{Gate, Runtimes, Server, ServerOptions, Session};
use futures::StreamExt as _;

use crate::{milliseconds, row};

const LINES: usize = 250;

pub(crate) async fn measure(subscribers: usize) {
    let server = Server::start(ServerOptions::new(Runtimes::demo().with_raw())).await;
    let gate = Gate::new("gate");
    let script = format!(
        "{}\nfor line in $(seq {LINES}); do date +at:%s%N; sleep 0.02; done",
        gate.command()
    );
    let session = server.client().raw_session(&script).await;
    gate.reached(&server, &session).await;
    let streams: Vec<_> = futures::stream::iter(0..subscribers)
        .map(|_| open(&session))
        .buffer_unordered(8)
        .collect()
        .await;
    let readers: Vec<_> = streams
        .into_iter()
        .map(|reply| tokio::spawn(latencies(reply)))
        .collect();
    gate.open(&server, &session);
    let mut all = Vec::new();
    for reader in readers {
        let seen = reader.await.unwrap();
        assert_eq!(seen.len(), LINES, "a subscriber saw something else");
        all.extend(seen);
    }
    all.sort();
    let (half, most) = (all[all.len() / 2], all[all.len() * 99 / 100]);
    let what =
        format!("a line every 20 ms, with {subscribers} subscribers, from the agent to each");
    row(&what, &milliseconds(half), "–", "half of them", "≤ 2 ms");
    row("the same", &milliseconds(most), "–", "99 of 100", "≤ 20 ms");
}

async fn open(session: &Session) -> reqwest::Response {
    let path = format!("/sessions/{}/events", session.id);
    let request = session.client.request(reqwest::Method::GET, &path);
    let request = request.header("accept", "text/event-stream");
    request.send().await.unwrap().error_for_status().unwrap()
}

/// For each line, how long ago it says that it was written.
async fn latencies(reply: reqwest::Response) -> Vec<Duration> {
    let mut body = reply.bytes_stream();
    let (mut rest, mut seen) = (Vec::new(), Vec::new());
    while let Some(chunk) = body.next().await {
        rest.extend_from_slice(&chunk.unwrap());
        let now = SystemTime::now();
        while let Some(end) = memchr::memmem::find(&rest, b"\n\n") {
            let frame: Vec<u8> = rest.drain(..end + 2).collect();
            seen.extend(written(&frame).map(|then| now.duration_since(then).unwrap_or_default()));
        }
    }
    seen
}

/// When the line in an event says that it was written.
fn written(frame: &[u8]) -> Option<SystemTime> {
    let at = memchr::memmem::find(frame, b"at:1")? + 3;
    let digits = frame[at..].iter().take_while(|it| it.is_ascii_digit());
    let nanoseconds = digits.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    Some(SystemTime::UNIX_EPOCH + Duration::from_nanos(nanoseconds))
}
