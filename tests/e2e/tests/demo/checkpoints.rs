//! Checkpoints: what is kept of them, and that none is half made.

use aod_e2e::{DEADLINE, Gate, Runtimes, Server, ServerOptions, Session, eventually};
use reqwest::Method;
use reqwest::header::ACCEPT;
use serde_json::{Value, json};

fn options() -> ServerOptions {
    ServerOptions::new(Runtimes::demo())
}

async fn listed(session: &Session) -> Vec<Value> {
    let path = format!("/sessions/{}/checkpoints", session.id);
    let listed = session.client.get(&path).await.expect(200);
    listed["data"].as_array().unwrap().clone()
}

/// The codes of a session's notices.
async fn notices(session: &Session) -> Vec<String> {
    let path = format!("/sessions/{}/events", session.id);
    let request = session.client.request(Method::GET, &path);
    let request = request.header(ACCEPT, "application/json");
    let page = session.client.send(request).await.expect(200);
    let all = page["data"].as_array().unwrap().iter();
    all.filter_map(|event| event["code"].as_str().map(str::to_owned))
        .collect()
}

async fn metric(server: &Server, line: &str) -> u64 {
    let reply = server.client().get("/metrics").await;
    let text = reply.text.clone();
    let found = text.lines().find_map(|it| it.strip_prefix(line));
    found
        .unwrap_or_else(|| panic!("{text}"))
        .trim()
        .parse()
        .unwrap()
}

#[tokio::test]
async fn the_newest_are_kept_and_counted() {
    let server = Server::start(options().set("AOD_CHECKPOINTS__KEEP", "2")).await;
    let session = server
        .client()
        .demo_session("$ head -c 300000 /dev/zero >one")
        .await;
    session.ended().await.completed();
    for turn in 2..=4 {
        session.checkpoint(turn - 1).await.unwrap();
        session.prompt("$ head -c 200000 /dev/zero >>two").await;
        session.ended().await.completed();
    }
    session.checkpoint(4).await.unwrap();
    let all = listed(&session).await;
    let turns: Vec<_> = all.iter().map(|it| it["turn"].as_u64().unwrap()).collect();
    assert_eq!(turns, [3, 4], "{all:#?}");
    assert!(all.iter().all(|it| it["state"] == "ready"), "{all:#?}");
    let bytes = |it: &Value, key: &str| it[key].as_u64().unwrap();
    assert_eq!(bytes(&all[0], "bytes"), bytes(&all[0], "new_bytes"));
    assert!(bytes(&all[1], "bytes") > 800_000, "{all:#?}");
    let sizes = session.read().await["sizes"].clone();
    let sum = bytes(&all[0], "new_bytes") + bytes(&all[1], "new_bytes");
    assert_eq!(sizes["checkpoints"], sum, "{sizes}");
    let part = "aod_session_bytes{part=\"checkpoints\"}";
    assert_eq!(metric(&server, part).await, sum);
    assert_eq!(metric(&server, "aod_checkpoints{state=\"ready\"}").await, 2);
    let path = format!("/sessions/{}/fork", session.id);
    let reply = server.client().post(&path, &json!({"turn": 2})).await;
    let said = reply.refused(409).to_string();
    assert!(said.contains("those of turns 3, 4"), "{said}");
    let folder = server.session_folder(&session.id);
    eventually("old ones are removed", DEADLINE, async || {
        let names = std::fs::read_dir(folder.join("checkpoints")).unwrap();
        (names.count() == 2).then_some(())
    })
    .await;
    let path = format!("/sessions/{}/delete", session.id);
    server.client().delete(&path).await.expect(200);
    assert!(!folder.exists());
    assert_eq!(metric(&server, part).await, 0);
}

#[tokio::test]
async fn none_is_made_where_that_is_not_wanted() {
    let server = Server::start(options().set("AOD_CHECKPOINTS__ENABLED", "false")).await;
    let session = server.client().demo_session("one").await;
    session.ended().await.completed();
    assert!(listed(&session).await.is_empty());
    let path = format!("/sessions/{}/fork", session.id);
    let reply = server.client().post(&path, &json!({})).await;
    assert!(reply.refused(409).to_string().contains("no checkpoint"));
}

