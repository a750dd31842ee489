//! The native stream.

use aod_e2e::{Event, Gate, Runtimes, Server, ServerOptions, check_ids, output, types};
use futures::future::join_all;
use reqwest::Method;
use serde_json::json;

/// The stages in the order in which the contract names them.
const STAGES: [&str; 8] = [
    "create_sandbox",
    "env_file",
    "git_credentials",
    "provision_setup",
    "network_policy",
    "mcp_config",
    "skills",
    "runtime_start",
];

#[tokio::test]
async fn a_first_turn_streams_stages_then_output_then_its_exit() {
    let server = Server::demo().await;
    let session = server.client().demo_session("hello there").await;
    let stream = session.stream().await;
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    assert_eq!(stream.headers["cache-control"], "no-cache");
    assert_eq!(stream.headers["x-accel-buffering"], "no");
    let ended = session.ended().await.completed();
    let events = &ended.events;

    let start = &events[0].data;
    assert_eq!(start["session_id"], session.id.as_str());
    assert_eq!(start["runtime"], "demo");
    assert_eq!(start["model"], "demo/echo");

    let stages: Vec<_> = events
        .iter()
        .filter(|event| event.kind() == "stage")
        .collect();
    assert_eq!(stages.len() % 2, 0, "{stages:#?}");
    let mut names = Vec::new();
    for pair in stages.chunks(2) {
        assert_eq!(pair[0].data["stage"], pair[1].data["stage"], "{pair:#?}");
        assert_eq!(pair[0].data["state"], "started", "{pair:#?}");
        assert_eq!(pair[1].data["state"], "done", "{pair:#?}");
        assert!(pair[1].data["duration_ms"].is_u64(), "{pair:#?}");
        names.push(pair[0].data["stage"].as_str().unwrap());
    }
    let places: Vec<_> = names
        .iter()
        .map(|name| {
            STAGES
                .iter()
                .position(|stage| stage == name)
                .expect("a documented stage")
        })
        .collect();
    assert!(places.is_sorted_by(|a, b| a < b), "out of order: {names:?}");
    assert!(
        names.contains(&"create_sandbox") && names.contains(&"runtime_start"),
        "{names:?}"
    );

    let turn_starts: Vec<_> = events.iter().filter(|e| e.kind() == "turn_start").collect();
    assert_eq!(turn_starts.len(), 1, "{events:#?}");
    assert_eq!(turn_starts[0].data["turn"], 1);
    let first_output = events
        .iter()
        .position(|event| event.kind() == "output")
        .unwrap();
    assert_eq!(events[first_output - 1].kind(), "turn_start", "{events:#?}");
    for event in events.iter().filter(|event| event.kind() == "output") {
        assert_eq!(event.data["turn"], 1, "{event:?}");
        // Whole lines wherever possible.
        assert!(
            event.data["data"].as_str().unwrap().ends_with('\n'),
            "{event:?}"
        );
    }
    assert!(
        ended.stdout().contains("You said: hello there"),
        "{}",
        ended.stdout()
    );
    assert_eq!(
        server.workspace_file(&session.id, "demo-1.txt").unwrap(),
        "hello there\n"
    );
}

#[tokio::test]
async fn output_is_streamed_while_the_turn_runs() {
    let server = Server::demo().await;
    let gate = Gate::new("gate");
    let prompt = format!("$ echo before\n{}\n$ echo after", gate.step());
    let session = server.client().demo_session(&prompt).await;
    let mut stream = session.stream().await;
    let mut events = stream
        .until(|event| has(event, "before\\n") || has(event, "\"before\""))
        .await;
    session.wait_for("running").await;
    assert!(!output(&events, "stdout").contains("\"after\""));
    gate.open(&server, &session);
    events.extend(stream.rest().await);
    check_ids(&events, 0);
    assert!(output(&events, "stdout").contains("\"after\""));
    // What was seen live is what a replay gives.
    assert_eq!(session.ended().await.completed().events, events);
}

fn has(event: &Event, text: &str) -> bool {
    event.kind() == "output" && event.says(text)
}

#[tokio::test]
async fn a_stream_resumes_at_every_id() {
    let server = Server::demo().await;
    let session = server
        .client()
        .demo_session("one two three\n$ echo four >&2; echo five")
        .await;
    let first = session.ended().await.completed();
    session.prompt("and again").await;
    session.wait_for("completed").await;
    let whole = session.ended().await.completed().events;
    assert!(whole.len() > first.events.len() + 3);
    let last = check_ids(&whole, 0);
    for after in 0..last {
        // `turn_start` goes with the event behind it.
        let mut expected = vec![whole[0].clone()];
        expected.extend(whole[1..].iter().filter(|e| e.id() > Some(after)).cloned());
        let by_query = session
            .client
            .stream(&session.id, Some(after))
            .await
            .rest()
            .await;
        assert_eq!(by_query, expected, "since={after}");
        let by_header = session
            .client
            .stream_after(&session.id, after)
            .await
            .rest()
            .await;
        assert_eq!(by_header, expected, "Last-Event-ID: {after}");
        check_ids(&by_query, after);
    }
}

