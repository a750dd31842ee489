//! Readers of one session: many at once, and one that stops reading.

use aod_e2e::{DEADLINE, Gate, Runtimes, Server, ServerOptions, Session, eventually, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Far more than sockets hold between two processes.
const LINES: usize = 40_000;

/// A stream whose client has asked for it and reads nothing.
async fn never_reads(session: &Session) -> TcpStream {
    let base = session.client.base();
    let address = base.strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /sessions/{}/stream HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\n\r\n",
        session.id,
        session.client.token().unwrap()
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    connection
}

/// Reads a stream from the wire to its end, and checks that the lines came in order. The lines
/// are looked at as they are: a thousand readers share two processors with the server.
async fn count_lines(session: Session, lines: usize) {
    let mut connection = never_reads(&session).await;
    let mut buffer = vec![0; 64 << 10];
    let mut text = Vec::new();
    let mut seen = 0;
    loop {
        let count = connection.read(&mut buffer).await.unwrap();
        assert!(count > 0, "the connection ended after line {seen}");
        text.extend_from_slice(&buffer[..count]);
        let whole = text
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        for line in text[..whole].split(|byte| *byte == b'\n') {
            let Ok(line) = std::str::from_utf8(line) else {
                panic!("not UTF-8 behind line {seen}");
            };
            if line.starts_with("data: {\"type\":\"exit\"") {
                assert_eq!(seen, lines);
                return;
            }
            if let Some((_, rest)) = line.split_once("\"data\":\"line ") {
                let number = rest.split_once('.').unwrap().0;
                assert_eq!(number.parse(), Ok(seen + 1));
                seen += 1;
            }
        }
        text.drain(..whole);
    }
}

#[tokio::test]
async fn one_that_stops_reading_is_cut_and_disturbs_nobody() {
    let options = ServerOptions::new(Runtimes::default().with_raw()).set("AOD_STREAM__STALL", "2s");
    let server = Server::start(options).await;
    let gate = Gate::new("gate");
    let script = format!(
        "{}; seq -f 'line %.0f. {}' {LINES}",
        gate.command(),
        "x".repeat(400)
    );
    let session = server.client().raw_session(&script).await;
    gate.reached(&server, &session).await;
    let mut silent = never_reads(&session).await;
    let reader = tokio::spawn(count_lines(session.clone(), LINES));
    gate.open(&server, &session);
    within("the other reader sees everything", DEADLINE * 2, reader)
        .await
        .unwrap();
    session.wait_for("completed").await;

    // The server has let go of the one that does not read: its connection is the only one that is
    // left with something to send.
    let port = server.client().base().rsplit(':').next().unwrap();
    let port: u16 = port.parse().unwrap();
    eventually("the connection is closed", DEADLINE, async || {
        (stuck_connections(port) == 0).then_some(())
    })
    .await;
    // What was on its way can still be read; then it ends, before the stream does.
    let mut text = Vec::new();
    let _ = within("the end", DEADLINE, silent.read_to_end(&mut text)).await;
    assert!(memchr::memmem::find(&text, b"\"type\":\"exit\"").is_none());
    // And its client resumes by the last id that it has.
    let text = String::from_utf8_lossy(&text);
    let last = text.rsplit("\nid: ").nth(1).unwrap();
    let last: u64 = last.split('\n').next().unwrap().parse().unwrap();
    let events = session
        .client
        .stream_after(&session.id, last)
        .await
        .rest()
        .await;
    assert_eq!(events[1].line_id.or(events[2].line_id), Some(last + 1));
    assert!(events.last().unwrap().is_terminal());
}

/// Connections of the server on `port` with bytes that nobody takes, as the kernel lists them.
fn stuck_connections(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table
        .lines()
        .skip(1)
        .filter(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let local = fields.next().unwrap();
            let queued = fields.nth(2).unwrap();
            local.ends_with(&format!(":{port:04X}")) && !queued.starts_with("00000000:")
        })
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_see_all_of_it_in_order() {
    const READERS: usize = 1000;
    const EACH: usize = 300;
    aod_e2e::raise_open_files();
    let server = Server::start(ServerOptions::new(Runtimes::default().with_raw())).await;
    let gate = Gate::new("gate");
    // In bursts, so that readers catch up in between and wait.
    let script = format!(
        "{}; i=0; while [ $i -lt {EACH} ]; do i=$((i+1)); echo \"line $i.\"; \
         [ $((i % 20)) = 0 ] && sleep 0.05; done",
        gate.command()
    );
    let session = server.client().raw_session(&script).await;
    gate.reached(&server, &session).await;
    // One of them never reads.
    let _silent = never_reads(&session).await;
    let readers: Vec<_> = (0..READERS)
        .map(|_| tokio::spawn(count_lines(session.clone(), EACH)))
        .collect();
    // All of them wait for what comes.
    let host = server.process().pid;
    eventually("all are connected", DEADLINE * 2, async || {
        let files = std::fs::read_dir(format!("/proc/{host}/fd"))
            .unwrap()
            .count();
        (files > READERS).then_some(())
    })
    .await;
    let before = ticks(host);
    gate.open(&server, &session);
    within("all see all of it", DEADLINE * 3, async {
        for reader in readers {
            reader.await.unwrap();
        }
    })
    .await;
    println!("{} ticks of processor time", ticks(host) - before);
    session.wait_for("completed").await;
}

/// Processor time that a process has used.
fn ticks(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(')').unwrap();
    let times = rest.split_whitespace().skip(11).take(2);
    times.map(|time| time.parse::<u64>().unwrap()).sum()
}
