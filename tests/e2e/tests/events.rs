//! Normalized events: `GET /sessions/{id}/events`, as a stream and in pages.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;

use aod_e2e::{Client, DEADLINE, Gate, Server, Session, check_events, eventually};
use reqwest::Method;
use serde_json::Value;

/// Reads a stream of events to its end.
async fn stream(session: &Session, query: &str, last_event_id: Option<&str>) -> Vec<Value> {
    let path = format!("/sessions/{}/events{query}", session.id);
    let mut request = session.client.request(Method::GET, &path);
    if let Some(id) = last_event_id {
        request = request.header("Last-Event-ID", id);
    }
    let reply = session.client.send(request).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.headers["content-type"], "text/event-stream");
    assert_eq!(reply.headers["cache-control"], "no-cache");
    let mut events = Vec::new();
    for message in reply
        .text
        .split_terminator("\n\n")
        .filter(|it| !it.starts_with(':'))
    {
        let (id, data) = message.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(id.strip_prefix("id: "), data["id"].as_str(), "{message}");
        events.push(data);
    }
    events
}

/// Reads everything in pages of `limit`.
async fn pages(session: &Session, limit: usize) -> Vec<Value> {
    let mut events: Vec<Value> = Vec::new();
    let mut query = format!("?limit={limit}");
    loop {
        let path = format!("/sessions/{}/events{query}", session.id);
        let page = session.client.get(&path).await.expect(200);
        let data = page["data"].as_array().unwrap();
        assert!(data.len() <= limit);
        events.extend(data.iter().cloned());
        match page.get("next") {
            Some(next) => {
                assert_eq!(Some(next), data.last().map(|last| &last["id"]));
                query = format!("?limit={limit}&after={}", next.as_str().unwrap());
            }
            None => return events,
        }
    }
}

fn id(event: &Value) -> (u64, u32) {
    let (entry, index) = event["id"].as_str().unwrap().split_once('.').unwrap();
    (entry.parse().unwrap(), index.parse().unwrap())
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect()
}

/// Checks that ids rise, that each turn has one beginning, and that each line of the native stream
/// has an event of its own; the demo agent writes none that needs none.
async fn check(session: &Session, events: &[Value]) {
    check_events(events);
    let ids: Vec<_> = events.iter().map(id).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    let native = session.ended().await.events;
    let outputs = native.iter().filter(|event| event.kind() == "output");
    let lines: BTreeSet<u64> = outputs.filter_map(aod_e2e::Event::id).collect();
    let (begun, rest): (Vec<_>, Vec<_>) = events
        .iter()
        .partition(|event| event["type"] == "turn.started");
    let turns: Vec<_> = begun.iter().map(|event| &event["turn"]).collect();
    let last = events
        .last()
        .map_or(0, |event| event["turn"].as_u64().unwrap());
    assert_eq!(
        turns,
        (1..=last)
            .map(Value::from)
            .collect::<Vec<_>>()
            .iter()
            .collect::<Vec<_>>()
    );
    let told: BTreeSet<u64> = rest.iter().map(|event| id(event).0).collect();
    assert_eq!(told, lines, "{events:#?}\n{native:#?}");
    for event in events {
        assert!(event["turn"].is_u64() && event["at"].is_string(), "{event}");
    }
}

#[tokio::test]
async fn a_turn_is_told_in_the_one_vocabulary() {
    let server = Server::demo().await;
    let session = server.client().demo_session("hello there").await;
    session.ended().await.completed();
    let events = stream(&session, "", None).await;
    check(&session, &events).await;
    assert_eq!(
        kinds(&events),
        [
            "turn.started",
            "session.started",
            "message.delta",
            "message.delta",
            "message.delta",
            "message.delta",
            "message",
            "reasoning",
            "tool.call",
            "tool.result",
            "file.change",
            "usage",
            "turn.result",
        ]
    );
    let of = |kind: &str| events.iter().find(|event| event["type"] == kind).unwrap();
    assert_eq!(of("session.started")["native_session_id"], session.id);
    assert_eq!(of("message")["role"], "assistant");
    assert_eq!(of("message")["text"], "You said: hello there");
    let deltas = events
        .iter()
        .filter(|event| event["type"] == "message.delta");
    let said: String = deltas.filter_map(|event| event["text"].as_str()).collect();
    assert_eq!(said.trim_end(), "You said: hello there");
    assert_eq!(of("tool.call")["input"]["command"], "ls -A");
    assert_eq!(of("tool.call")["call_id"], of("tool.result")["call_id"]);
    assert_eq!(of("tool.result")["is_error"], false);
    assert_eq!(of("file.change")["kind"], "created");
    assert_eq!(
        of("usage")["input_tokens"],
        session.read().await["usage"]["input_tokens"]
    );
    let result = of("turn.result");
    assert_eq!(
        (&result["is_error"], &result["stop_reason"]),
        (&false.into(), &"done".into())
    );
    assert!(result["duration_ms"].is_u64(), "{result}");

    session.prompt("fail").await;
    session.ended().await;
    let events = stream(&session, "", None).await;
    check(&session, &events).await;
    let last = events.last().unwrap();
    assert_eq!(
        (&last["type"], &last["turn"]),
        (&"turn.result".into(), &2.into())
    );
    assert_eq!(last["is_error"], true);
    assert_eq!(last["failure"]["kind"], "tool");
}