/// What cannot be kept costs no turn, and is told.
#[tokio::test]
async fn a_checkpoint_that_cannot_be_made_is_told_and_fails_nothing() {
    // A disk that is full stops the session itself where its files are in an image.
    let full = options().set("AOD_SANDBOX__DISK_BY", "watch");
    let full = full.on_a_disk_of("size=48m");
    let bounded = options().set("AOD_CHECKPOINTS__MAX_BYTES", "10MB");
    for (options, reason) in [(full, "disk is full"), (Some(bounded), "10000000 bytes")] {
        let Some(options) = options else {
            println!("skipped: mounting a tmpfs is not permitted here");
            continue;
        };
        let server = Server::start(options).await;
        let session = server
            .client()
            .demo_session("$ head -c 26000000 /dev/urandom >large")
            .await;
        session.ended().await.completed();
        let failed = session.checkpoint(1).await.unwrap();
        assert_eq!(failed["state"], "failed", "{failed}");
        let error = failed["error"].as_str().unwrap();
        assert!(error.contains(reason), "{error}");
        session.prompt("$ rm large").await;
        session.ended().await.completed();
        let told = notices(&session).await;
        assert!(told.contains(&"checkpoint.failed".to_owned()), "{told:?}");
        assert_eq!(session.checkpoint(2).await.unwrap()["state"], "ready");
        let path = format!("/sessions/{}/fork", session.id);
        let reply = server.client().post(&path, &json!({"turn": 1})).await;
        let said = reply.refused(409).to_string();
        assert!(
            said.contains(reason) && said.contains("of turn 2"),
            "{said}"
        );
    }
}

/// A session with many files, and a prompt that waits for the end of the turn that makes them: nothing
/// of them is copied by then.
async fn session_in_a_hurry(server: &Server) -> Session {
    let gate = Gate::new("made");
    // Each change of the workspace would be told.
    let make = format!("mkdir ~/many; cd ~/many; seq {MANY} | xargs touch");
    let prompt = format!("$ {make}\n{}", gate.step());
    let session = server.client().demo_session(&prompt).await;
    gate.reached(server, &session).await;
    let body = json!({"prompt": "$ echo 2 >two", "when_busy": "queue"});
    session.prompt_with(&body).await;
    gate.open(server, &session);
    session
}

/// Waits for the end of both its turns.
async fn both_ended(session: &Session) {
    eventually("both turns have ended", DEADLINE, async || {
        let turns = session.turns().await;
        let completed = turns.iter().filter(|turn| turn["outcome"] == "completed");
        (completed.count() == 2).then_some(())
    })
    .await;
}

const MANY: usize = 20_000;

async fn is_whole(session: &Session, server: &Server) {
    let made = session.checkpoint(2).await.unwrap();
    assert_eq!(made["state"], "ready", "{made}");
    let copy = session.fork(&json!({"turn": 2})).await;
    copy.wait_for("completed").await;
    let many = server.session_files(&copy.id).join("home/many");
    assert_eq!(std::fs::read_dir(many).unwrap().count(), MANY);
    let two = server.workspace_file(&copy.id, "two");
    assert_eq!(two.as_deref(), Some("2\n"));
}

