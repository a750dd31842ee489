//! Copies of sessions, and sessions that are taken back.

use aod_e2e::{Client, Gate, Server, Session};
use reqwest::Method;
use serde_json::{Value, json};

/// Shows what the demo agent remembers of its prompts.
const MEMORY: &str = "cat $HOME/.demo/prompts";

/// A session with so many turns, each of which leaves a file of its own.
async fn session_of(client: &Client, turns: u32) -> Session {
    let session = client.demo_session("$ echo 1 >1.txt").await;
    // Queued, so that each turn is begun at the end of the one before it.
    for turn in 2..=turns {
        let body = json!({"prompt": format!("$ echo {turn} >{turn}.txt"), "when_busy": "queue"});
        session.prompt_with(&body).await;
    }
    while session.read().await["turn_count"] != turns {
        session.wait_for("completed").await;
    }
    session.wait_for("completed").await;
    session
}

/// The turns whose files a workspace has.
fn files(server: &Server, session: &Session) -> Vec<u32> {
    let has = |turn: &u32| {
        let name = format!("{turn}.txt");
        server.workspace_file(&session.id, &name).is_some()
    };
    (1..=9).filter(has).collect()
}

#[tokio::test]
async fn a_copy_is_what_the_session_was_and_both_go_on() {
    let server = Server::demo().await;
    let client = server.client();
    let session = session_of(client, 5).await;
    for turn in [2, 4] {
        let copy = session
            .fork(&json!({"turn": turn, "prompt": format!("$ echo 9 >9.txt; {MEMORY}")}))
            .await;
        let ended = copy.ended().await.completed();
        let expected: Vec<u32> = (1..=turn).chain([9]).collect();
        assert_eq!(files(&server, &copy), expected);
        let from = json!({"session_id": session.id, "turn": turn});
        assert_eq!(ended.session["forked_from"], from);
        assert_eq!(ended.session["turn_count"], 1);
        // It remembers what it was asked before, in the session that it is a copy of.
        let said = ended.stdout();
        assert!(said.contains(&format!("echo {turn} ")), "{said}");
        assert!(!said.contains(&format!("echo {} ", turn + 1)), "{said}");
    }
    assert_eq!(files(&server, &session), [1, 2, 3, 4, 5]);
    session.prompt("$ echo 6 >6.txt").await;
    session.ended().await.completed();

    // Nothing is asked: it waits. It is of the last turn where nothing is said.
    let copy = session.fork(&json!({"title": "waits"})).await;
    let waits = copy.wait_for("completed").await;
    assert_eq!(waits["turn_count"], 0);
    assert_eq!(waits["title"], "waits");
    assert_eq!(waits["forked_from"]["turn"], 6);
    assert_eq!(files(&server, &copy), [1, 2, 3, 4, 5, 6]);
    copy.prompt("$ echo 7 >7.txt").await;
    copy.ended().await.completed();
    // A copy of a copy, after the first one is gone.
    let path = format!("/sessions/{}/delete", session.id);
    client.delete(&path).await.expect(200);
    let second = copy.fork(&json!({"prompt": "$ echo 8 >8.txt"})).await;
    second.ended().await.completed();
    assert_eq!(files(&server, &second), [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[tokio::test]
async fn a_copy_has_the_sessions_secrets_and_settings() {
    let server = Server::demo().await;
    let client = server.client();
    let script = "echo LEFT=from-the-script >>$AOD_ENV";
    let environment = json!({"name": "set", "setup_script": script});
    let environment = client.create_environment(&environment).await;
    let check = "test \"$SECRET\" = a-secret-of-the-session && test \"$LEFT\" = from-the-script \
                 && test \"$OPEN\" = open && echo >given";
    let body = json!({
        "agent_id": client.demo_agent().await, "prompt": "hello", "environment_id": environment,
        "secret_env_vars": {"SECRET": "a-secret-of-the-session"}, "vars": {"OPEN": "open"},
        "metadata": {"team": "blue"}, "timeout": 77,
    });
    let session = client.create_session(&body).await;
    session.ended().await.completed();
    let copy = session.fork(&json!({"prompt": format!("$ {check}")})).await;
    // What it was sealed to is gone.
    let path = format!("/sessions/{}/delete", session.id);
    client.delete(&path).await.expect(200);
    let ended = copy.ended().await.completed();
    let about = || ended.stdout();
    assert!(
        server.workspace_file(&copy.id, "given").is_some(),
        "{}",
        about()
    );
    assert!(!about().contains("a-secret-of-the-session"), "{}", about());
    assert_eq!(ended.session["metadata"]["team"], "blue");
    assert_eq!(ended.turn["timeout"], 77);
    // The script was not run again.
    let stages = ended.events.iter().filter(|event| event.kind() == "stage");
    let mut stages = stages.filter(|event| event.data["stage"] == "provision_setup");
    assert!(stages.next().is_none());
}

#[tokio::test]
async fn what_cannot_be_copied_or_taken_back_is_refused_with_the_reason() {
    let server = Server::demo().await;
    let client = server.client();
    let gate = Gate::new("gate");
    let session = client.demo_session("one").await;
    session.ended().await.completed();
    session.prompt(&gate.step()).await;
    gate.reached(&server, &session).await;
    let post = async |id: &str, what: &str, body: Value| {
        client.post(&format!("/sessions/{id}/{what}"), &body).await
    };
    let refused = async |what: &str, body: Value, status: u16, reason: &str| {
        let reply = post(&session.id, what, body).await;
        let said = reply.refused(status).to_string();
        assert!(said.contains(reason), "{what}: {said}");
    };
    refused("fork", json!({}), 409, "turn 2 has not ended").await;
    refused("fork", json!({"turn": 2}), 409, "has not ended").await;
    refused("restore", json!({"turn": 1}), 409, "running").await;
    refused("fork", json!({"turn": 3}), 404, "there is no turn 3").await;
    refused("fork", json!({"turn": -1}), 422, "turn").await;
    refused("fork", json!({"turns": 1}), 422, "turn").await;
    refused("fork", json!({"turn": 1, "prompt": ""}), 422, "prompt").await;
    refused("fork", json!({"turn": 4_294_967_296_u64}), 422, "turn").await;
    refused("restore", json!({}), 422, "turn").await;
    refused("fork", json!({"turn": 0}), 409, "there is one of turn 1").await;
    // An earlier turn can be copied while another runs.
    let copy = session.fork(&json!({"turn": 1})).await;
    copy.wait_for("completed").await;
    gate.open(&server, &session);
    session.ended().await.completed();
    // Another user's is not there.
    let other = server.add_user("eve");
    for what in ["fork", "restore", "checkpoints"] {
        let path = format!("/sessions/{}/{what}", session.id);
        let reply = match what {
            "checkpoints" => other.get(&path).await,
            _ => other.post(&path, &json!({"turn": 1})).await,
        };
        reply.refused(404);
    }
    let path = format!("/sessions/{}/terminate", copy.id);
    copy.prompt(&Gate::new("never").step()).await;
    copy.wait_for("running").await;
    client.post_empty(&path).await.expect(200);
    for what in ["fork", "restore"] {
        let reply = post(&copy.id, what, json!({"turn": 1})).await;
        assert!(reply.refused(409).to_string().contains("terminated"));
    }
    // One whose sandbox never stood.
    let environment = json!({"name": "fails", "setup_script": "exit 3"});
    let environment = client.create_environment(&environment).await;
    let agent = client.demo_agent().await;
    let body = json!({"agent_id": agent, "prompt": "x", "environment_id": environment});
    let failed = client.create_session(&body).await;
    failed.wait_for("failed").await;
    let reply = post(&failed.id, "fork", json!({})).await;
    assert!(reply.refused(409).to_string().contains("provisioned"));
}

#[tokio::test]
async fn the_same_request_makes_one_copy() {
    let server = Server::demo().await;
    let client = server.client();
    let session = client.demo_session("one").await;
    session.ended().await.completed();
    let path = format!("/sessions/{}/fork", session.id);
    let ask = async |body: Value| {
        let request = client.request(Method::POST, &path);
        let request = request.header("Idempotency-Key", "once").json(&body);
        client.send(request).await
    };
    let (first, second) = tokio::join!(ask(json!({"turn": 1})), ask(json!({"turn": 1})));
    let (first, second) = (first.expect(202), second.expect(202));
    assert_eq!(first, second);
    let third = ask(json!({"turn": 1})).await.expect(202);
    assert_eq!(first["id"], third["id"]);
    ask(json!({"turn": 1, "title": "other"})).await.refused(422);
    let listed = client.get("/sessions").await.expect(200);
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);
    // Nothing is left of the one that lost.
    let folders = std::fs::read_dir(server.data().join("sessions")).unwrap();
    assert_eq!(folders.count(), 2);
}

#[tokio::test]
async fn a_session_goes_back_and_on_from_there() {
    let server = Server::demo().await;
    let session = session_of(server.client(), 3).await;
    let restored = session.restore(1).await;
    assert_eq!(restored["restored_to"], 1);
    assert_eq!(restored["turn_count"], 3);
    assert_eq!(files(&server, &session), [1]);
    let undone = async || {
        let turns = session.turns().await;
        let marks = turns.iter().map(|turn| turn["undone"] == true);
        marks.collect::<Vec<_>>()
    };
    assert_eq!(undone().await, [false, true, true]);
    session.prompt(&format!("$ echo 4 >4.txt; {MEMORY}")).await;
    let ended = session.ended().await.completed();
    assert_eq!(files(&server, &session), [1, 4]);
    assert_eq!(ended.turn["continues"], 1);
    assert_eq!(ended.session.get("restored_to"), None);
    // It does not remember what it had forgotten by then.
    let said = ended.last_stdout();
    assert!(
        said.contains("echo 1 ") && !said.contains("echo 2 "),
        "{said}"
    );
    // Back to what was undone, and on from there.
    session.restore(3).await;
    assert_eq!(undone().await, [false, false, false, true]);
    assert_eq!(files(&server, &session), [1, 2, 3]);
    session.prompt("$ echo 5 >5.txt").await;
    session.ended().await.completed();
    assert_eq!(files(&server, &session), [1, 2, 3, 5]);
    assert_eq!(undone().await, [false, false, false, true, false]);
}
