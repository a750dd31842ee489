//! `aod backup`, `aod restore` and `aod upgrade check`.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aod_e2e::{DEADLINE, Process, Runtimes, Server, ServerOptions, Session, eventually};
use serde_json::{Value, json};

use crate::{Said, aod, spawn};

/// All of a session's events, page by page.
async fn events(session: &Session) -> Vec<Value> {
    let mut events = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("/sessions/{}/events?limit=200{after}", session.id);
        let page = session.client.get(&path).await.expect(200);
        events.extend(page["data"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return events,
        }
    }
}

/// What a server has by now, as of its data folder.
fn put_back(server: &Server, backup: &Path) -> Said {
    aod(server, &["restore", backup.to_str().unwrap()])
}

#[tokio::test]
async fn a_backup_under_load_becomes_a_server_on_which_all_sessions_replay_and_all_secrets_open() {
    let options = ServerOptions::new(Runtimes::demo()).set("AOD_LIMITS__SESSIONS_PER_USER", 100);
    let mut server = Server::start(options).await;
    let client = server.client().clone();
    let secret = json!({"value": "a secret of the test"});
    client
        .put("/credentials/env:OF_THE_TEST", &secret)
        .await
        .expect(200);
    let ended = client.demo_session("hello").await;
    ended.ended().await.completed();
    ended.prompt("$ echo kept > kept.txt").await;
    ended.ended().await.completed();
    let told = events(&ended).await;
    let running = client
        .demo_session("$ echo begun; while :; do echo line; sleep 0.01; done")
        .await;
    running.wait_for("running").await;
    // Sessions begin, end and are deleted meanwhile.
    let is_done = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn({
        let (client, is_done) = (client.clone(), is_done.clone());
        async move {
            let agent = client.demo_agent().await;
            let mut made = Vec::new();
            while !is_done.load(Ordering::Relaxed) {
                let body = json!({"agent_id": agent, "prompt": "hello"});
                let session = client.create_session(&body).await;
                session.ended().await.completed();
                made.push(session);
                if made.len() % 3 == 0 {
                    let id = made.remove(0).id;
                    client
                        .delete(&format!("/sessions/{id}/delete"))
                        .await
                        .expect(200);
                }
            }
            made.len()
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup");
    let mut command = server.command(&["backup", backup.to_str().unwrap(), "--workspaces"]);
    command.args(["--identity", "--json"]);
    let mut command = tokio::process::Command::from(command);
    let manifest = Said::of(command.output().await.unwrap()).json();
    is_done.store(true, Ordering::Relaxed);
    assert!(load.await.unwrap() > 0);
    assert_eq!(
        (&manifest["workspaces"], &manifest["identity"]),
        (&json!(true), &json!(true))
    );

    // Nothing is left but the backup.
    let supervisors = server.supervisors();
    server.kill();
    for tree in supervisors {
        tree.root.kill();
        eventually("it has ended", DEADLINE, async || {
            tree.survivors().is_empty().then_some(())
        })
        .await;
    }
    fs::remove_dir_all(server.data()).unwrap();
    let said = put_back(&server, &backup);
    assert!(said.stderr.contains("aod vault verify"), "{said:#?}");
    said.good();
    assert!(
        aod(&server, &["upgrade", "check"])
            .good()
            .contains("as it is")
    );
    let verified = aod(&server, &["vault", "verify", "--json"]).json();
    assert!(verified["opened"].as_u64().unwrap() > 0, "{verified}");
    server.start_again().await;

    let listed = server.client().get("/sessions").await.expect(200);
    let listed = listed["data"].as_array().unwrap().clone();
    assert_eq!(json!(listed.len()), manifest["sessions"]);
    for session in &listed {
        let session = Session {
            client: server.client().clone(),
            id: session["id"].as_str().unwrap().to_owned(),
        };
        // To its terminal event, its ids without a gap.
        let ended = session.ended().await;
        let told = events(&session).await;
        assert!(!told.is_empty(), "{}", session.id);
        // A turn that ran at that moment has failed with its machine.
        let error = ended.session["error"].as_str().unwrap_or_default();
        let is_lost = error.contains("watched over this turn died");
        if session.id != running.id && !is_lost {
            assert_eq!(ended.session["status"], "completed", "{}", ended.session);
        }
    }
    let (ended, running) = (ended.at(server.client()), running.at(server.client()));
    assert_eq!(events(&ended).await, told);
    // What ran has failed with the machine, and goes on; so does what was in the workspace.
    assert_eq!(running.read().await["status"], "failed");
    for (session, prompt) in [(&running, "hello again"), (&ended, "$ cat kept.txt")] {
        session.prompt(prompt).await;
        session.ended().await.completed();
    }
    let output = events(&ended).await;
    let kept = output.iter().any(|event| {
        event["output"]
            .as_str()
            .is_some_and(|it| it.contains("kept"))
    });
    assert!(kept, "{output:#?}");
}

#[tokio::test]
async fn a_backup_that_was_cut_short_or_changed_is_never_taken_for_a_whole_one() {
    let mut server = Server::demo().await;
    let client = server.client().clone();
    let secret = json!({"value": "a secret of the test"});
    client
        .put("/credentials/env:OF_THE_TEST", &secret)
        .await
        .expect(200);
    let session = client.demo_session("hello").await;
    session.ended().await.completed();
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup");
    let into = backup.to_str().unwrap();
    // So much that there is time to kill it.
    let filler = server.session_folder(&session.id).join("attachments");
    fs::create_dir_all(&filler).unwrap();
    fs::write(filler.join("big"), vec![b'x'; 8 << 20]).unwrap();
    let partial = folder.path().join("backup.partial");
    let mut was_cut = false;
    for _ in 0..20 {
        let mut child = spawn(&mut server.command(&["backup", into]));
        let process = Process::find(i32::try_from(child.id()).unwrap());
        eventually("it has begun", DEADLINE, async || {
            (partial.exists() || backup.exists()).then_some(())
        })
        .await;
        process.into_iter().for_each(Process::kill);
        was_cut = !child.wait().unwrap().success();
        if was_cut {
            break;
        }
        fs::remove_dir_all(&backup).unwrap();
    }
    assert!(was_cut && !backup.exists());
    let elsewhere = folder.path().join("data");
    let elsewhere = elsewhere.to_str().unwrap();
    for cut in [into, partial.to_str().unwrap()] {
        let said = aod(&server, &["restore", cut, "--data", elsewhere]).failed(1);
        assert!(said.contains("no whole backup"), "{said}");
    }
    // What is in it by now is anybody's work, and deeper than a recursion goes.
    let nest = "for (1..30000) { mkdir \"d\" or die; chdir \"d\" or die }";
    let mut perl = std::process::Command::new("perl");
    let nested = perl.args(["-e", nest]).current_dir(&partial).status();
    assert!(nested.unwrap().success());
    aod(&server, &["backup", into]).good();
    assert!(!partial.exists());
    assert!(
        aod(&server, &["backup", into])
            .failed(1)
            .contains("not empty")
    );
    let data = server.data();
    let said = aod(
        &server,
        &["restore", into, "--data", data.to_str().unwrap()],
    )
    .failed(1);
    assert!(said.contains("not empty"), "{said}");
    let nowhere = folder.path().join("nowhere");
    let said = aod(
        &server,
        &["backup", into, "--data", nowhere.to_str().unwrap()],
    )
    .failed(1);
    assert!(said.contains("--data"), "{said}");

    // A file that is another, one that is gone, and one that is too new.
    let file = backup
        .join("sessions")
        .join(&session.id)
        .join("attachments/big");
    let whole = fs::read(&file).unwrap();
    let mut changed = whole.clone();
    changed[1 << 20] ^= 1;
    fs::write(&file, changed).unwrap();
    let restore = ["restore", into, "--data", elsewhere];
    assert!(aod(&server, &restore).failed(1).contains("damaged"));
    fs::remove_file(&file).unwrap();
    assert!(aod(&server, &restore).failed(1).contains("missing"));
    fs::write(&file, whole).unwrap();
    let manifest = backup.join("backup.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("\"schema\": ", "\"schema\": 9")).unwrap();
    assert!(aod(&server, &restore).failed(1).contains("newer"));
    fs::write(&manifest, text).unwrap();
    assert!(!Path::new(elsewhere).exists());

    // Secrets are sealed in it, and the server says what is missing.
    server.stop().await;
    fs::rename(server.data(), folder.path().join("before")).unwrap();
    let said = put_back(&server, &backup);
    assert!(said.stderr.contains("identity.txt"), "{said:#?}");
    said.good();
    let refused = server.start_another().await;
    assert!(refused.contains("identity"), "{refused}");
    let identity = folder.path().join("before/vault/identity.txt");
    fs::copy(identity, server.data().join("vault/identity.txt")).unwrap();
    server.start_again().await;
    aod(&server, &["vault", "verify"]).good();
    let shown = aod(&server, &["session", "logs", &session.id]).good();
    assert!(shown.contains("hello"), "{shown}");
    // Its files are in no such backup, and nothing pretends that they are.
    let shown = aod(&server, &["session", "show", &session.id, "--json"]).json();
    assert_eq!(shown["resumable"], false, "{shown}");
    aod(&server, &["session", "prompt", &session.id, "more"]).failed(75);
    aod(&server, &["session", "fork", &session.id]).failed(75);
}

#[tokio::test]
async fn what_is_too_new_or_not_all_there_is_not_taken_over() {
    let mut server = Server::demo().await;
    assert!(
        aod(&server, &["upgrade", "check"])
            .good()
            .contains("as it is")
    );
    server.stop().await;
    let database = rusqlite::Connection::open(server.data().join("aod.db")).unwrap();
    let version: i64 = database
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    database
        .pragma_update(None, "user_version", version - 1)
        .unwrap();
    assert!(
        aod(&server, &["upgrade", "check"])
            .good()
            .contains("take a backup first")
    );
    database
        .pragma_update(None, "user_version", version + 1)
        .unwrap();
    let check = aod(&server, &["upgrade", "check", "--json"]);
    assert_eq!(check.code, Some(1));
    let check: Value = serde_json::from_str(&check.stdout).unwrap();
    assert_eq!(check["can_take_over"], false);
    assert!(
        check["problems"][0].as_str().unwrap().contains("newer"),
        "{check}"
    );
    database
        .pragma_update(None, "user_version", version)
        .unwrap();
    drop(database);
    fs::write(server.data().join("restore-incomplete"), "").unwrap();
    assert_eq!(aod(&server, &["upgrade", "check"]).code, Some(1));
    assert!(server.start_another().await.contains("aod restore"));
}
