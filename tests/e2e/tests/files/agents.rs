//! Files while an agent works, and when it is done for good.

use aod_e2e::{DEADLINE, Runtimes, Server, ServerOptions, eventually};
use reqwest::Method;
use serde_json::json;

async fn server() -> Server {
    Server::start(ServerOptions::new(Runtimes::demo().with_raw())).await
}

#[tokio::test]
async fn files_come_and_go_while_a_turn_runs() {
    let server = server().await;
    let client = server.client();
    let script = "echo from-agent >out; while ! test -e in/go; do sleep 0.05; done; cat in/go";
    let session = client.raw_session(script).await;
    session.wait_for("running").await;
    let at = |path: &str| format!("/sessions/{}/files/{path}", session.id);
    eventually("the agent's file is there", DEADLINE, async || {
        let reply = client.get(&at("out")).await;
        (reply.status == 200 && reply.text == "from-agent\n").then_some(())
    })
    .await;
    let put = client
        .request(Method::PUT, &at("in/go"))
        .body("from-user\n");
    client.send(put).await.expect(201);
    let ended = session.ended().await.completed();
    assert!(ended.stdout().contains("from-user"), "{}", ended.stdout());
    // The sandbox's user owns what was uploaded.
    session
        .prompt("test -O in/go && test -O in && echo mine; rm -r in")
        .await;
    let ended = session.ended().await.completed();
    assert!(
        ended.last_stdout().contains("mine"),
        "{}",
        ended.last_stdout()
    );
}

#[tokio::test]
async fn what_an_agent_makes_in_its_sandbox_is_shown_and_not_followed() {
    let server = server().await;
    let client = server.client();
    let script = "ln -s /etc/passwd a; ln -s /workspace b; ln -s ../home c; mkfifo d; \
                  echo closed >e; chmod 0 e; mkdir f; echo in >f/g; chmod 0 f; ln -s b/f/g h";
    let session = client.raw_session(script).await;
    session.ended().await.completed();
    let at = |path: &str| format!("/sessions/{}/files{path}", session.id);
    let listed = client.get(&at("?recursive=true")).await.expect(200);
    let entries = listed["data"].as_array().unwrap();
    let kinds: Vec<String> = entries
        .iter()
        .map(|it| {
            format!(
                "{} {}",
                it["path"].as_str().unwrap(),
                it["type"].as_str().unwrap()
            )
        })
        .collect();
    let expected = [
        "a symlink",
        "b symlink",
        "c symlink",
        "d other",
        "e file",
        "f folder",
        "f/g file",
        "h symlink",
    ];
    assert_eq!(kinds, expected);
    for path in ["a", "b", "b/f/g", "c", "d", "h"] {
        client.get(&at(&format!("/{path}"))).await.refused(409);
    }
    client.get(&at("?format=tar")).await;
    client.delete(&at("/f")).await.expect(200);
    client.delete(&at("/e")).await.expect(200);
}

#[tokio::test]
async fn a_session_that_is_over_keeps_its_files() {
    let server = server().await;
    let client = server.client();
    let session = client.raw_session("echo kept >file; sleep 60").await;
    let at = |path: &str| format!("/sessions/{}/files/{path}", session.id);
    eventually("the file is there", DEADLINE, async || {
        let reply = client.get(&at("file")).await;
        (reply.status == 200 && reply.text == "kept\n").then_some(())
    })
    .await;
    client
        .post_empty(&format!("/sessions/{}/terminate", session.id))
        .await
        .expect(200);
    assert_eq!(client.get(&at("file")).await.text, "kept\n");
    let rename = client.post(&at("file"), &json!({"to": "moved"})).await;
    rename.expect(200);
    let failed = client.raw_session("echo left >file; exit 3").await;
    failed.ended().await.failed();
    let path = format!("/sessions/{}/files/file", failed.id);
    assert_eq!(client.get(&path).await.text, "left\n");
    client
        .delete(&format!("/sessions/{}/delete", failed.id))
        .await
        .expect(200);
    client.get(&path).await.refused(404);
}

#[tokio::test]
async fn a_session_says_what_it_takes_of_the_disk() {
    let server = server().await;
    let client = server.client();
    let session = client.raw_session("echo").await;
    let before = session.ended().await.completed().session["sizes"].clone();
    assert_eq!(before["partial"], false, "{before}");
    assert!(before["log"].as_u64().unwrap() > 0, "{before}");
    let script = "head -c 3000000 /dev/urandom >big; head -c 1000000 /dev/urandom >$HOME/big; \
                  truncate -s 1G sparse";
    session.prompt(script).await;
    let after = session.ended().await.completed().session["sizes"].clone();
    let grown = |part: &str| after[part].as_u64().unwrap() - before[part].as_u64().unwrap();
    assert!(
        (3_000_000..4_000_000).contains(&grown("workspace")),
        "{after}"
    );
    assert!((1_000_000..2_000_000).contains(&grown("home")), "{after}");
    let metrics = client.get("/metrics").await.text;
    let line = format!(
        "aod_session_bytes{{part=\"workspace\"}} {}",
        after["workspace"]
    );
    assert!(metrics.contains(&line), "{metrics}");
}

#[tokio::test]
async fn files_are_used_from_the_command_line() {
    let server = server().await;
    let script = "mkdir made; printf x >\"$(printf 'a\\033b')\"";
    let session = server.client().raw_session(script).await;
    session.ended().await.completed();
    let folder = tempfile::tempdir().unwrap();
    let aod = |arguments: &[&str]| {
        let mut all = vec!["session", "files", arguments[0], &session.id];
        all.extend(&arguments[1..]);
        let output = server
            .command(&all)
            .current_dir(folder.path())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.success(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    std::fs::write(folder.path().join("own file"), "own").unwrap();
    assert!(aod(&["put", "own file", "made/thäre"]).0);
    let (done, listed, _) = aod(&["ls", "--recursive"]);
    assert!(done && listed.contains("made/thäre"), "{listed}");
    assert!(
        listed.contains("a\\u{1b}b") && !listed.contains('\u{1b}'),
        "{listed}"
    );
    assert_eq!(aod(&["get", "made/thäre", "-"]).1, "own");
    assert!(aod(&["mv", "made/thäre", "moved"]).0);
    assert!(aod(&["get", "moved"]).0);
    assert_eq!(std::fs::read(folder.path().join("moved")).unwrap(), b"own");
    assert!(aod(&["get", "made"]).0);
    assert!(aod(&["put", "made.tar", "copied", "--unpack"]).0);
    assert!(aod(&["rm", "moved"]).0);
    let (done, _, said) = aod(&["rm", "moved"]);
    assert!(!done && said.contains("there is nothing at"), "{said}");
    let (done, _, said) = aod(&["get", "../x", "-"]);
    assert!(
        !done && said.contains("relative to the workspace"),
        "{said}"
    );
}
