//! Copies of sessions: what an agent remembers in them, and that it says so where it cannot.

use std::path::Path;

use aod_e2e::{Runtimes, Server, ServerOptions, Session, plugin};
use serde_json::{Value, json};

use crate::{Lab, OPENCODE, events, of_type, result};

/// Five turns, each with a word of its own.
async fn of_five_turns(session: &Session) {
    session.ended().await.completed();
    for word in ["banana", "cherry", "damson", "elder"] {
        session.prompt(&format!("the word is {word}")).await;
        session.ended().await.completed();
    }
}

#[tokio::test]
async fn a_copy_remembers_what_was_until_then() {
    let lab = Lab::new(OPENCODE, "").await;
    let session = lab.session("the word is apple").await;
    of_five_turns(&session).await;
    let copy = session
        .fork(&json!({"turn": 2, "prompt": "which words? [[recall]]"}))
        .await;
    let ended = copy.ended().await.completed();
    let answer = result(&ended, &copy).await;
    for (index, word) in ["apple", "banana", "cherry", "damson", "elder"]
        .iter()
        .enumerate()
    {
        let has = answer.contains(&format!("the word is {word}"));
        assert_eq!(has, index < 2, "{word}: {answer}");
    }
    let all = events(&copy).await;
    assert_eq!(of_type(&all, "turn.started")[0]["continuity"], "native");
    assert!(fresh(&all).is_empty(), "{all:#?}");
}

/// Notices that an agent remembers nothing.
fn fresh(events: &[Value]) -> Vec<&Value> {
    let mut notices = of_type(events, "notice");
    notices.retain(|notice| {
        notice["code"]
            .as_str()
            .is_some_and(|it| it.ends_with("fresh"))
    });
    notices
}

#[tokio::test]
async fn an_agent_that_cannot_go_on_says_so() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/acp/forgetful.py");
    let table = format!(
        "command = {script:?}\n[[runtime.forgetful.models]]\nid = \"local/words\"\n\
         [runtime.forgetful.options]\nargv = [\"forgetful.py\"]\nproviders = [{{ id = \"local\" }}]\n"
    );
    let runtimes = Runtimes::default().with("forgetful", &plugin("acp"), &table);
    let server = Server::start(ServerOptions::new(runtimes)).await;
    let agent = json!({"name": "a", "runtime": "forgetful", "model": "local/words"});
    let agent = server.client().create_agent(&agent).await;
    let body = json!({"agent_id": agent, "prompt": "the word is apple"});
    let session = server.client().create_session(&body).await;
    of_five_turns(&session).await;
    let copy = session
        .fork(&json!({"turn": 2, "prompt": "which words?"}))
        .await;
    let ended = copy.ended().await.completed();
    assert_eq!(result(&ended, &copy).await, "which words?");
    let all = events(&copy).await;
    assert_eq!(of_type(&all, "turn.started")[0]["continuity"], "fresh");
    assert_eq!(fresh(&all).len(), 1, "{all:#?}");
    // From here on it is a conversation of its own.
    copy.prompt("and now?").await;
    let ended = copy.ended().await.completed();
    assert_eq!(result(&ended, &copy).await, "which words? / and now?");
}
