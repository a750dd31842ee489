//! What comes with a prompt besides its text, and prompts for a turn that runs.

use aod_e2e::{Server, Session};
use serde_json::{Value, json};

use crate::{says_who_it_is, server, session, who};

const WAITS: &str = r#"{"say":"delta","item":1,"text":"a"}
wait
{"say":"steered","id":"@order"}
{"say":"message","item":1,"text":"@said"}
{"say":"done","text":"@said"}"#;

async fn prompt(server: &Server, session: &Session, body: Value) -> aod_e2e::Reply {
    let path = format!("/sessions/{}/prompt", session.id);
    server.client().post(&path, &body).await
}

/// Events of a type, in order.
async fn events(server: &Server, session: &Session, kind: &str) -> Vec<Value> {
    let path = format!("/sessions/{}/events?limit=200", session.id);
    let page = server.client().get(&path).await.expect(200);
    let events = page["data"].as_array().unwrap().iter();
    events
        .filter(|event| event["type"] == kind)
        .cloned()
        .collect()
}

async fn last_text(server: &Server, session: &Session) -> Value {
    session.ended().await;
    let results = events(server, session, "turn.result").await;
    results.last().unwrap()["text"].clone()
}

#[tokio::test]
async fn a_prompt_may_go_to_the_turn_that_runs() {
    let server = server("60s").await;
    let session = session(&server, json!({"prompt": WAITS})).await;
    let mut stream = server.client().stream(&session.id, None).await;
    stream.until(|event| event.kind() == "output").await;

    let busy = prompt(&server, &session, json!({"prompt": "now what?"})).await;
    assert!(busy.refusal(409).contains("running"));
    let more = json!({"prompt": "x", "when_busy": "steer", "settings": {"effort": "low"}});
    let refusal = prompt(&server, &session, more).await.refusal(422);
    assert!(refusal.contains("settings"), "{refusal}");

    let steer = json!({"prompt": "look left", "when_busy": "steer"});
    let path = format!("/sessions/{}/prompt", session.id);
    let request = || {
        let request = server.client().request(reqwest::Method::POST, &path);
        request.header("idempotency-key", "once").json(&steer)
    };
    let first = server.client().send(request()).await.expect(202);
    assert_eq!(first["status"], "running");
    assert_eq!(first["current_turn"], 1);
    // Sent twice, it is said once.
    assert_eq!(server.client().send(request()).await.expect(202), first);

    assert_eq!(last_text(&server, &session).await, "look left");
    let inputs = events(&server, &session, "turn.input").await;
    let told: Vec<_> = inputs
        .iter()
        .map(|input| (input["state"].as_str().unwrap(), input["text"].as_str()))
        .collect();
    assert_eq!(told, [("sent", Some("look left")), ("delivered", None)]);
    assert_eq!(inputs[0]["input_id"], inputs[1]["input_id"]);
    assert_eq!(session.turns().await.len(), 1);

    // Where none runs, it is a prompt like others.
    let next = json!({"prompt": says_who_it_is(), "when_busy": "steer"});
    let next = prompt(&server, &session, next).await.expect(202);
    assert_eq!(next["status"], "pending");
    assert_eq!(who(&server, &session).await.1, 2);
}

#[tokio::test]
async fn a_runtime_that_is_not_spoken_to_cannot_be_steered() {
    let server = Server::demo().await;
    let client = server.client();
    let session = client.demo_session("sleep 60").await;
    let mut stream = client.stream(&session.id, None).await;
    stream.until(|event| event.kind() == "output").await;
    let steer = json!({"prompt": "stop", "when_busy": "steer"});
    let refusal = prompt(&server, &session, steer).await.refusal(409);
    assert!(refusal.contains("cannot be steered"), "{refusal}");
}

