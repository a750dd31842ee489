//! Turns that their user stops.

use aod_e2e::{DEADLINE, Session, eventually};
use serde_json::json;

use crate::{Agent, Lab, allow_once, events, of_type, question, result, with_each_agent};

with_each_agent!(
    interrupting_an_answer_keeps_the_session,
    interrupting_a_question_closes_it,
);

async fn interrupt(lab: &Lab, session: &Session) {
    lab.client()
        .post_empty(&format!("/sessions/{}/interrupt", session.id))
        .await
        .expect(202);
}

async fn interrupting_an_answer_keeps_the_session(agent: Agent) {
    let lab = Lab::new(agent, "").await;
    let session = lab.session("[[slow 50]] [[words 2000]]").await;
    eventually("it answers", DEADLINE, async || {
        let all = events(&session).await;
        (of_type(&all, "message.delta").len() > 2).then_some(())
    })
    .await;
    interrupt(&lab, &session).await;
    let ended = session.ended().await;
    assert_eq!(ended.session["status"], "completed", "{ended:#?}");
    assert_eq!(ended.turn["outcome"], "interrupted");
    // It was asked, and not killed: it takes the next prompt.
    let process = lab.server.supervisor().root;
    let all = events(&session).await;
    let results = of_type(&all, "turn.result");
    assert_eq!(results[0]["stop_reason"], "cancelled", "{all:#?}");
    session.prompt("[[say on]]").await;
    let ended = session.ended().await.completed();
    assert_eq!(result(&ended, &session).await, "on");
    assert_eq!(lab.server.supervisor().root, process);
}

async fn interrupting_a_question_closes_it(agent: Agent) {
    let lab = Lab::new(agent, "").await;
    let session = lab.session("[[bash echo x >made.txt]] [[say done]]").await;
    let asked = question(&session, 1).await;
    interrupt(&lab, &session).await;
    let body = json!({"request_id": asked["request_id"], "answer": allow_once(&asked)});
    // While it is being stopped, or once it is: either way there is nothing to answer.
    let ended = session.ended().await;
    lab.client()
        .post(&format!("/sessions/{}/answers", session.id), &body)
        .await
        .refused(409);
    assert_eq!(ended.turn["outcome"], "interrupted", "{ended:#?}");
    assert_eq!(lab.server.workspace_file(&session.id, "made.txt"), None);
    let all = events(&session).await;
    assert!(of_type(&all, "permission.answer").is_empty(), "{all:#?}");
    session.prompt("[[say on]]").await;
    let ended = session.ended().await.completed();
    assert_eq!(result(&ended, &session).await, "on");
}