#[tokio::test]
async fn the_header_wins_over_the_query() {
    let server = Server::demo().await;
    let session = server.client().demo_session("hello").await;
    let whole = session.ended().await.completed().events;
    let request = session.client.request(
        Method::GET,
        &format!("/sessions/{}/stream?since=0", session.id),
    );
    let reply = session
        .client
        .send(request.header("Last-Event-ID", "3"))
        .await;
    assert!(!reply.text.contains("id: 3\n"), "{}", reply.text);
    assert!(reply.text.contains("id: 4\n"), "{}", reply.text);
    assert!(whole.len() > 4);
}

#[tokio::test]
async fn what_is_no_id_is_refused() {
    let server = Server::demo().await;
    let session = server.client().demo_session("hello").await;
    let path = format!("/sessions/{}/stream", session.id);
    for bad in ["-1", "x", "1.5", "", "%201", "18446744073709551616", "1e3"] {
        session
            .client
            .get(&format!("{path}?since={bad}"))
            .await
            .refused(400);
    }
    session
        .client
        .get(&format!("{path}?since=1&since=2"))
        .await
        .refused(400);
    for bad in ["-1", "x", "1.5", "18446744073709551616"] {
        let request = session
            .client
            .request(Method::GET, &path)
            .header("Last-Event-ID", bad);
        session.client.send(request).await.refused(400);
    }
}

#[tokio::test]
async fn a_reader_at_the_end_waits_for_the_next_turn() {
    let server = Server::demo().await;
    let session = server.client().demo_session("hello").await;
    let last = check_ids(&session.ended().await.completed().events, 0);
    let mut stream = session.client.stream(&session.id, Some(last)).await;
    assert_eq!(stream.next().await.unwrap().kind(), "start");
    session.prompt("again").await;
    let mut events = vec![session.ended().await.events[0].clone()];
    events.extend(stream.rest().await);
    check_ids(&events, last);
    assert!(
        output(&events, "stdout").contains("You said: again"),
        "{events:#?}"
    );
    assert!(events.last().unwrap().is_terminal());
}

#[tokio::test]
async fn an_earlier_turns_end_keeps_its_place_and_closes_nothing() {
    let server = Server::demo().await;
    let session = server.client().demo_session("first").await;
    session.ended().await.completed();
    session.prompt("second").await;
    let ended = session.ended().await.completed();
    let kinds = types(&ended.events);
    assert_eq!(
        kinds.iter().filter(|kind| **kind == "exit").count(),
        2,
        "{kinds:?}"
    );
    assert_eq!(
        kinds.iter().filter(|kind| **kind == "turn_start").count(),
        2,
        "{kinds:?}"
    );
    let turns: Vec<_> = ended
        .events
        .iter()
        .filter_map(|e| e.data["turn"].as_u64())
        .collect();
    assert!(turns.is_sorted(), "{turns:?}");
}

#[tokio::test]
async fn many_readers_see_the_same() {
    let server = Server::demo().await;
    let gate = Gate::new("gate");
    let prompt = format!("{}\nbytes 300000\n$ echo done", gate.step());
    let session = server.client().demo_session(&prompt).await;
    gate.reached(&server, &session).await;
    let mut streams = join_all((0..100).map(|_| session.stream())).await;
    for stream in &mut streams {
        // All of them are live before anything more is written.
        stream.until(|event| event.kind() == "turn_start").await;
    }
    gate.open(&server, &session);
    let live = join_all(streams.iter_mut().map(aod_e2e::Stream::rest)).await;
    let whole = session.ended().await.completed().events;
    let place = whole
        .iter()
        .position(|event| event.kind() == "turn_start")
        .unwrap()
        + 1;
    for events in live {
        assert_eq!(events, whole[place..]);
    }
}

#[tokio::test]
async fn megabytes_of_output_are_all_there() {
    let server = Server::demo().await;
    let session = server.client().demo_session("bytes 4000000").await;
    let ended = session.ended().await.completed();
    let piece = "x".repeat(1000);
    assert_eq!(
        ended
            .stdout()
            .lines()
            .filter(|line| line.contains(&piece))
            .count(),
        4000
    );
}