#[tokio::test]
async fn the_prompts_settings_win_over_the_sessions_and_those_over_the_agents() {
    let server = server("60s").await;
    let client = server.client();
    let says = [
        r#"{"say":"message","item":1,"text":"x"}"#,
        r#"{"say":"done","text":"@effort @prompts"}"#,
    ]
    .join("\n");
    let mut agent = json!({"name": "a", "runtime": "conversant", "model": "test/conversant"});
    agent["settings"] = json!({"effort": "low"});
    let agent = client.create_agent(&agent).await;
    let body = json!({"agent_id": agent, "prompt": says});
    let of_agent = client.create_session(&body).await;
    assert_eq!(last_text(&server, &of_agent).await, "low 1");

    let body = json!({"agent_id": agent, "prompt": says, "settings": {"effort": "high"}});
    let session = client.create_session(&body).await;
    assert_eq!(last_text(&server, &session).await, "high 1");
    assert_eq!(session.read().await["settings"], json!({"effort": "high"}));
    let next = json!({"prompt": says, "settings": {"effort": "low"}});
    prompt(&server, &session, next).await.expect(202);
    assert_eq!(last_text(&server, &session).await, "low 2");
    prompt(&server, &session, json!({"prompt": says}))
        .await
        .expect(202);
    assert_eq!(last_text(&server, &session).await, "high 3");

    // What only a start can change costs the process.
    let styled = json!({"prompt": says, "settings": {"style": "terse"}});
    prompt(&server, &session, styled).await.expect(202);
    assert_eq!(last_text(&server, &session).await, "high 1");
    let turns = session.turns().await;
    assert_eq!(turns[1]["settings"], json!({"effort": "low"}));
    assert_eq!(turns[3]["settings"], json!({"style": "terse"}));
}

#[tokio::test]
async fn a_setting_that_the_runtime_does_not_have_is_refused() {
    let server = server("60s").await;
    let session = session(&server, json!({})).await;
    session.ended().await;
    for (settings, wanted) in [
        (json!({"effrot": "low"}), "settings.effrot"),
        (json!({"effort": "lots"}), "settings.effort"),
    ] {
        let body = json!({"prompt": "x", "settings": settings});
        let refusal = prompt(&server, &session, body).await.refusal(422);
        assert!(refusal.contains(wanted), "{refusal}");
        let client = server.client();
        let agent = json!({
            "name": "b", "runtime": "conversant", "model": "test/conversant", "settings": settings,
        });
        let refusal = client.post("/agents", &agent).await.refusal(422);
        assert!(refusal.contains(wanted), "{refusal}");
    }
}

