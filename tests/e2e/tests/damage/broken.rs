//! Broken files and processes: what is readable is read, what cannot go on fails, and all of it
//! can be terminated and deleted.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use aod_e2e::{
    DEADLINE, Gate, Runtimes, Server, ServerOptions, Session, eventually, plugin, within,
};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};

/// The segment that a session's log begins with.
fn segment(server: &Server, session: &Session) -> std::path::PathBuf {
    let log = server.session_folder(&session.id).join("log");
    let mut segments: Vec<_> = fs::read_dir(log)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| fs::metadata(path).unwrap().len() > 1000)
        .collect();
    segments.sort();
    segments.swap_remove(0)
}

/// Checks that a session can be read, and is gone when its user wants that.
async fn is_readable_and_goes(server: &Server, session: &Session) {
    let path = format!("/sessions/{}", session.id);
    for part in ["", "/turns", "/events", "/provisioning"] {
        let reply = server.client().get(&format!("{path}{part}")).await;
        assert_eq!(reply.status, 200, "{part}: {}", reply.text);
    }
    for query in [
        "",
        "?follow=false",
        "?since=3",
        "?since=100000&follow=false",
    ] {
        let stream = format!("{path}/stream{query}");
        let stream = server.client().get(&stream);
        let reply = within("the stream's end", DEADLINE, stream).await;
        assert_eq!(reply.status, 200, "{query}: {}", reply.text);
    }
    let delete = format!("{path}/delete");
    server.client().delete(&delete).await.expect(200);
    server.client().get(&path).await.refused(404);
}

#[tokio::test]
async fn a_flipped_byte_ends_the_next_turn_and_hides_nothing_before_it() {
    let mut server = Server::demo().await;
    for with_restart in [false, true] {
        let session = server.client().demo_session("the first of all words").await;
        session.ended().await.completed();
        for number in 0..3 {
            session.prompt(&format!("word {number}")).await;
            session.ended().await.completed();
        }
        let segment = segment(&server, &session);
        let mut bytes = fs::read(&segment).unwrap();
        let whole = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        bytes[whole / 2] ^= 0x40;
        fs::write(&segment, bytes).unwrap();
        session.prompt("once more").await;
        let failed = session.wait_for("failed").await;
        let error = failed["error"].as_str().unwrap();
        assert!(error.contains("damaged"), "{error}");
        takes_no_prompt(&server, &session).await;
        if with_restart {
            server.kill_and_start_again().await;
        }
        let session = session.at(server.client());
        assert_eq!(session.read().await["status"], "failed");
        takes_no_prompt(&server, &session).await;
        let path = format!("/sessions/{}/stream", session.id);
        let stream = within("the end", DEADLINE, server.client().get(&path)).await;
        assert!(
            stream.text.contains("the first of all words"),
            "{}",
            stream.text
        );
        is_readable_and_goes(&server, &session).await;
    }
}

#[tokio::test]
async fn a_session_without_its_folder_goes_on_in_a_new_one() {
    let mut server = Server::demo().await;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        let session = server.client().demo_session("hello").await;
        session.ended().await.completed();
        // Nothing is written there any more.
        session.checkpoint(1).await;
        fs::remove_dir_all(server.session_folder(&session.id)).unwrap();
        sessions.push(session);
    }
    sessions[0].prompt("and on").await;
    sessions[0].wait_for("completed").await;
    is_readable_and_goes(&server, &sessions[0]).await;
    is_readable_and_goes(&server, &sessions[1]).await;
    server.kill_and_start_again().await;
    is_readable_and_goes(&server, &sessions[2].at(server.client())).await;
}

/// The ids of a session's native stream, from its beginning.
async fn ids(server: &Server, session: &Session) -> Vec<u64> {
    let path = format!("/sessions/{}/stream?follow=false", session.id);
    let reply = server.client().get(&path).await;
    let ids = reply.text.lines().filter_map(|it| it.strip_prefix("id: "));
    ids.map(|id| id.parse().unwrap()).collect()
}

