//! A provider that refuses, breaks, or is not there.

use aod_e2e::MODEL_HOST;
use serde_json::json;

use crate::{Lab, answer, result};

#[tokio::test]
async fn an_exhausted_quota_says_when_it_is_open_again() {
    let lab = Lab::new().await;
    let more = json!({"prompt": "[[quota 60]]", "timeout": 12});
    let session = lab.session_with(json!({}), more).await;
    let ended = session.ended().await;
    ended.failed();
    let now = ended.turn["ended_at"].as_str().unwrap().to_owned();
    let failure = result(&session, &ended).await["failure"].clone();
    assert_eq!(failure["kind"], "quota", "{failure}");
    let message = failure["message"].as_str().unwrap();
    assert!(message.contains("429"), "{failure}");
    // In the future: it waits for as long as it was told to.
    let at = failure["retry_at"].as_str();
    let at = at.unwrap_or_else(|| panic!("no time: {failure}"));
    assert!(at > now.as_str(), "{at} {now}");
}

#[tokio::test]
async fn a_broken_provider_is_named() {
    let lab = Lab::new().await;
    let more = json!({"prompt": "[[status 500]]", "timeout": 90});
    let session = lab.session_with(json!({}), more).await;
    let ended = session.ended().await;
    ended.failed();
    let failure = result(&session, &ended).await["failure"].clone();
    assert_eq!(failure["kind"], "provider", "{failure}");
    // The CLI has words of its own for it.
    assert!(
        failure["message"].to_string().contains("high demand"),
        "{failure}"
    );
}

/// The process is left, and the next turn is served by it.
#[tokio::test]
async fn a_failed_turn_leaves_its_process() {
    let lab = Lab::new().await;
    let session = lab.session("the word is plum").await;
    answer(&session).await;
    let processes = lab.processes();
    session.prompt("[[status 401]]").await;
    let ended = session.ended().await;
    ended.failed();
    assert_eq!(result(&session, &ended).await["failure"]["kind"], "auth");
    session.prompt("which? [[recall]]").await;
    let text = answer(&session).await;
    assert!(text.contains("the word is plum"), "{text}");
    assert_eq!(lab.processes(), processes);
}

#[tokio::test]
async fn a_provider_that_cannot_be_reached_is_named() {
    let lab = Lab::new().await;
    let nowhere = format!("http://{MODEL_HOST}:9");
    lab.register("env:OPENAI_BASE_URL", &nowhere).await;
    let more = json!({"prompt": "hello", "timeout": 20});
    let session = lab.session_with(json!({}), more).await;
    let ended = session.ended().await;
    ended.failed();
    let failure = result(&session, &ended).await["failure"].clone();
    assert_eq!(failure["kind"], "provider", "{failure}");
    let message = failure["message"].as_str().unwrap();
    assert!(
        message.contains("cannot connect to model.test:9"),
        "{failure}"
    );
}
