//! What a turn has changed in its workspace.

use aod_e2e::{Gate, GitServer, Runtimes, Server, ServerOptions, Session};
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
