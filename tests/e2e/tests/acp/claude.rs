//! Claude Code by its published adapter.

use aod_e2e::{DEADLINE, Session, eventually};

use crate::{CLAUDE, Lab, events, of_type, result};

async fn interrupt(lab: &Lab, session: &Session) {
    lab.client()
        .post_empty(&format!("/sessions/{}/interrupt", session.id))
        .await
        .expect(202);
    let ended = session.ended().await;
    assert_eq!(ended.session["status"], "completed", "{ended:#?}");
    assert_eq!(ended.turn["outcome"], "interrupted", "{ended:#?}");
}

#[tokio::test]
async fn two_turns_have_one_process_and_remember() {
    let lab = Lab::new(CLAUDE, "").await;
    let session = lab.session("[[bash echo plum]] [[say apricot]]").await;
    let ended = session.ended().await.completed();
    assert_eq!(result(&ended, &session).await, "apricot");
    let process = lab.server.supervisor().root;
    session.prompt("[[recall]]").await;
    let ended = session.ended().await.completed();
    let answer = result(&ended, &session).await;
    assert!(answer.contains("[[say apricot]]"), "{answer}");
    assert_eq!(lab.server.supervisor().root, process);
    let all = events(&session).await;
    assert_eq!(of_type(&all, "session.started").len(), 1, "{all:#?}");
    let (calls, results) = (of_type(&all, "tool.call"), of_type(&all, "tool.result"));
    assert_eq!((calls.len(), results.len()), (1, 1), "{all:#?}");
    assert_eq!(calls[0]["canonical_name"], "bash", "{all:#?}");
    assert!(of_type(&all, "unparsed").is_empty(), "{all:#?}");
    assert_eq!(ended.turn["usage"]["output_tokens"], 7, "{:#?}", ended.turn);
}

#[tokio::test]
async fn an_interrupted_turn_keeps_the_process() {
    let lab = Lab::new(CLAUDE, "").await;
    let session = lab.session("[[slow 50]] [[words 2000]]").await;
    eventually("it answers", DEADLINE, async || {
        let all = events(&session).await;
        (of_type(&all, "message.delta").len() > 2).then_some(())
    })
    .await;
    interrupt(&lab, &session).await;
    let process = lab.server.supervisor().root;
    session.prompt("[[bash echo x >there; sleep 4321]]").await;
    eventually("the tool runs", DEADLINE, async || {
        lab.server.workspace_file(&session.id, "there").map(|_| ())
    })
    .await;
    interrupt(&lab, &session).await;
    session.prompt("[[say on]]").await;
    let ended = session.ended().await.completed();
    assert_eq!(result(&ended, &session).await, "on");
    assert_eq!(lab.server.supervisor().root, process);
}
