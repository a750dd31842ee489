//! Providers that refuse, break or hang.

use aod_e2e::{Ended, eventually};
use serde_json::{Value, json};

use crate::{Lab, result};

/// The session goes on after a turn that failed.
async fn goes_on(lab: &Lab, failed: &Ended) {
    assert_eq!(failed.session["resumable"], true);
    let session = aod_e2e::Session {
        client: lab.client().clone(),
        id: failed.session["id"].as_str().unwrap().to_owned(),
    };
    session.prompt("[[say here again]]").await;
    let ended = session.ended().await.completed();
    assert_eq!(result(&ended.last_stdout()), "here again");
    assert_eq!(session.turns().await.len(), 2);
}

#[tokio::test]
async fn a_provider_that_stumbles_once_does_not() {
    let lab = Lab::new().await;
    let session = lab.session("[[status 500 1]] [[say recovered]]").await;
    let ended = session.ended().await.completed();
    assert_eq!(result(&ended.stdout()), "recovered");
}

#[tokio::test]
async fn a_connection_that_breaks_off_leaves_a_true_state() {
    let lab = Lab::new().await;
    let session = lab.session("[[words 3]] [[drop]]").await;
    let ended = session.ended().await;
    // Whether the CLI makes do with half an answer is its own affair; the outcome says which.
    let lines = crate::lines(&ended.stdout());
    let last = lines.iter().rfind(|line| line["type"] == "result").unwrap();
    let expected = if last["is_error"] == true {
        "failed"
    } else {
        "completed"
    };
    assert_eq!(ended.session["status"], expected, "{last}");
    assert_eq!(ended.session["error"].is_string(), expected == "failed");
    goes_on(&lab, &ended).await;
}

#[tokio::test]
async fn a_provider_that_hangs_is_ended_by_the_clock() {
    let lab = Lab::new().await;
    let session = lab
        .session_with(json!({"prompt": "[[hang]]", "timeout": 10}))
        .await;
    session.wait_for("running").await;
    let tree = lab.server.supervisor();
    let ended = session.ended().await;
    let error = ended.failed();
    assert!(error.contains("timeout of 10 s"), "{error}");
    assert_eq!(ended.last().kind(), "error");
    eventually("all processes are gone", aod_e2e::DEADLINE, async || {
        tree.survivors().is_empty().then_some(())
    })
    .await;
    goes_on(&lab, &ended).await;
}

#[tokio::test]
async fn a_model_that_the_provider_does_not_know_is_refused_at_once() {
    let lab = Lab::new().await;
    let body = json!({"name": "x", "runtime": "claude", "model": "claude-sonnet-4-6"});
    let reply = lab.client().post("/agents", &body).await;
    let detail = reply.refused(422);
    let text = match &detail {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    assert!(text.contains("anthropic/claude-sonnet-4-6"), "{text}");
}
