//! How long a line takes from the agent to many subscribers, when lines come at the pace of a
//! model's words.
//!
//! The subscribers are plain sockets of one thread, that look for the line and nothing else. They
//! share the processors with the server, as no real ones would. So a line has come to a subscriber
//! when the kernel has it for its socket, and their thread gives way to the server (`nice`): what it
//! takes of a processor is not the server's to give. When it has read a line stands beside that.

use std::time::{Duration, SystemTime};

use aod_e2e::{Gate, Runtimes, Server, Session};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{arrival, milliseconds, options, processor_time, row};

const LINES: usize = 250;
const SUBSCRIBERS: usize = 500;

pub(crate) async fn measure() {
    let server = Server::start(options(Runtimes::demo().with_raw())).await;
    let gate = Gate::new("gate");
    // One process, as a CLI is: programs that are started for each line would have the processors.
    let script = format!(
        "{}\nmkfifo quiet\nbash -c 'exec 9<>quiet
        for ((line = 0; line < {LINES}; line++)); do
            echo \"at:${{EPOCHREALTIME/[.,]/}}000\"
            read -rt 0.02 -u 9
        done'",
        gate.command()
    );
    let session = server.client().raw_session(&script).await;
    gate.reached(&server, &session).await;
    let request = request(&session);
    let address = session.client.base().replace("http://", "");
    let (all_are_there, opened) = tokio::sync::oneshot::channel();
    let readers = std::thread::spawn(move || {
        rustix::process::nice(19).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .unwrap();
        runtime.block_on(subscribe(&address, &request, all_are_there))
    });
    opened.await.unwrap();
    let before = processor_time(server.process());
    gate.open(&server, &session);
    let all = tokio::task::block_in_place(|| readers.join().unwrap());
    let spent = processor_time(server.process()) - before;
    let (half, most) = half_and_most(all.iter().map(|line| line.came));
    let (half_read, most_read) = half_and_most(all.iter().map(|line| line.read));
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
    row(
        "the same, until the one thread of all subscribers has read it",
        &milliseconds(half_read),
        &format!("99 of 100: {}", milliseconds(most_read)),
        "half of them",
        "–",
    );
}

/// How long a line took to a subscriber.
struct Took {
    /// Until its socket had it.
    came: Duration,
    /// Until it had read it.
    read: Duration,
}

fn half_and_most(times: impl Iterator<Item = Duration>) -> (Duration, Duration) {
    let mut times: Vec<_> = times.collect();
    times.sort();
    (times[times.len() / 2], times[times.len() * 99 / 100])
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
) -> Vec<Took> {
    let mut readers = Vec::new();
    for _ in 0..SUBSCRIBERS {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut begin = [0; 256];
        let length = stream.read(&mut begin).await.unwrap();
        assert!(begin[..length].starts_with(b"HTTP/1.1 200"), "{begin:?}");
        arrival::ask(&stream).unwrap();
        readers.push(tokio::spawn(latencies(stream)));
    }
    all_are_there.send(()).unwrap();
    let mut all = Vec::new();
    for reader in readers {
        all.extend(reader.await.unwrap());
    }
    all
}

/// For each line, how long it took.
async fn latencies(stream: TcpStream) -> Vec<Took> {
    let (mut rest, mut seen) = (Vec::new(), Vec::new());
    let mut buffer = [0; 4096];
    while seen.len() < LINES {
        let (length, came) = arrival::read(&stream, &mut buffer).await.unwrap();
        assert!(length > 0, "a stream ended early");
        let now = SystemTime::now();
        // What came before the kernel began to note it, which it does not at once.
        let came = came.unwrap_or(now);
        rest.extend_from_slice(&buffer[..length]);
        while let Some(end) = memchr::memmem::find(&rest, b"\n\n") {
            let frame: Vec<u8> = rest.drain(..end + 2).collect();
            let since = |then, at: SystemTime| at.duration_since(then).unwrap_or_default();
            seen.extend(written(&frame).map(|then| Took {
                came: since(then, came),
                read: since(then, now),
            }));
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