/// All of a session's normalized events.
async fn events(server: &Server, session: &Session) -> Vec<serde_json::Value> {
    let path = format!("/sessions/{}/events?limit=200", session.id);
    let page = server.client().get(&path).await.expect(200);
    page["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_log_that_was_cut_or_is_gone_gives_no_number_twice_and_says_so() {
    let mut server = Server::demo().await;
    let cut = |server: &Server, session: &Session, length: u64| {
        let mut file = fs::OpenOptions::new();
        let file = file.write(true).open(segment(server, session)).unwrap();
        file.set_len(length).unwrap();
    };
    for (case, with_restart) in [
        ("cut", false),
        ("cut", true),
        ("cut to its head", false),
        ("cut to nothing", false),
        ("without its log", false),
        ("without its log", true),
        ("without its folder", false),
    ] {
        let session = server.client().demo_session("the first of all words").await;
        session.ended().await.completed();
        let (given, told) = (
            ids(&server, &session).await,
            events(&server, &session).await,
        );
        let last = *given.last().unwrap();
        if with_restart {
            server.stop().await;
        }
        let folder = server.session_folder(&session.id);
        match case {
            "cut" => cut(&server, &session, 600),
            "cut to its head" => cut(&server, &session, 28),
            "cut to nothing" => cut(&server, &session, 0),
            "without its log" => fs::remove_dir_all(folder.join("log")).unwrap(),
            // The turn's checkpoint may be made in there, still.
            _ => {
                eventually("the folder goes", DEADLINE, async || {
                    fs::remove_dir_all(&folder).ok()
                })
                .await;
            }
        }
        if with_restart {
            server.start_again().await;
        }
        let session = session.at(server.client());
        let lost = |events: &[serde_json::Value]| {
            let is_lost = |event: &&serde_json::Value| event["code"] == "history.lost";
            events.iter().filter(is_lost).count()
        };
        for turn in [2, 3] {
            session.prompt("and on").await;
            session.wait_for("completed").await;
            let events = events(&server, &session).await;
            // Said in the next turn, once.
            assert_eq!(lost(&events), 1, "{case}, turn {turn}: {events:#?}");
            if case != "without its folder" {
                assert_eq!(events[..told.len()], told[..], "{case}");
            }
            let rising = |pair: &[serde_json::Value]| {
                let id = |event: &serde_json::Value| -> (u64, u64) {
                    let (entry, index) = event["id"].as_str().unwrap().split_once('.').unwrap();
                    (entry.parse().unwrap(), index.parse().unwrap())
                };
                id(&pair[0]) < id(&pair[1])
            };
            assert!(events.windows(2).all(rising), "{case}: {events:#?}");
        }
        // Who has read all of the first turn gets all of the others.
        let path = format!("/sessions/{}/stream?since={last}", session.id);
        let rest = within("the rest", DEADLINE, server.client().get(&path)).await;
        assert_eq!(
            rest.text.matches("\"type\":\"exit\"").count(),
            2,
            "{}",
            rest.text
        );
        let ids = ids(&server, &session).await;
        assert!(
            ids.windows(2).all(|pair| pair[0] < pair[1]),
            "{case}: {ids:?}"
        );
        assert!(ids.contains(&(last + 1)), "{case}: {ids:?}");
        is_readable_and_goes(&server, &session).await;
    }
    assert!(server.log().contains("has lost its end"));
}

#[tokio::test]
async fn events_that_are_gone_are_derived_again_or_said_to_be_gone() {
    let mut server = Server::demo().await;
    for with_restart in [false, true] {
        let session = server.client().demo_session("the first of all words").await;
        session.ended().await.completed();
        session.prompt("and on").await;
        session.ended().await.completed();
        let told = events(&server, &session).await;
        let folder = server.session_folder(&session.id);
        for gone in ["events/1.jsonl", "events/2.jsonl", "events"] {
            let path = folder.join(gone);
            match path.is_dir() {
                true => fs::remove_dir_all(path).unwrap(),
                false => fs::remove_file(path).unwrap(),
            }
            if with_restart {
                server.kill_and_start_again().await;
            }
            let session = session.at(server.client());
            assert_eq!(events(&server, &session).await, told, "without {gone}");
        }
        let session = session.at(server.client());
        fs::remove_dir_all(folder.join("events")).unwrap();
        fs::remove_dir_all(folder.join("log")).unwrap();
        for _ in 0..2 {
            let left = events(&server, &session).await;
            let codes: Vec<_> = left.iter().map(|event| event["code"].as_str()).collect();
            assert_eq!(codes, [Some("events.lost"); 2], "{left:#?}");
        }
        is_readable_and_goes(&server, &session).await;
    }
}

/// Checks that a session says that it takes no prompt, and keeps to that.
async fn takes_no_prompt(server: &Server, session: &Session) {
    assert_eq!(session.read().await["resumable"], false);
    let turns = session.turns().await.len();
    let path = format!("/sessions/{}/prompt", session.id);
    let body = serde_json::json!({"prompt": "again"});
    let refusal = server.client().post(&path, &body).await.refusal(409);
    assert!(refusal.contains("create another"), "{refusal}");
    assert_eq!(session.turns().await.len(), turns);
}

fn signal(process: aod_e2e::Process, signal: Signal) {
    kill_process(Pid::from_raw(process.pid).unwrap(), signal).unwrap();
}

#[tokio::test]
async fn a_supervisor_that_does_not_answer_is_killed_when_it_should_end() {
    let mut server = Server::demo().await;
    for (with_restart, by) in [(false, "terminate"), (true, "terminate")] {
        let gate = Gate::new("gate");
        let session = server.client().demo_session(&gate.step()).await;
        gate.reached(&server, &session).await;
        let tree = server.supervisor();
        signal(tree.root, Signal::STOP);
        if with_restart {
            server.kill_and_start_again().await;
        }
        let session = session.at(server.client());
        let path = format!("/sessions/{}/{by}", session.id);
        let asked = server.client().post(&path, &serde_json::Value::Null);
        within("an answer", Duration::from_secs(30), asked)
            .await
            .expect(200);
        session.wait_for("terminated").await;
        eventually("its sandbox is gone", DEADLINE, async || {
            tree.survivors().is_empty().then_some(())
        })
        .await;
        is_readable_and_goes(&server, &session).await;
    }
}

fn fifo(path: &Path) {
    let _ = fs::remove_file(path);
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

#[tokio::test]
async fn a_fifo_in_the_place_of_a_file_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let component = folder.path().join("demo.wasm");
    fs::copy(plugin("demo"), &component).unwrap();
    let runtimes = Runtimes::default().with("demo", &component, "");
    let mut server = Server::start(ServerOptions::new(runtimes.clone())).await;
    let health = async |server: &Server| {
        let runtime = server.client().get("/runtimes/demo").await.expect(200);
        runtime["health"].as_str().unwrap().to_owned()
    };
    fifo(&component);
    eventually("it is stale", DEADLINE, async || {
        (health(&server).await == "stale").then_some(())
    })
    .await;
    let reload = server
        .client()
        .post("/runtimes/reload", &serde_json::Value::Null);
    let reply = within("the reload", DEADLINE, reload).await;
    assert!(reply.text.contains("FIFO"), "{}", reply.text);
    fifo(&server.runtimes_file());
    let reload = server
        .client()
        .post("/runtimes/reload", &serde_json::Value::Null);
    within("the reload", DEADLINE, reload).await.refused(422);
    server
        .client()
        .demo_session("hello")
        .await
        .ended()
        .await
        .completed();
    server.stop().await;
    // The identity, and then the whole start.
    fs::remove_file(server.runtimes_file()).unwrap();
    server.write_runtimes(runtimes);
    let identity = server.data().join("vault/identity.txt");
    let kept = fs::read(&identity).unwrap();
    fifo(&identity);
    let refused = server.start_another().await;
    assert!(refused.contains("FIFO"), "{refused}");
    fs::remove_file(&identity).unwrap();
    fs::write(&identity, kept).unwrap();
    fs::set_permissions(&identity, fs::Permissions::from_mode(0o600)).unwrap();
    server.start_again().await;
    assert_eq!(health(&server).await, "failed");
    server.stop().await;
}