#[tokio::test]
async fn an_answer_has_the_form_that_was_asked_for_or_the_turn_fails() {
    let server = server("60s").await;
    let session = session(&server, json!({})).await;
    session.ended().await;
    let schema = json!({
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
    });
    let done = |answer: &str| format!(r#"{{"say":"done","text":"","json":{answer}}}"#);
    let fits = json!({"prompt": done(r#"{"n":7}"#), "output_schema": schema});
    prompt(&server, &session, fits).await.expect(202);
    session.ended().await;
    let turns = session.turns().await;
    assert_eq!(turns[1]["outcome"], "completed", "{}", turns[1]);
    assert_eq!(turns[1]["result"]["structured"], json!({"n": 7}));

    // It is asked for once more, and by the same process.
    let script = format!(
        "{}\nagain {}",
        done(r#"{"n":"seven"}"#),
        r#"{"say":"done","text":"so","json":{"n":8}}"#
    );
    let late = json!({"prompt": script, "output_schema": schema});
    prompt(&server, &session, late).await.expect(202);
    session.ended().await;
    let turn = session.turns().await[2].clone();
    assert_eq!(turn["outcome"], "completed", "{turn}");
    assert_eq!(turn["result"]["structured"], json!({"n": 8}));
    assert!(turn["result"]["failure"].is_null(), "{turn}");
    assert_eq!(session.read().await["result"], turn["result"]);
    assert_eq!(server.supervisors().len(), 1);

    let twice = done(r#"{"n":"seven"}"#);
    let not = json!({"prompt": format!("{twice}\nagain {twice}"), "output_schema": schema});
    prompt(&server, &session, not).await.expect(202);
    session.ended().await;
    let turn = session.turns().await[3].clone();
    assert_eq!(turn["outcome"], "failed", "{turn}");
    assert_eq!(turn["result"]["failure"]["kind"], "output");
    assert!(turn["error"].as_str().unwrap().contains("/n"), "{turn}");

    let body = json!({"prompt": "x", "output_schema": {"type": 7}});
    let refusal = prompt(&server, &session, body).await.refusal(422);
    assert!(refusal.contains("output_schema"), "{refusal}");
}

#[tokio::test]
async fn an_image_comes_with_the_first_prompt_and_with_later_ones() {
    let server = server("60s").await;
    let says = |image: &str| {
        let script = r#"{"say":"message","item":1,"text":"x"}
{"say":"done","text":"@image"}"#;
        json!([
            {"type": "text", "text": script},
            {"type": "image", "media_type": "image/png", "data": image},
        ])
    };
    let session = session(&server, json!({"prompt": says("iVBORw0KGgo=")})).await;
    assert_eq!(last_text(&server, &session).await, "iVBORw0KGgo=");
    let next = json!({"prompt": says("iVBORw0KGgoA")});
    prompt(&server, &session, next).await.expect(202);
    assert_eq!(last_text(&server, &session).await, "iVBORw0KGgoA");
    let turns = session.turns().await;
    assert_eq!(
        turns[1]["blocks"][1]["attachment"]["media_type"],
        "image/png"
    );
    assert_eq!(turns[1]["blocks"][1]["attachment"]["size"], 9);
}

#[tokio::test]
async fn a_runtime_without_images_is_told_where_it_lies() {
    let server = Server::demo().await;
    let client = server.client();
    let agent = client.demo_agent().await;
    let blocks = json!([
        {"type": "text", "text": "look"},
        {"type": "image", "media_type": "image/png", "data": "iVBORw0KGgo="},
        {"type": "file", "name": "notes.txt", "data": "aGVsbG8K"},
    ]);
    let session = client
        .create_session(&json!({"agent_id": agent, "prompt": blocks}))
        .await;
    session.ended().await.completed();
    let asked = server.workspace_file(&session.id, "demo-1.txt").unwrap();
    let notes = asked.lines().find(|line| line.ends_with("notes.txt"));
    let path = notes
        .and_then(|line| line.split_once("/workspace/"))
        .unwrap()
        .1;
    let notes = server.workspace_file(&session.id, path);
    assert_eq!(notes.as_deref(), Some("hello\n"));
    assert!(asked.contains("image.png"), "{asked}");

    for (block, wanted) in [
        (json!({"type": "file"}), "prompt.0"),
        (
            json!({"type": "image", "media_type": "image/png", "data": "AAECA"}),
            "prompt.0",
        ),
        (
            json!({"type": "image", "media_type": "image/png", "data": "/9j/4AAQ"}),
            "prompt.0: media_type should be image/jpeg",
        ),
        (json!({"type": "sound", "data": "AAEC"}), "type"),
    ] {
        let refusal = prompt(&server, &session, json!({"prompt": [block]})).await;
        let refusal = refusal.refused(422).to_string();
        assert!(refusal.contains(wanted), "{refusal}");
    }
}

#[tokio::test]
async fn an_answer_is_asked_for_once_more_though_the_host_dies() {
    let mut server = server("60s").await;
    let mut session = session(&server, json!({})).await;
    session.ended().await;
    let schema = json!({"type": "object", "required": ["n"]});
    // The agent holds its second answer back until it is told more.
    let script = [
        r#"{"say":"done","text":"no","json":{}}"#,
        r#"again {"say":"delta","item":1,"text":"hm"}"#,
    ]
    .join("\n");
    let body = json!({"prompt": script, "output_schema": schema});
    prompt(&server, &session, body).await.expect(202);
    let mut stream = server.client().stream(&session.id, None).await;
    stream
        .until(|event| {
            event.data["data"]
                .as_str()
                .is_some_and(|it| it.contains("\"hm\""))
        })
        .await;
    server.kill_and_start_again().await;
    session = session.at(server.client());
    assert_eq!(session.read().await["status"], "running");
    let path = format!("/sessions/{}/interrupt", session.id);
    server.client().post_empty(&path).await.expect(202);
    session.ended().await;
    let page = format!("/sessions/{}/events?limit=200", session.id);
    let page = server.client().get(&page).await.expect(200);
    let events = page["data"].as_array().unwrap();
    let again = events.iter().filter(|it| it["code"] == "output.again");
    assert_eq!(again.count(), 1, "{events:#?}");
    let results = events
        .iter()
        .filter(|it| it["type"] == "turn.result" && it["turn"] == 2);
    assert!(results.count() <= 1, "{events:#?}");
}
