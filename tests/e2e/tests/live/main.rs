//! Processes that stay between turns, with an agent that can be spoken to.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod asked;
mod crashes;
mod limits;
mod turns;

use aod_e2e::{Runtimes, Server, ServerOptions, Session, repository};
use serde_json::{Value, json};

/// A server whose processes stay for so long.
fn options(idle: &str) -> ServerOptions {
    let component = repository().join("tests/conversant/conversant.wasm");
    let runtimes = Runtimes::default().with("conversant", &component, "");
    ServerOptions::new(runtimes).set("AOD_LIVE__IDLE", idle)
}

async fn server(idle: &str) -> Server {
    Server::start(options(idle)).await
}

/// What the agent is to say: its process and how many prompts that has had, and then the end.
fn says_who_it_is() -> String {
    [
        r#"{"say":"message","item":1,"text":"@process @prompts"}"#,
        r#"{"say":"done","text":"@process @prompts"}"#,
    ]
    .join("\n")
}

async fn session(server: &Server, more: Value) -> Session {
    let client = server.client();
    let agent = json!({"name": "a", "runtime": "conversant", "model": "test/conversant"});
    let agent = client.create_agent(&agent).await;
    let mut body = json!({"agent_id": agent, "prompt": says_who_it_is()});
    aod_e2e::extend(&mut body, more);
    client.create_session(&body).await
}

/// The text of the last turn's result: a process id, and how many prompts that process has had.
async fn who(server: &Server, session: &Session) -> (u32, u32) {
    let ended = session.ended().await;
    assert_eq!(ended.last().data["code"], 0, "{ended:?}");
    assert_eq!(session.read().await["status"], "completed");
    let page = format!("/sessions/{}/events?limit=200", session.id);
    let page = server.client().get(&page).await.expect(200);
    let events = page["data"].as_array().unwrap();
    let result = events
        .iter()
        .rfind(|event| event["type"] == "turn.result")
        .unwrap();
    let text = result["text"].as_str().unwrap();
    let (process, prompts) = text.split_once(' ').unwrap();
    (process.parse().unwrap(), prompts.parse().unwrap())
}
