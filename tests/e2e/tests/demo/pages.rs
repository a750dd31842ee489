//! Pages of normalized events, backwards and without what is told twice.

use std::time::Instant;

use aod_e2e::{Client, Runtimes, Server, ServerOptions, Session};
use serde_json::{Value, json};

async fn page(session: &Session, query: &str) -> Value {
    let path = format!("/sessions/{}/events{query}", session.id);
    session.client.get(&path).await.expect(200)
}

fn ids(page: &Value) -> Vec<String> {
    let events = page["data"].as_array().unwrap().iter();
    events
        .map(|event| event["id"].as_str().unwrap().to_owned())
        .collect()
}

async fn session(client: &Client) -> Session {
    let session = client
        .demo_session("say one two three four five six seven")
        .await;
    session.ended().await.completed();
    session.prompt("say eight nine ten eleven twelve").await;
    session.ended().await.completed();
    session
}

#[tokio::test]
async fn pages_go_back_from_the_end_and_from_any_event() {
    let server = Server::demo().await;
    let session = session(server.client()).await;
    let whole = page(&session, "?limit=200").await;
    let all = ids(&whole);
    assert_eq!(whole.get("prev"), None);
    assert!(all.len() > 12, "{all:?}");

    let mut found = Vec::new();
    let mut query = "?tail=4".to_owned();
    loop {
        let page = page(&session, &query).await;
        assert_eq!(page.get("next"), None);
        let ids = ids(&page);
        assert!(ids.len() <= 4);
        found.splice(0..0, ids);
        let Some(prev) = page.get("prev").and_then(Value::as_str) else {
            break;
        };
        assert_eq!(prev, found[0]);
        query = format!("?before={prev}&limit=4");
    }
    assert_eq!(found, all);

    // Where clients of streams say `since`, a page says the same.
    let rest = page(&session, &format!("?since={}&limit=200", all[4])).await;
    assert_eq!(ids(&rest), all[5..]);
    let path = format!("/sessions/{}/events?since={}&tail=1", session.id, all[4]);
    session.client.get(&path).await.refused(400);

    let second = page(&session, "?turn=2").await;
    let of_second = ids(&second);
    assert!(all.ends_with(&of_second));
    let mut events = second["data"].as_array().unwrap().iter();
    assert!(events.all(|event| event["turn"] == 2));
    let prev = second["prev"].as_str().unwrap();
    assert_eq!(prev, of_second[0]);
    let first = page(&session, &format!("?before={prev}")).await;
    assert_eq!([ids(&first), of_second].concat(), all);
    assert_eq!(page(&session, "?turn=1").await.get("prev"), None);

    for id in &all {
        let path = format!("/sessions/{}/events/{id}", session.id);
        assert_eq!(server.client().get(&path).await.expect(200)["id"], **id);
    }
}

#[tokio::test]
async fn pieces_of_what_is_there_whole_can_be_left_out() {
    let server = Server::demo().await;
    let session = session(server.client()).await;
    let with = page(&session, "?limit=200").await;
    let is_piece = |event: &&Value| event["type"].as_str().unwrap().ends_with(".delta");
    let expected: Vec<Value> = with["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| !is_piece(event))
        .cloned()
        .collect();
    assert!(
        with["data"]
            .as_array()
            .unwrap()
            .iter()
            .any(|it| is_piece(&it))
    );
    for query in ["?deltas=false", "?tail=200&deltas=false"] {
        let without = page(&session, query).await;
        assert_eq!(without["data"], json!(expected), "{query}");
    }
}

#[tokio::test]
async fn what_is_no_page_and_no_event_is_refused() {
    let server = Server::demo().await;
    let client = server.client();
    let session = client.demo_session("hello").await;
    session.ended().await.completed();
    let path = |more: &str| format!("/sessions/{}/events{more}", session.id);
    for (query, named) in [
        ("?tail=0", "tail"),
        ("?tail=x", "tail"),
        ("?before=x", "before"),
        ("?turn=0", "turn"),
        ("?deltas=2", "deltas"),
        ("?after=1&before=2", "before"),
        ("?tail=1&limit=2", "limit"),
    ] {
        let refusal = client.get(&path(query)).await.refusal(400);
        assert!(refusal.contains(named), "{query}: {refusal}");
    }
    let refusal = client.get(&path("?turn=2")).await.refusal(404);
    assert!(refusal.contains("turn"), "{refusal}");
    let first = ids(&page(&session, "?limit=1").await).remove(0);
    let (entry, _) = first.split_once('.').unwrap();
    for id in ["999.0", "x", entry, &format!("0{first}"), "1.", "%2e%2e"] {
        client.get(&path(&format!("/{id}"))).await.refused(404);
    }
    let other = server.add_user("other");
    for more in ["?tail=1".to_owned(), format!("/{first}")] {
        other.get(&path(&more)).await.refused(404);
    }
}

#[tokio::test]
async fn the_end_of_100_000_events_is_one_cheap_request_and_a_large_one_is_whole_by_its_id() {
    let options = ServerOptions::new(Runtimes::default().with_raw());
    let server = Server::start(options).await;
    let script = "i=0; awk 'BEGIN { for (i = 1; i <= 100000; i++) \
                  printf \"%d said so, and %d more words that nobody knows %060d\\n\", i, i * 7, i; \
                  for (i = 0; i < 300000; i++) printf \"z\"; print \"\" }'";
    let session = server.client().raw_session(script).await;
    session.wait_for("completed").await;
    // The first request of all is about the connection.
    page(&session, "?limit=1").await;
    let time = async |query: &str| {
        let begun = Instant::now();
        let page = page(&session, query).await;
        (begun.elapsed(), page)
    };
    let (took, tail) = time("?tail=200").await;
    let (took_first, _) = time("?limit=200").await;
    let (took_quiet, quiet) = time("?tail=200&deltas=false").await;
    let stored = server.session_folder(&session.id).join("events/1.jsonl");
    let size = std::fs::metadata(stored).unwrap().len();
    println!(
        "of {size} bytes: the last 200 events in {took:?}, without pieces in {took_quiet:?}; the \
         first 200 in {took_first:?}"
    );
    assert_eq!(ids(&tail).len(), 200);
    assert_eq!(tail["data"], quiet["data"]);
    assert!(took < took_first * 10 + std::time::Duration::from_millis(500));

    let events = tail["data"].as_array().unwrap();
    let large = events
        .iter()
        .find(|event| event.get("truncated").is_some())
        .unwrap();
    assert_eq!(large["truncated"], json!(["data"]));
    assert_eq!(large["data"].as_str().unwrap().len(), 64 << 10);
    let id = large["id"].as_str().unwrap();
    let path = format!("/sessions/{}/events/{id}", session.id);
    let whole = server.client().get(&path).await.expect(200);
    assert_eq!(whole["data"], "z".repeat(300_000));
    assert_eq!(whole.get("truncated"), None);
}
