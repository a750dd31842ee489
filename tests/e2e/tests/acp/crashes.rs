//! The server is killed in the middle of a dialogue.

use std::fs;

use aod_e2e::Server;
use serde_json::json;

use crate::{Agent, Lab, allow_once, events, of_type, question, result, with_each_agent};

with_each_agent!(a_dialogue_outlives_the_server_and_nothing_is_said_twice);

/// How often a text stands in a session's log.
fn count_in_log(server: &Server, session: &str, text: &str) -> usize {
    let folder = server.session_folder(session).join("log");
    let files = fs::read_dir(folder).unwrap();
    files
        .map(|file| fs::read(file.unwrap().path()).unwrap())
        .map(|bytes| String::from_utf8_lossy(&bytes).matches(text).count())
        .sum()
}

async fn a_dialogue_outlives_the_server_and_nothing_is_said_twice(agent: Agent) {
    let mut lab = Lab::new(agent, "").await;
    let prompt = "[[bash echo x >>one.txt]] [[bash echo y >>two.txt]] [[say done]]";
    let mut session = lab.session(prompt).await;
    let asked = question(&session, 1).await;
    lab.server.kill_and_start_again().await;
    session = session.at(lab.server.client());
    // The question is the same, and still open.
    assert_eq!(question(&session, 1).await, asked);
    let path = format!("/sessions/{}/answers", session.id);
    let body = json!({"request_id": asked["request_id"], "answer": allow_once(&asked)});
    lab.client().post(&path, &body).await.expect(202);
    // Answered before one server and not again after the next.
    let asked = question(&session, 2).await;
    lab.server.kill_and_start_again().await;
    session = session.at(lab.server.client());
    lab.client().post(&path, &body).await.refused(409);
    let body = json!({"request_id": asked["request_id"], "answer": allow_once(&asked)});
    lab.client().post(&path, &body).await.expect(202);
    let ended = session.ended().await.completed();
    assert_eq!(result(&ended, &session).await, "done");
    for (file, line) in [("one.txt", "x\n"), ("two.txt", "y\n")] {
        assert_eq!(
            lab.server.workspace_file(&session.id, file).as_deref(),
            Some(line)
        );
    }
    let all = events(&session).await;
    assert_eq!(of_type(&all, "permission.answer").len(), 2, "{all:#?}");
    assert_eq!(of_type(&all, "session.started").len(), 1, "{all:#?}");
    for said in [
        "\"method\":\"session/new\"",
        "\"method\":\"session/prompt\"",
    ] {
        assert_eq!(count_in_log(&lab.server, &session.id, said), 1, "{said}");
    }
    let answers = count_in_log(&lab.server, &session.id, "\"outcome\":\"selected\"");
    assert_eq!(answers, 2);
}
