//! What a turn has changed in its workspace.

use aod_e2e::{Gate, GitServer, Runtimes, Server, ServerOptions, Session, check_events};
use reqwest::Method;
use reqwest::header::ACCEPT;
use serde_json::{Value, json};

async fn changes(session: &Session, query: &str) -> Value {
    let path = format!("/sessions/{}/changes{query}", session.id);
    session.client.get(&path).await.expect(200)
}

/// What is told: paths with what happened to them.
fn told(changes: &Value) -> Vec<(&str, &str)> {
    let files = changes["data"].as_array().unwrap().iter();
    let told = files.map(|file| {
        (
            file["path"].as_str().unwrap(),
            file["kind"].as_str().unwrap(),
        )
    });
    // What the demo agent itself leaves.
    told.filter(|(path, _)| !path.starts_with("demo-"))
        .collect()
}

async fn turn(session: &Session, prompt: &str) {
    session.prompt(prompt).await;
    session.ended().await.completed();
}

#[tokio::test]
async fn each_turn_has_its_changes_with_diffs() {
    let server = Server::demo().await;
    let client = server.client();
    let session = client
        .demo_session("$ mkdir src; printf 'one\\ntwo\\n' >src/a; printf 'x' >b; git init -q r")
        .await;
    session.ended().await.completed();
    turn(
        &session,
        "$ printf 'one\\n2\\n' >src/a; rm b; head -c 9 /dev/zero >c; chmod 700 src/a",
    )
    .await;
    turn(&session, "$ true").await;

    let first = changes(&session, "?turn=1").await;
    assert_eq!(first["since"], Value::Null, "{first}");
    assert_eq!(told(&first), [("b", "created"), ("src/a", "created")]);
    let second = changes(&session, "?turn=2").await;
    assert_eq!(second["since"], 1, "{second}");
    assert_eq!(second["truncated"], false, "{second}");
    assert_eq!(
        told(&second),
        [("b", "deleted"), ("c", "created"), ("src/a", "modified")]
    );
    let file = |path: &str| {
        let mut files = second["data"].as_array().unwrap().iter();
        files.find(|file| file["path"] == path).unwrap()
    };
    assert_eq!(
        file("src/a")["diff"],
        "--- a/src/a\n+++ b/src/a\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n"
    );
    assert_eq!(file("c").get("diff"), None);
    assert_eq!(file("c")["size"], 9);
    assert_eq!(file("b").get("size"), None);
    let last = changes(&session, "").await;
    assert_eq!((&last["turn"], told(&last)), (&json!(3), Vec::new()));

    // After the session was taken back, a turn is compared with the one that it went on from.
    let path = format!("/sessions/{}/restore", session.id);
    client.post(&path, &json!({"turn": 1})).await.expect(200);
    turn(&session, "$ echo more >>b").await;
    let fourth = changes(&session, "").await;
    assert_eq!(fourth["since"], 1, "{fourth}");
    assert_eq!(told(&fourth), [("b", "modified")]);
}

#[tokio::test]
async fn what_cannot_be_compared_is_said() {
    let options = ServerOptions::new(Runtimes::demo()).set("AOD_CHECKPOINTS__KEEP", 2);
    let server = Server::start(options).await;
    let client = server.client();
    let gate = Gate::new("gate");
    let session = client.demo_session("$ echo x >a").await;
    session.ended().await.completed();
    turn(&session, "$ echo x >b").await;
    turn(&session, "$ echo x >c").await;
    let path = format!("/sessions/{}/changes", session.id);
    assert_eq!(told(&changes(&session, "").await), [("c", "created")]);
    // That of turn 1 is not kept.
    let refused = client.get(&format!("{path}?turn=2")).await.refusal(409);
    assert!(refused.contains('1'), "{refused}");
    client.get(&format!("{path}?turn=4")).await.refused(404);
    client.get(&format!("{path}?turn=0")).await.refused(422);
    session.prompt(&gate.step()).await;
    gate.reached(&server, &session).await;
    client.get(&format!("{path}?turn=4")).await.refused(409);
    assert_eq!(changes(&session, "").await["turn"], 3);
    gate.open(&server, &session);
    session.ended().await.completed();
    let other = server.add_user("other");
    other.get(&path).await.refused(404);
}

#[tokio::test]
async fn what_was_cloned_is_no_change_of_the_first_turn() {
    let git = GitServer::https();
    let repository = git.repository("o/r.git");
    repository.commit(&[("cloned", "one\n")]);
    let options =
        ServerOptions::new(Runtimes::demo()).set("AOD_EGRESS__CA_FILE", git.authority().display());
    let server = Server::start(options).await;
    let client = server.client();
    let agent = client.demo_agent().await;
    let resources = json!([{"type": "git_repository", "url": git.url("o/r.git")}]);
    let body = json!({"agent_id": agent, "prompt": "$ echo own >own", "resources": resources});
    let session = client.create_session(&body).await;
    session.ended().await.completed();
    assert_eq!(told(&changes(&session, "").await), [("own", "created")]);
    turn(
        &session,
        "$ echo two >>r/cloned; git -C r -c user.name=a -c user.email=a@b commit -qam x",
    )
    .await;
    assert_eq!(
        told(&changes(&session, "").await),
        [("r/cloned", "modified")]
    );
}

