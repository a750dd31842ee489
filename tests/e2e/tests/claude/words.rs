//! Secrets whose values are words of the CLI's own protocol.

use serde_json::{Value, json};

use crate::{Lab, lines};

#[tokio::test]
async fn secrets_that_are_words_of_the_protocol_break_nothing() {
    let lab = Lab::new().await;
    let session = lab
        .session_with(json!({
            "prompt": "[[bash echo a tool_use in production]] [[say an assistant of production]]",
            "secret_env_vars": {"ROLE": "assistant", "KIND": "tool_use", "STAGE": "production"},
        }))
        .await;
    let ended = session.ended().await.completed();
    // Each line is JSON, with its names and tags.
    let lines = lines(&ended.stdout());
    let messages: Vec<&Value> = lines
        .iter()
        .filter(|line| line["type"] == "assistant")
        .collect();
    assert!(!messages.is_empty(), "{lines:#?}");
    assert!(
        messages
            .iter()
            .all(|line| line["message"]["role"] == "assistant")
    );
    let call = messages
        .iter()
        .filter_map(|line| line["message"]["content"].as_array())
        .flatten()
        .find(|block| block["type"] == "tool_use");
    let call = call.unwrap_or_else(|| panic!("no tool call in {lines:#?}"));
    assert_eq!(
        call["input"]["command"],
        "echo a [redacted:KIND] in [redacted:STAGE]"
    );
    let result = lines.iter().rfind(|line| line["type"] == "result").unwrap();
    assert_eq!(result["result"], "an [redacted:ROLE] of [redacted:STAGE]");
    // So the adapter understands them.
    let events = format!("/sessions/{}/events", session.id);
    let request = lab.client().request(reqwest::Method::GET, &events);
    let request = request.header("accept", "application/json");
    let events = lab.client().send(request).await.expect(200);
    let events = events["data"].as_array().unwrap();
    let of = |kind: &str| events.iter().find(|event| event["type"] == kind);
    let call = of("tool.call").unwrap_or_else(|| panic!("no tool call in {events:#?}"));
    assert_eq!(
        call["input"]["command"],
        "echo a [redacted:KIND] in [redacted:STAGE]"
    );
    assert!(of("tool.result").is_some(), "{events:#?}");
}
