//! Turns that end by themselves, well or not.

use aod_e2e::{Server, output};
use serde_json::{Value, json};

#[tokio::test]
async fn turns_share_a_workspace_and_a_memory() {
    let server = Server::demo().await;
    let session = server
        .client()
        .demo_session("remember the word tangerine")
        .await;
    session.ended().await.completed();
    let ack = session.prompt("what did I say?").await;
    assert_eq!(ack["status"], "pending");
    assert_eq!(ack["current_turn"], 2);
    assert_eq!(ack["id"], session.id.as_str());
    assert_eq!(
        ack["stream_url"],
        format!("/sessions/{}/stream", session.id)
    );
    let ended = session.ended().await.completed();
    assert!(
        ended.last_stdout().contains("tangerine"),
        "{}",
        ended.last_stdout()
    );
    assert!(
        ended.last_stdout().contains("demo-1.txt"),
        "the first turn's file is gone"
    );

    let turns = session.turns().await;
    assert_eq!(turns.len(), 2);
    for (number, turn) in (1..).zip(&turns) {
        assert_eq!(turn["turn_number"], number);
        assert_eq!(turn["status"], "completed");
        assert_eq!(turn["outcome"], "completed");
        assert_eq!(turn["exit_code"], 0);
        for time in ["created_at", "started_at", "ended_at"] {
            let text = turn[time].as_str().unwrap();
            assert!(
                text.len() == 32 && text.ends_with("+00:00"),
                "{time}: {text}"
            );
        }
        assert!(
            turn["created_at"].as_str() <= turn["started_at"].as_str(),
            "{turn}"
        );
        assert!(
            turn["started_at"].as_str() <= turn["ended_at"].as_str(),
            "{turn}"
        );
    }
    assert_eq!(turns[0]["prompt"], "remember the word tangerine");
    let session = session.read().await;
    assert_eq!(session["turn_count"], 2);
    assert_eq!(session["current_turn"], 2);
    // The demo agent counts words.
    let (first, second) = (&turns[0]["usage"], &turns[1]["usage"]);
    assert_eq!(first["input_tokens"], 4);
    assert_eq!(second["input_tokens"], 4);
    assert_eq!(session["usage"]["input_tokens"], 8);
    let written = |usage: &Value| usage["output_tokens"].as_u64().unwrap();
    assert!(written(first) > 0 && written(second) > 0);
    assert_eq!(written(&session["usage"]), written(first) + written(second));
}

#[tokio::test]
async fn later_turns_skip_what_is_provisioned() {
    let server = Server::demo().await;
    let client = server.client();
    let environment = client
        .create_environment(&json!({"name": "e", "setup_script": "echo x >>/workspace/setups"}))
        .await;
    let agent = client.demo_agent().await;
    let body = json!({"agent_id": agent, "prompt": "a", "environment_id": environment});
    let session = client.create_session(&body).await;
    session.ended().await.completed();
    session.prompt("b").await;
    session.ended().await.completed();
    assert_eq!(server.workspace_file(&session.id, "setups").unwrap(), "x\n");
}

#[tokio::test]
async fn a_cli_that_fails_fails_its_turn_and_not_its_session() {
    let server = Server::demo().await;
    let session = server.client().demo_session("exit 7").await;
    let ended = session.ended().await;
    let error = ended.failed();
    assert!(error.contains("the prompt asked for this end"), "{error}");
    assert_eq!(ended.session["exit_code"], 7);
    assert_eq!(ended.session["resumable"], true);
    assert_eq!(ended.last().kind(), "exit");
    assert_eq!(ended.last().data["code"], 7);
    assert!(output(&ended.events, "stderr").contains("asked for this end"));
    assert_eq!(ended.turn["status"], "failed");

    session.prompt("fail").await;
    let ended = session.ended().await;
    assert_eq!(ended.failed(), "the prompt asked for a failure");
    assert_eq!(ended.session["exit_code"], 1);

    session.prompt("and now?").await;
    let ended = session.ended().await.completed();
    assert!(ended.last_stdout().contains("You said: and now?"));
}

#[tokio::test]
async fn an_exit_code_of_0_without_a_result_is_no_success() {
    let server = Server::demo().await;
    let session = server.client().demo_session("exit 0").await;
    let ended = session.ended().await;
    ended.failed();
    assert_eq!(ended.session["exit_code"], 0);
}

#[tokio::test]
async fn a_session_is_made_of_what_its_agent_was() {
    let server = Server::demo().await;
    let client = server.client();
    let agent = client.demo_agent().await;
    let body = json!({"agent_id": agent, "prompt": "a"});
    let session = client.create_session(&body).await;
    session.ended().await.completed();
    client
        .put(
            &format!("/agents/{agent}"),
            &json!({"version": 1, "system": "be brief"}),
        )
        .await
        .expect(200);
    client
        .post_empty(&format!("/agents/{agent}/archive"))
        .await
        .expect(200);
    // Running sessions go on; new ones are refused.
    session.prompt("b").await;
    let ended = session.ended().await.completed();
    assert_eq!(ended.session["agent_version"], 1);
    let refusal = client.post("/sessions", &body).await.refusal(409);
    assert!(refusal.contains("archived"), "{refusal}");
}

#[tokio::test]
async fn an_unusual_prompt_arrives_as_it_is() {
    let server = Server::demo().await;
    let prompt = "--help; $(id) `id` \"'\\ \u{1F980} ä\nsecond line\t!";
    let session = server.client().demo_session(prompt).await;
    session.ended().await.completed();
    assert_eq!(
        server.workspace_file(&session.id, "demo-1.txt").unwrap(),
        format!("{prompt}\n")
    );
    assert_eq!(session.turns().await[0]["prompt"], prompt);
}