#[tokio::test]
async fn every_place_gives_exactly_the_rest() {
    let server = Server::demo().await;
    let session = server.client().demo_session("one two three").await;
    session.ended().await.completed();
    session.prompt("$ echo four\nexit 3").await;
    session.ended().await;
    let all = stream(&session, "", None).await;
    check(&session, &all).await;
    assert!(all.len() > 12 && all[0]["turn"] == 1 && all.last().unwrap()["turn"] == 2);
    for (index, event) in all.iter().enumerate() {
        let at = event["id"].as_str().unwrap();
        let rest = &all[index + 1..];
        assert_eq!(
            stream(&session, &format!("?since={at}"), None).await,
            rest,
            "since {at}"
        );
        assert_eq!(
            stream(&session, "?since=0", Some(at)).await,
            rest,
            "Last-Event-ID {at}"
        );
        let entry = id(event).0;
        let behind: Vec<_> = all.iter().filter(|it| id(it).0 > entry).cloned().collect();
        assert_eq!(
            stream(&session, &format!("?since={entry}"), None).await,
            behind
        );
    }
    assert!(stream(&session, "?since=99999999", None).await.is_empty());
    for limit in [1, 3, all.len() - 1, all.len(), 200] {
        assert_eq!(pages(&session, limit).await, all, "in pages of {limit}");
    }
    let path = format!("/sessions/{}/events", session.id);
    let accept = session
        .client
        .request(Method::GET, &path)
        .header("Accept", "application/json");
    let page = session.client.send(accept).await.expect(200);
    assert_eq!(
        (page["data"].as_array(), page.get("next")),
        (Some(&all), None)
    );
}

#[tokio::test]
async fn what_is_no_place_is_refused_and_others_see_nothing() {
    let server = Server::demo().await;
    let session = server.client().demo_session("hello").await;
    let path = format!("/sessions/{}/events", session.id);
    for query in [
        "?since=x",
        "?since=-1",
        "?since=1.x",
        "?follow=x",
        "?after=x",
        "?limit=0",
        "?limit=201",
    ] {
        let _ = session
            .client
            .get(&format!("{path}{query}"))
            .await
            .refusal(400);
    }
    let header = session
        .client
        .request(Method::GET, &path)
        .header("Last-Event-ID", "1.2.3");
    let _ = session.client.send(header).await.refusal(400);
    let other = server.add_user("other");
    let _ = other.get(&path).await.refusal(404);
    let _ = other.get(&format!("{path}?limit=1")).await.refusal(404);
    let nobody = Client::new(server.client().base(), None);
    let _ = nobody.get(&path).await.refusal(401);
    session.ended().await;
}

#[tokio::test]
async fn a_live_reader_goes_on_to_the_turns_end() {
    let server = Server::demo().await;
    let gate = Gate::new("gate");
    let session = server
        .client()
        .demo_session(&format!("first\n{}", gate.step()))
        .await;
    gate.reached(&server, &session).await;
    // What is there is given at once, and no more.
    let seen = eventually("the call is told", DEADLINE, async || {
        let seen = stream(&session, "?follow=false", None).await;
        kinds(&seen).contains(&"tool.call").then_some(seen)
    })
    .await;
    assert!(!kinds(&seen).contains(&"tool.result"));
    let live = tokio::spawn({
        let session = session.clone();
        async move {
            let events = stream(&session, "", None).await;
            // Who has seen the end reads the final state.
            (events, session.read().await)
        }
    });
    gate.open(&server, &session);
    let (events, read) = live.await.unwrap();
    assert_eq!(read["status"], "completed", "{read}");
    assert_eq!(events[..seen.len()], seen);
    assert_eq!(kinds(&events).last(), Some(&"turn.result"));
    check(&session, &events).await;
}

#[tokio::test]
async fn a_host_that_is_killed_loses_and_repeats_nothing() {
    let mut server = Server::demo().await;
    let gate = Gate::new("gate");
    let session = server
        .client()
        .demo_session(&format!("first\n{}\nthird", gate.step()))
        .await;
    gate.reached(&server, &session).await;
    let before = eventually("the call is told", DEADLINE, async || {
        let seen = stream(&session, "?follow=false", None).await;
        kinds(&seen).contains(&"tool.call").then_some(seen)
    })
    .await;
    server.kill_and_start_again().await;
    let session = session.at(server.client());
    gate.open(&server, &session);
    let last = before.last().unwrap()["id"].as_str().unwrap();
    let rest = stream(&session, "", Some(last)).await;
    let all = [before, rest].concat();
    assert_eq!(stream(&session, "", None).await, all);
    assert_eq!(kinds(&all).last(), Some(&"turn.result"));
    check(&session, &all).await;
    // Another start derives nothing anew.
    server.kill_and_start_again().await;
    let session = session.at(server.client());
    assert_eq!(pages(&session, 200).await, all);
}

#[tokio::test]
async fn a_turn_that_ends_without_a_host_is_told_at_the_next_start() {
    let mut server = Server::demo().await;
    let gate = Gate::new("gate");
    let session = server
        .client()
        .demo_session(&format!("first\n{}\nthird", gate.step()))
        .await;
    gate.reached(&server, &session).await;
    server.kill();
    gate.open(&server, &session);
    eventually("the turn ends", DEADLINE, async || {
        server.supervisors().is_empty().then_some(())
    })
    .await;
    // A crash may also have torn the last event.
    let folder = server.session_folder(&session.id).join("events");
    let file = folder.join("1.jsonl");
    let mut stored = std::fs::read(&file).unwrap();
    // The host may have been killed before it stored one.
    stored.truncate(stored.len().saturating_sub(5));
    std::fs::write(&file, stored).unwrap();
    server.start_again().await;
    let session = session.at(server.client());
    let events = stream(&session, "", None).await;
    assert_eq!(kinds(&events).last(), Some(&"turn.result"));
    check(&session, &events).await;
}