/// The files of which a turn's events tell, with whether the server saw them itself; and that the
/// turn's result is what it tells last.
async fn seen(session: &Session, turn: u64) -> Vec<(String, String, bool)> {
    let path = format!("/sessions/{}/events", session.id);
    let request = session.client.request(Method::GET, &path);
    let request = request.header(ACCEPT, "application/json");
    let page = session.client.send(request).await.expect(200);
    let events = page["data"].as_array().unwrap();
    check_events(events);
    let events: Vec<_> = events.iter().filter(|it| it["turn"] == turn).collect();
    assert_eq!(events.last().unwrap()["type"], "turn.result", "{events:#?}");
    let results = events.iter().filter(|it| it["type"] == "turn.result");
    assert_eq!(results.count(), 1, "{events:#?}");
    let files = events.iter().filter(|it| it["type"] == "file.change");
    let text = |event: &Value, key: &str| event[key].as_str().unwrap().to_owned();
    files
        .map(|it| {
            let is_seen = it.get("seen_by_host") == Some(&json!(true));
            (text(it, "path"), text(it, "kind"), is_seen)
        })
        .collect()
}

fn is(path: &str, kind: &str, is_seen: bool) -> (String, String, bool) {
    (path.to_owned(), kind.to_owned(), is_seen)
}

/// What a CLI does by its shell it tells nobody; the demo agent tells of one file of its own.
#[tokio::test]
async fn what_the_cli_does_not_tell_is_told_by_the_server() {
    let server = Server::demo().await;
    let client = server.client();
    let key = "sesame-open-4711-very-secret";
    let agent = client.demo_agent().await;
    let environment = json!({
        "name": "e", "env_vars": {"KEY": key},
        "setup_script": "cd /workspace; echo one >kept; echo two >gone; mkdir d; echo x >d/moved",
    });
    let environment = client.create_environment(&environment).await;
    let prompt = "$ echo 1 >>kept; rm gone; mv d e; echo \"$KEY\" >own";
    let body = json!({"agent_id": agent, "environment_id": environment, "prompt": prompt});
    let session = client.create_session(&body).await;
    session.ended().await.completed();
    let first = [
        is("d/moved", "deleted", true),
        is("e/moved", "created", true),
        is("gone", "deleted", true),
        is("kept", "modified", true),
        is("own", "created", true),
    ];
    assert_eq!(seen(&session, 1).await, first);
    let path = format!("/sessions/{}/events", session.id);
    let request = client
        .request(Method::GET, &path)
        .header(ACCEPT, "application/json");
    let page = client.send(request).await.expect(200);
    let diff = |path: &str| {
        let mut events = page["data"].as_array().unwrap().iter();
        let event = events.find(|it| it["type"] == "file.change" && it["path"] == path);
        event.unwrap()["diff"].as_str().unwrap().to_owned()
    };
    let kept = "--- a/kept\n+++ b/kept\n@@ -1 +1,2 @@\n one\n+1\n";
    assert_eq!(diff("kept"), kept);
    let own = diff("own");
    assert!(
        own.contains("[redacted:KEY]") && !own.contains(key),
        "{own}"
    );
    // The page has the same, compared with what provisioning left.
    let told_by_page: Vec<_> = changes(&session, "?turn=1").await["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["path"].as_str().unwrap().to_owned())
        .collect();
    let paths: Vec<_> = first.iter().map(|it| it.0.clone()).collect();
    assert_eq!(told_by_page, paths);

    // What others put there between turns is not the turn's.
    let upload = format!("/sessions/{}/files/uploaded", session.id);
    let request = client.request(Method::PUT, &upload).body("x");
    client.send(request).await.expect(201);
    turn(&session, "$ echo 2 >>kept").await;
    assert_eq!(seen(&session, 2).await, [is("kept", "modified", true)]);
    // What the CLI tells itself is not told twice.
    turn(&session, "hello there").await;
    let third = seen(&session, 3).await;
    assert!(third.iter().all(|(.., is_seen)| !is_seen), "{third:?}");
    assert_eq!(third.len(), 1, "{third:?}");
}

/// A host that dies in the turn, and one that dies behind it, change nothing about it.
#[tokio::test]
async fn what_was_seen_is_told_once_whatever_dies() {
    let options = ServerOptions::new(Runtimes::demo());
    let mut server = Server::start(options).await;
    let gate = Gate::new("gate");
    let key = "sesame-open-4711-very-secret";
    let secret = format!("$ echo {key} >own; {}; rm gate.*", gate.command());
    let agent = server.client().demo_agent().await;
    let body = json!({
        "agent_id": agent, "prompt": "one", "secret_env_vars": {"KEY": key},
    });
    let session = server.client().create_session(&body).await;
    session.ended().await.completed();
    session.prompt(&secret).await;
    gate.reached(&server, &session).await;
    server.kill();
    gate.open(&server, &session);
    server.start_again().await;
    let session = session.at(server.client());
    session.ended().await.completed();
    let told = [is("own", "created", true)];
    assert_eq!(seen(&session, 2).await, told);
    server.kill();
    server.start_again().await;
    let session = session.at(server.client());
    assert_eq!(seen(&session, 2).await, told);
    // Where the events are gone, what was seen is still known.
    let events = server.session_folder(&session.id).join("events");
    let stored = std::fs::read_to_string(events.join("2.jsonl")).unwrap();
    assert!(!stored.contains(key), "{stored}");
    std::fs::remove_file(events.join("2.jsonl")).unwrap();
    assert_eq!(seen(&session, 2).await, told);
    let again = std::fs::read_to_string(events.join("2.jsonl")).unwrap();
    assert_eq!(again, stored);
}
