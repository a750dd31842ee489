//! Turns that are stopped while a tool runs.

use aod_e2e::{DEADLINE, Gate, Process, Session, Tree, eventually};

use crate::{Lab, result};

/// A session in which Claude Code has a tool running, and the tool's daemon beside it.
async fn in_a_tool(lab: &Lab, gate: &Gate) -> (Session, Tree) {
    let daemon = "(setsid sleep 4321 >/dev/null 2>&1 </dev/null &)";
    let prompt = format!("[[bash {daemon}; {}]] [[say through]]", gate.command());
    let session = lab.session(&prompt).await;
    gate.reached(&lab.server, &session).await;
    let tree = lab.server.supervisor();
    let commands: Vec<_> = tree.below.iter().map(|process| process.command()).collect();
    assert!(
        commands
            .iter()
            .any(|command| command.contains("sleep 4321")),
        "{commands:#?}"
    );
    assert!(
        commands.iter().any(|command| command.contains("claude")),
        "{commands:#?}"
    );
    (session, tree)
}

#[tokio::test]
async fn terminating_within_a_tool_leaves_no_process() {
    let lab = Lab::new().await;
    let gate = Gate::new("gate");
    let (session, tree) = in_a_tool(&lab, &gate).await;
    lab.client()
        .post_empty(&format!("/sessions/{}/terminate", session.id))
        .await
        .expect(200);
    let left: Vec<_> = tree.survivors().into_iter().map(Process::command).collect();
    assert!(left.is_empty(), "still running: {left:#?}");
    let ended = session.ended().await;
    assert_eq!(ended.session["status"], "terminated");
    assert_eq!(ended.last().kind(), "terminated");
}

#[tokio::test]
async fn interrupting_within_a_tool_keeps_the_session() {
    let lab = Lab::new().await;
    let gate = Gate::new("gate");
    let (session, tree) = in_a_tool(&lab, &gate).await;
    lab.client()
        .post_empty(&format!("/sessions/{}/interrupt", session.id))
        .await
        .expect(202);
    let ended = session.ended().await;
    assert_eq!(ended.session["status"], "completed", "{ended:#?}");
    assert_eq!(ended.turn["outcome"], "interrupted");
    assert_eq!(ended.turn["status"], "completed");
    eventually("all processes are gone", DEADLINE, async || {
        tree.survivors().is_empty().then_some(())
    })
    .await;
    session.prompt("and now? [[recall]]").await;
    let ended = session.ended().await.completed();
    let answer = result(&ended.last_stdout());
    assert!(
        answer.contains("gate.open"),
        "the interrupted turn is forgotten: {answer}"
    );
}

#[tokio::test]
async fn interrupting_within_an_answer_keeps_the_session() {
    let lab = Lab::new().await;
    let session = lab.session("[[slow 50]] [[words 2000]]").await;
    let mut stream = session.stream().await;
    stream
        .until(|event| {
            event.data["data"]
                .as_str()
                .is_some_and(|data| data.contains("word2 "))
        })
        .await;
    lab.client()
        .post_empty(&format!("/sessions/{}/interrupt", session.id))
        .await
        .expect(202);
    stream.rest().await;
    let ended = session.ended().await;
    assert_eq!(ended.session["status"], "completed", "{ended:#?}");
    assert_eq!(ended.turn["outcome"], "interrupted");
    session.prompt("[[say on]]").await;
    assert_eq!(
        result(&session.ended().await.completed().last_stdout()),
        "on"
    );
}
