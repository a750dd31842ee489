//! What an agent asks, and who answers.

use serde_json::{Value, json};

use crate::{Agent, Lab, allow_once, events, of_type, question, result, with_each_agent};

with_each_agent!(
    a_user_allows_what_is_asked,
    what_nobody_answers_is_answered_by_the_default,
);

async fn a_user_allows_what_is_asked(agent: Agent) {
    let lab = Lab::new(agent, "").await;
    let session = lab.session("[[bash echo x >made.txt]] [[say done]]").await;
    let asked = question(&session, 1).await;
    assert_eq!(asked["kind"], "permission");
    assert_eq!(asked["deadline_ms"], 300_000);
    let path = format!("/sessions/{}/answers", session.id);
    let client = lab.client();
    let body = |id: &Value, answer: &str| json!({"request_id": id, "answer": answer});
    let id = &asked["request_id"];
    // None of these is an answer.
    client
        .post(&path, &body(&json!("no-such"), "x"))
        .await
        .refused(404);
    let problems = client.post(&path, &body(id, "perhaps")).await.refused(422);
    assert_eq!(problems[0]["loc"], json!(["body", "answer"]), "{problems}");
    let problems = client.post(&path, &json!({"answer": 1})).await.refused(422);
    assert_eq!(problems.as_array().unwrap().len(), 2, "{problems}");
    let other = lab.server.add_user("other");
    other
        .post(&path, &body(id, allow_once(&asked)))
        .await
        .refused(404);
    assert_eq!(lab.server.workspace_file(&session.id, "made.txt"), None);

    let ack = client
        .post(&path, &body(id, allow_once(&asked)))
        .await
        .expect(202);
    assert_eq!(ack["request_id"], *id);
    let ended = session.ended().await.completed();
    assert_eq!(result(&ended, &session).await, "done");
    assert!(lab.server.workspace_file(&session.id, "made.txt").is_some());
    // Nothing runs that could be answered.
    client
        .post(&path, &body(id, allow_once(&asked)))
        .await
        .refused(409);
    let all = events(&session).await;
    let answers = of_type(&all, "permission.answer");
    assert_eq!(answers.len(), 1, "{all:#?}");
    assert_eq!(answers[0]["request_id"], *id);
    assert_eq!(answers[0]["answer"], allow_once(&asked));
    assert_eq!(answers[0]["by_default"], false);
}

async fn what_nobody_answers_is_answered_by_the_default(agent: Agent) {
    let lab = Lab::new(agent, "permission_deadline = 1").await;
    let session = lab.session("[[bash echo x >made.txt]] [[say done]]").await;
    session.ended().await.completed();
    assert_eq!(lab.server.workspace_file(&session.id, "made.txt"), None);
    let all = events(&session).await;
    let asked = of_type(&all, "permission.request");
    let answers = of_type(&all, "permission.answer");
    assert_eq!((asked.len(), answers.len()), (1, 1), "{all:#?}");
    assert_eq!(answers[0]["answer"], asked[0]["default"]);
    assert_eq!(answers[0]["by_default"], true);
}
