//! A provider that refuses, breaks, or is not there.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::{Lab, answer, result};

/// The failure of a turn that is given so many seconds, and whether its process is left.
async fn failure(lab: &Lab, prompt: &str, seconds: u32) -> Value {
    let more = json!({"prompt": prompt, "timeout": seconds});
    let session = lab.session_with(json!({}), more).await;
    let ended = session.ended().await;
    ended.failed();
    let failure = result(&session, &ended).await["failure"].clone();
    session.prompt("[[say here again]]").await;
    assert_eq!(answer(&session).await, "here again");
    failure
}

fn now_ms() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

#[tokio::test]
async fn an_exhausted_quota_says_when_it_is_open_again() {
    let lab = Lab::new().await;
    let before = now_ms();
    let failure = failure(&lab, "[[quota 45]]", 6).await;
    assert_eq!(failure["kind"], "quota", "{failure}");
    let message = failure["message"].as_str().unwrap();
    assert!(message.contains("429"), "{failure}");
    let at = failure["retry_at"].as_str().unwrap_or_default();
    let at_ms = failure["retry_at_ms"].as_u64();
    assert!(
        at_ms.is_some_and(|at| at > before + 30_000) || !at.is_empty(),
        "{failure}"
    );
}

#[tokio::test]
async fn a_broken_provider_is_named() {
    let lab = Lab::new().await;
    let failure = failure(&lab, "[[status 500]]", 90).await;
    assert_eq!(failure["kind"], "provider", "{failure}");
    // The CLI has words of its own for it.
    assert!(failure["message"].to_string().contains("high demand"), "{failure}");
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
    lab.register("env:OPENAI_BASE_URL", "http://127.0.0.1:9").await;
    let more = json!({"prompt": "hello", "timeout": 20});
    let session = lab.session_with(json!({}), more).await;
    let ended = session.ended().await;
    ended.failed();
    let failure = result(&session, &ended).await["failure"].clone();
    assert_eq!(failure["kind"], "provider", "{failure}");
    let message = failure["message"].as_str().unwrap();
    assert!(message.contains("Connection failed"), "{failure}");
}
