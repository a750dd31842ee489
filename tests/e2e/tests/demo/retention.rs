//! History that is purged, and readers who do not mind.

use std::fs::OpenOptions;
use std::time::{Duration, SystemTime};

use aod_e2e::{DEADLINE, Event, Gate, Runtimes, Server, ServerOptions, eventually};

/// Segments of 64 KiB, of which about eight are kept.
fn options() -> ServerOptions {
    ServerOptions::new(Runtimes::demo()).set("AOD_RETENTION__BYTES", "512KiB")
}

/// A step that writes so many lines of 1000 bytes.
fn write(lines: usize) -> String {
    format!("bytes {}", lines * 1000)
}

fn log_bytes(server: &Server, session: &str) -> u64 {
    let entries = std::fs::read_dir(server.session_folder(session).join("log")).unwrap();
    let logs = entries
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".log"));
    logs.map(|entry| entry.metadata().unwrap().len()).sum()
}

fn event_files(server: &Server, session: &str) -> Vec<String> {
    let entries = std::fs::read_dir(server.session_folder(session).join("events")).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Numbered events without a gap from the first one on; returns the first and the last number.
fn range(events: &[Event]) -> (u64, u64) {
    let ids: Vec<u64> = events.iter().filter_map(|event| event.line_id).collect();
    assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1));
    (ids[0], ids[ids.len() - 1])
}

#[tokio::test]
async fn a_session_keeps_so_many_bytes_and_resumes_from_what_there_is() {
    let server = Server::start(options()).await;
    let session = server.client().demo_session("first").await;
    session.ended().await.completed();
    // A reader that has read the first turn and waits for more.
    let gate = Gate::new("gate");
    session
        .prompt(&format!("{}\n{}", gate.step(), write(2000)))
        .await;
    let mut live = session.stream().await;
    let mut seen = live
        .until(|event| event.kind() == "exit" && event.data["code"] == 0)
        .await;
    gate.reached(&server, &session).await;
    gate.open(&server, &session);
    // The running turn is kept whole, whatever its size.
    seen.extend(live.rest().await);
    assert_eq!(range(&seen).0, 1);
    let last = range(&seen).1;
    session.wait_for("completed").await;
    session.prompt("third").await;
    session.wait_for("completed").await;

    // What is more than the budget goes as soon as nobody reads it any more.
    eventually("old history is purged", DEADLINE, async || {
        let files = event_files(&server, &session.id);
        let is_purged = log_bytes(&server, &session.id) <= 512 << 10;
        (is_purged && files == ["2.files", "2.jsonl", "3.files", "3.jsonl"]).then_some(())
    })
    .await;
    let replay = session.stream().await.rest().await;
    let (first, end) = range(&replay);
    assert!(first > 1 && end > last, "{first} {end}");
    // A turn whose beginning is gone is announced all the same.
    let outputs: Vec<&str> = replay.iter().map(Event::kind).collect();
    assert_eq!(outputs[..3], ["start", "turn_start", "output"]);
    // Who resumes within purged history gets the nearest that survives; behind it, what follows.
    let resumed = session
        .client
        .stream(&session.id, Some(5))
        .await
        .rest()
        .await;
    assert_eq!(range(&resumed), (first, end));
    let resumed = session
        .client
        .stream(&session.id, Some(end - 3))
        .await
        .rest()
        .await;
    assert_eq!(range(&resumed), (end - 2, end));
    let path = format!("/sessions/{}/events?limit=1", session.id);
    let page = session.client.get(&path).await.expect(200);
    assert_eq!(page["data"][0]["turn"], 2, "{page:#}");
}

#[tokio::test]
async fn what_a_running_turn_needs_is_kept_for_the_next_host() {
    let mut server = Server::start(options()).await;
    let gate = Gate::new("gate");
    let prompt = format!("{}\n{}", write(2000), gate.step());
    let session = server.client().demo_session(&prompt).await;
    gate.reached(&server, &session).await;
    server.kill_and_start_again().await;
    let session = session.at(server.client());
    // What a reader has yet to read is not purged under its hands, either.
    let mut stream = session.stream().await;
    stream.next().await;
    gate.open(&server, &session);
    session.wait_for("completed").await;
    let events = stream.rest().await;
    assert_eq!(range(&events).0, 1);
    let last = range(&events).1;
    assert_eq!(session.read().await["status"], "completed");
    // It goes with the next look, which a turn's end takes.
    session.prompt("more").await;
    session.wait_for("completed").await;
    eventually("old history is purged", DEADLINE, async || {
        let replay = session.stream().await.rest().await;
        let first = replay.iter().find_map(|event| event.line_id)?;
        (first > 1 && first < last).then_some(())
    })
    .await;
}

#[tokio::test]
async fn age_purges_sessions_that_nobody_uses() {
    let mut server = Server::start(options()).await;
    let session = server.client().demo_session(&write(400)).await;
    session.ended().await.completed();
    server.stop().await;
    let before = log_bytes(&server, &session.id);
    let week = Duration::from_secs(7 * 24 * 3600);
    for entry in std::fs::read_dir(server.session_folder(&session.id).join("log")).unwrap() {
        let file = OpenOptions::new().write(true).open(entry.unwrap().path());
        file.unwrap()
            .set_modified(SystemTime::now() - week)
            .unwrap();
    }
    let server_options = options()
        .set("AOD_RETENTION__BYTES", "1GiB")
        .set("AOD_RETENTION__AGE", "1s");
    server.start_again_with(server_options).await;
    // Everything but the newest segment is older than a second by then, or soon will be.
    aod_e2e::eventually("old history is purged", aod_e2e::DEADLINE, async || {
        (log_bytes(&server, &session.id) < before / 2).then_some(())
    })
    .await;
    let session = session.at(server.client());
    let replay = session.stream().await.rest().await;
    assert!(replay.last().unwrap().is_terminal());
}
