//! Hostile adapters beside a good one: the good one does not notice, and the native stream of the
//! hostile one is complete all the same.

use aod_e2e::{Gate, Runtimes, Server, ServerOptions, Session, output};
use aod_guests::{BOMB, DEEP, Guest, LOOP};
use serde_json::{Value, json};

/// What the guest's launch makes the shell print.
const PRINTED: &str = "line 1\nline 2\nline 3\nline 4\nline 5\nline 6\n";

async fn start(server: &Server, runtime: &str) -> Session {
    let client = server.client();
    let agent = json!({"name": runtime, "runtime": runtime, "model": "guest/x"});
    let agent = client.create_agent(&agent).await;
    let body = json!({"agent_id": agent, "prompt": "hello"});
    client.create_session(&body).await
}

async fn events(session: &Session) -> Vec<Value> {
    let path = format!("/sessions/{}/events?limit=200", session.id);
    let page = session.client.get(&path).await.expect(200);
    page["data"].as_array().unwrap().clone()
}

fn notices(events: &[Value]) -> Vec<&str> {
    let notices = events.iter().filter(|event| event["type"] == "notice");
    notices.filter_map(|event| event["text"].as_str()).collect()
}

fn unparsed(events: &[Value]) -> usize {
    let unparsed = events.iter().filter(|event| event["type"] == "unparsed");
    unparsed.count()
}

#[tokio::test]
async fn others_do_not_notice_and_the_native_stream_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let guest = |name: &str, guest: Guest| (guest.write(folder.path(), name), name.to_owned());
    let good = Guest::default;
    let reading = [
        guest(
            "loop",
            Guest {
                feed: LOOP,
                ..good()
            },
        ),
        guest(
            "bomb",
            Guest {
                feed: BOMB,
                ..good()
            },
        ),
        guest(
            "deep",
            Guest {
                feed: DEEP,
                ..good()
            },
        ),
        guest(
            "trap",
            Guest {
                feed: "unreachable",
                ..good()
            },
        ),
        guest(
            "stillborn",
            Guest {
                constructor: "unreachable",
                ..good()
            },
        ),
        guest(
            "rubbish",
            Guest {
                feed: "i32.const -16",
                ..good()
            },
        ),
    ];
    let ending = guest(
        "ending",
        Guest {
            finish: LOOP,
            ..good()
        },
    );
    let planning = guest(
        "planning",
        Guest {
            prepare: LOOP,
            ..good()
        },
    );
    let all = reading.iter().chain([&ending, &planning]);
    let runtimes = all.fold(Runtimes::demo(), |runtimes, (path, name)| {
        runtimes.with(name, path, "")
    });
    let server = Server::start(ServerOptions::new(runtimes)).await;

    let gate = Gate::new("g");
    let undisturbed = server.client().demo_session(&gate.step()).await;
    gate.reached(&server, &undisturbed).await;

    for (_, name) in &reading {
        let session = start(&server, name).await;
        let ended = session.ended().await;
        assert_eq!(output(&ended.events, "stdout"), PRINTED, "{name}");
        assert_eq!(output(&ended.events, "stderr"), "oops\n", "{name}");
        assert_eq!(ended.session["exit_code"], 0, "{name}");
        let events = events(&session).await;
        let notices = notices(&events);
        assert_eq!(notices.len(), 3, "{name}: {notices:?}");
        for notice in &notices {
            assert!(
                notice.contains("the runtime's adapter failed"),
                "{name}: {notice}"
            );
        }
        assert!(
            notices[2].ends_with("what follows is passed on as it stands"),
            "{notices:?}"
        );
        // Every line is told, whoever did not understand it.
        assert_eq!(unparsed(&events), 7, "{name}: {events:#?}");
    }

    let session = start(&server, &ending.1).await;
    let ended = session.ended().await;
    assert_eq!(output(&ended.events, "stdout"), PRINTED);
    assert_eq!(notices(&events(&session).await).len(), 1);

    let session = start(&server, &planning.1).await;
    let error = session.ended().await.failed();
    assert!(error.contains("stopped in prepare after 250 ms"), "{error}");

    gate.open(&server, &undisturbed);
    undisturbed.ended().await.completed();
    server
        .client()
        .demo_session("still here")
        .await
        .ended()
        .await
        .completed();
}
