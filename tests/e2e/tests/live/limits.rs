//! What a turn may use.

use aod_e2e::{DEADLINE, Server, Session, eventually};
use serde_json::{Value, json};

use crate::{says_who_it_is, server, session, who};

/// A request to the model: a message, so many tokens, and a call with its answer.
fn request(number: u32, tokens: u32) -> String {
    [
        json!({"say": "message", "item": number, "text": "hm"}),
        json!({"say": "tool", "id": format!("c{number}"), "name": "ls", "json": {}}),
        json!({"say": "usage", "read": 1, "written": tokens, "model": "m"}),
        json!({"say": "tool-done", "id": format!("c{number}"), "text": "-"}),
    ]
    .map(|line| line.to_string())
    .join("\n")
}

/// The end of a turn that is stopped.
const STOPPED: &str = "wait\n{\"say\":\"done\",\"state\":\"interrupted\"}";

async fn limited(session: &Session) -> Value {
    let ended = session.ended().await;
    ended.failed();
    assert_eq!(ended.session["resumable"], true);
    assert_eq!(ended.turn["outcome"], "failed");
    let result = &ended.turn["result"];
    assert_eq!(result["failure"]["kind"], "limit", "{result}");
    assert_eq!(result["is_error"], true, "{result}");
    assert_eq!(ended.turn["error"], result["failure"]["message"]);
    result.clone()
}

/// Tries a limit with a prompt that would go on for ever.
async fn ends_it(server: &Server, limits: Value, text: &str, stop: &str) {
    let session = session(server, json!({})).await;
    let (process, _) = who(server, &session).await;
    let prompt = [request(1, 6), request(2, 6), STOPPED.to_owned()].join("\n");
    let body = json!({"prompt": prompt, "limits": limits});
    session.prompt_with(&body).await;
    let result = limited(&session).await;
    let message = result["failure"]["message"].as_str().unwrap();
    assert!(message.contains(text), "{message}");
    assert_eq!(result["stop"], stop, "{result}");
    // The process stays, and the next turn has no limit.
    session.prompt(&says_who_it_is()).await;
    assert_eq!(who(server, &session).await, (process, 3));
}

#[tokio::test]
async fn tokens_end_a_turn() {
    let server = server("60s").await;
    let limits = json!({"max_output_tokens": 10});
    let text = "max_output_tokens: 12 output tokens of at most 10";
    ends_it(&server, limits, text, "budget").await;
}

#[tokio::test]
async fn rounds_end_a_turn() {
    let server = server("60s").await;
    let text = "max_rounds: 2 requests to the model of at most 2";
    ends_it(&server, json!({"max_rounds": 2}), text, "max_rounds").await;
}

#[tokio::test]
async fn a_request_that_comes_to_nothing_is_not_made_for_ever() {
    let server = server("60s").await;
    let session = session(&server, json!({})).await;
    who(&server, &session).await;
    let failed = [
        json!({"say": "delta", "item": 1, "text": "hm"}).to_string(),
        json!({"say": "discarded", "item": 1, "text": "broken off"}).to_string(),
    ];
    let mut prompt = failed.join("\n");
    for _ in 0..205 {
        prompt.push('\n');
        prompt.push_str(&failed.join("\n"));
    }
    session.prompt(&format!("{prompt}\n{STOPPED}")).await;
    let result = limited(&session).await;
    let message = result["failure"]["message"].as_str().unwrap();
    assert!(message.contains("of at most 200"), "{message}");
}

#[tokio::test]
async fn a_turn_that_is_done_may_have_used_more() {
    let server = server("60s").await;
    let session = session(&server, json!({})).await;
    who(&server, &session).await;
    let usage = json!({"say": "usage", "read": 1, "written": 50});
    let prompt = format!("{usage}\n{}", says_who_it_is());
    let body = json!({"prompt": prompt, "limits": {"max_output_tokens": 10}});
    session.prompt_with(&body).await;
    session.ended().await.completed();
}

#[tokio::test]
async fn a_limit_is_held_across_a_restart_of_the_host() {
    let mut server = server("60s").await;
    let mut session = session(&server, json!({})).await;
    who(&server, &session).await;
    let prompt = [request(1, 6), request(2, 6), STOPPED.to_owned()].join("\n");
    let body = json!({"prompt": prompt, "limits": {"max_output_tokens": 10}});
    session.prompt_with(&body).await;
    server.kill_and_start_again().await;
    session = session.at(server.client());
    let ended = eventually("the turn has ended", DEADLINE, async || {
        let turns = session.turns().await;
        let turn = turns.last().unwrap().clone();
        (!turn["ended_at"].is_null()).then_some(turn)
    })
    .await;
    assert_eq!(ended["result"]["failure"]["kind"], "limit", "{ended}");
    session.prompt(&says_who_it_is()).await;
    who(&server, &session).await;
}