#[tokio::test]
async fn a_long_silence_ends_the_connection_and_not_the_turn() {
    let options = ServerOptions::new(Runtimes::demo()).set("AOD_TURN__STALE", "1s");
    let server = Server::start(options).await;
    let gate = Gate::new("gate");
    let session = server.client().demo_session(&gate.step()).await;
    let events = session.stream().await.rest().await;
    let last = check_ids(&events, 0);
    let stale = events.last().unwrap();
    assert_eq!(stale.kind(), "stale");
    assert!(stale.data["message"].is_string());
    session.wait_for("running").await;
    gate.open(&server, &session);
    let rest = session
        .client
        .stream(&session.id, Some(last))
        .await
        .rest()
        .await;
    check_ids(&rest, last);
    assert_eq!(rest.last().unwrap().kind(), "exit");
}

#[tokio::test]
async fn a_replay_need_not_follow() {
    let server = Server::demo().await;
    let gate = Gate::new("gate");
    let session = server.client().demo_session(&gate.step()).await;
    gate.reached(&server, &session).await;
    let reply = session
        .client
        .get(&format!("/sessions/{}/stream?follow=false", session.id))
        .await;
    assert!(reply.text.contains("turn_start"), "{}", reply.text);
    assert!(!reply.text.contains("\"exit\""), "{}", reply.text);
}

/// More than all buffers between a server and a client that does not read can hold.
const MORE_THAN_BUFFERS: usize = 32 << 20;

#[tokio::test]
async fn a_replay_ends_with_what_there_was_when_it_began() {
    let server = Server::demo().await;
    let gate = Gate::new("gate");
    let prompt = format!(
        "bytes {MORE_THAN_BUFFERS}\n{}\n$ echo tangerine",
        gate.step()
    );
    let session = server.client().demo_session(&prompt).await;
    gate.reached(&server, &session).await;
    let path = format!("/sessions/{}/stream?follow=false", session.id);
    let request = session.client.request(Method::GET, &path);
    let replay = request.send().await.unwrap();
    gate.open(&server, &session);
    session.wait_for("completed").await;
    let text = replay.text().await.unwrap();
    assert!(text.len() > MORE_THAN_BUFFERS);
    assert!(
        !text.contains("tangerine"),
        "{}",
        &text[text.len() - 2000..]
    );
    let whole = session.ended().await;
    assert!(whole.stdout().contains("\"output\":\"tangerine\""));
}

#[tokio::test]
async fn a_live_reader_that_falls_behind_catches_up_and_sees_the_same() {
    let server = Server::demo().await;
    let client = server.client();
    let (gate, last) = (Gate::new("gate"), Gate::new("last"));
    let environment = gate.environment(client, "").await;
    let prompt = format!("bytes {MORE_THAN_BUFFERS}\n{}", last.step());
    let body = json!({
        "agent_id": client.demo_agent().await,
        "prompt": prompt,
        "environment_id": environment,
    });
    let session = client.create_session(&body).await;
    gate.reached(&server, &session).await;
    let mut streams = [session.stream().await, session.stream().await];
    let mut seen = Vec::new();
    for stream in &mut streams {
        // All that there is: what follows is read live.
        let waits = |event: &Event| {
            event.data["stage"] == "provision_setup" && event.data["state"] == "started"
        };
        seen.push(stream.until(waits).await);
    }
    let [mut quick, mut slow] = streams;
    gate.open(&server, &session);
    last.reached(&server, &session).await;
    last.open(&server, &session);
    seen[0].extend(quick.rest().await);
    seen[1].extend(slow.rest().await);
    assert!(output(&seen[0], "stdout").len() > MORE_THAN_BUFFERS);
    assert_eq!(seen[0], seen[1]);
    let starts = |events: &[Event]| {
        types(events)
            .iter()
            .filter(|it| **it == "turn_start")
            .count()
    };
    assert_eq!((starts(&seen[0]), starts(&seen[1])), (1, 1));
}

/// The log's frames and what is told of each line would be some seventy times as long.
#[tokio::test]
async fn lines_of_one_character_cost_little_more_on_disk() {
    let server = Server::demo().await;
    let lines = 200_000;
    let command = format!("$ yes | head -n {lines} >/proc/$PPID/fd/1");
    let started = std::time::Instant::now();
    let session = server.client().demo_session(&command).await;
    session.ended().await.completed();
    println!("{lines} lines of one character: {:?}", started.elapsed());
    let folder = server.session_folder(&session.id);
    let mut bytes = 0;
    for part in ["log", "events"] {
        for file in std::fs::read_dir(folder.join(part)).unwrap() {
            let file = file.unwrap();
            if file.file_name() != "reserve" {
                println!(
                    "{:?}: {} bytes",
                    file.path(),
                    file.metadata().unwrap().len()
                );
                bytes += file.metadata().unwrap().len();
            }
        }
    }
    let written = std::fs::read_to_string(folder.join("events/1.jsonl")).unwrap();
    assert!(written.contains("\"unparsed\""), "{written}");
    // What the rest of the turn costs is not the lines'.
    assert!(bytes < 4 * 2 * lines + 20_000, "{bytes}");
}
