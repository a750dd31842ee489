//! How long a line takes from the agent to many subscribers, when lines come at the pace of a
//! model's words.
//!
//! The subscribers are plain sockets of one thread, that look for the line and nothing else: they
//! share the processors with the server, and what they take of them is in the figures.

use std::time::{Duration, SystemTime};

use aod_e2e::{Gate, Runtimes, Server, ServerOptions, Session};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{milliseconds, processor_time, row};

const LINES: usize = 250;
const SUBSCRIBERS: usize = 500;

pub(crate) async fn measure() {
    let server = Server::start(ServerOptions::new(Runtimes::demo().with_raw())).await;
    let gate = Gate::new("gate");
    let script = format!(
        "{}\nfor line in $(seq {LINES}); do date +at:%s%N; sleep 0.02; done",
        gate.command()
    );
    let session = server.client().raw_session(&script).await;
    gate.reached(&server, &session).await;
    let request = request(&session);
    let address = session.client.base().replace("http://", "");
    let (all_are_there, opened) = tokio::sync::oneshot::channel();
    let readers = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .unwrap();
        runtime.block_on(subscribe(&address, &request, all_are_there))
    });
    opened.await.unwrap();
    let before = processor_time(server.process());
    gate.open(&server, &session);
    let mut all = tokio::task::block_in_place(|| readers.join().unwrap());
    let spent = processor_time(server.process()) - before;
    all.sort();
    let (half, most) = (all[all.len() / 2], all[all.len() * 99 / 100]);
    let what =
        format!("a line every 20 ms, with {SUBSCRIBERS} subscribers, from the agent to each");
    row(&what, &milliseconds(half), "–", "half of them", "≤ 2 ms");
    let cost = format!(
        "{:.1} µs of the host's for each",
        spent * 1e6 / all.len() as f64
    );
    row(
        "the same",
        &milliseconds(most),
        &cost,
        "99 of 100",
        "≤ 20 ms",
    );
}

/// The request for a session's events.
fn request(session: &Session) -> String {
    let token = session.client.token().unwrap();
    format!(
        "GET /sessions/{}/events HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\
         authorization: Bearer {token}\r\n\r\n",
        session.id
    )
}

/// Opens the streams, says when all are there, and returns for each line of each how long it took.
async fn subscribe(
    address: &str,
    request: &str,
    all_are_there: tokio::sync::oneshot::Sender<()>,
) -> Vec<Duration> {
    let mut readers = Vec::new();
    for _ in 0..SUBSCRIBERS {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut begin = [0; 256];
        let length = stream.read(&mut begin).await.unwrap();
        assert!(begin[..length].starts_with(b"HTTP/1.1 200"), "{begin:?}");
        readers.push(tokio::spawn(latencies(stream)));
    }
    all_are_there.send(()).unwrap();
    let mut all = Vec::new();
    for reader in readers {
        all.extend(reader.await.unwrap());
    }
    all
}

/// For each line, how long ago it says that it was written.
async fn latencies(mut stream: TcpStream) -> Vec<Duration> {
    let (mut rest, mut seen) = (Vec::new(), Vec::new());
    while seen.len() < LINES {
        let length = stream.read_buf(&mut rest).await.unwrap();
        assert!(length > 0, "a stream ended early");
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