#[tokio::test]
async fn a_prompt_goes_before_a_copy_that_takes_too_long() {
    let hurry = || options().set("AOD_CHECKPOINTS__WAIT", "0s");
    let server = Server::start(hurry()).await;
    let session = session_in_a_hurry(&server).await;
    both_ended(&session).await;
    let told = notices(&session).await;
    assert_eq!(told, ["checkpoint.failed"]);
    let all = listed(&session).await;
    assert_eq!(all[0]["state"], "failed", "{all:?}");
    let error = all[0]["error"].as_str().unwrap();
    assert!(error.contains("the next prompt came"), "{error}");
    is_whole(&session, &server).await;
    let checkpoints = server.session_folder(&session.id).join("checkpoints");
    eventually("what was not finished is removed", DEADLINE, async || {
        let names = std::fs::read_dir(&checkpoints).unwrap();
        let names: Vec<_> = names.map(|it| it.unwrap().file_name()).collect();
        (names == ["2"]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_copy_that_is_broken_off_where_the_server_dies_is_made_whole() {
    let hurry = || options().set("AOD_CHECKPOINTS__WAIT", "0s");
    let failing = hurry().set("AOD_FAILPOINT", "checkpoint.unfinished");
    let mut server = Server::start(failing).await;
    let session = session_in_a_hurry(&server).await;
    server.died().await;
    server.start_again_with(options()).await;
    let session = session.at(server.client());
    both_ended(&session).await;
    is_whole(&session, &server).await;
}

/// The server dies at each step of each thing that is done with checkpoints.
#[tokio::test]
async fn nothing_half_made_is_used() {
    let checkpoint = [
        "checkpoint.copied",
        "checkpoint.placed",
        "checkpoint.synced",
    ];
    let restore = [
        "replacement.copied",
        "replacement.noted",
        "replacement.half",
    ];
    let mut server = Server::start(options()).await;
    let read = |server: &Server, session: &Session| {
        server
            .workspace_file(&session.id, "file")
            .unwrap_or_default()
    };
    let mut session = server.client().demo_session("$ echo 1 >file").await;
    session.ended().await.completed();
    session.checkpoint(1).await.unwrap();
    for (turn, step) in (2..).zip(checkpoint) {
        server.kill();
        server
            .start_again_with(options().set("AOD_FAILPOINT", step))
            .await;
        session = session.at(server.client());
        session.prompt(&format!("$ echo {turn} >file")).await;
        server.died().await;
        server.start_again_with(options()).await;
        session = session.at(server.client());
        // It is made of what the turn left, though the server died.
        let made = session.checkpoint(turn).await.unwrap();
        assert_eq!(made["state"], "ready", "{step}: {made}");
        let copy = session.fork(&json!({"turn": turn})).await;
        copy.wait_for("completed").await;
        // The next start must not find it to be made.
        copy.checkpoint(0).await.unwrap();
        assert_eq!(read(&server, &copy), format!("{turn}\n"), "{step}");
        session.wait_for("completed").await;
    }
    for (step, is_done) in restore.into_iter().zip([false, true, true]) {
        server.kill();
        server
            .start_again_with(options().set("AOD_FAILPOINT", step))
            .await;
        session = session.at(server.client());
        let path = format!("/sessions/{}/restore", session.id);
        let request = session
            .client
            .request(Method::POST, &path)
            .json(&json!({"turn": 1}));
        assert!(session.client.try_send(request).await.is_err(), "{step}");
        server.died().await;
        server.start_again_with(options()).await;
        session = session.at(server.client());
        let restored = session.read().await;
        assert_eq!(restored.get("restored_to").is_some(), is_done, "{step}");
        if !is_done {
            assert_eq!(read(&server, &session), "4\n", "{step}");
            continue;
        }
        eventually("its files are in place", DEADLINE, async || {
            (read(&server, &session) == "1\n").then_some(())
        })
        .await;
        session.prompt("$ cat file >seen; echo 3 >file").await;
        session.ended().await.completed();
        assert_eq!(
            server.workspace_file(&session.id, "seen").unwrap(),
            "1\n",
            "{step}"
        );
    }
    // A copy that was begun is no session, and nothing is left of it.
    server.kill();
    server
        .start_again_with(options().set("AOD_FAILPOINT", "copy.half"))
        .await;
    session = session.at(server.client());
    let before = std::fs::read_dir(server.data().join("sessions"))
        .unwrap()
        .count();
    let path = format!("/sessions/{}/fork", session.id);
    let request = session
        .client
        .request(Method::POST, &path)
        .json(&json!({"turn": 1}));
    assert!(session.client.try_send(request).await.is_err());
    server.died().await;
    server.start_again_with(options()).await;
    let folders = std::fs::read_dir(server.data().join("sessions")).unwrap();
    assert_eq!(folders.count(), before);
    session = session.at(server.client());
    session
        .fork(&json!({"turn": 1}))
        .await
        .wait_for("completed")
        .await;
    session.prompt("on").await;
    session.ended().await.completed();
}
