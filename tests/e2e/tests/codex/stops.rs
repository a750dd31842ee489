//! Turns that are stopped, and leave their process.

use aod_e2e::{DEADLINE, Gate, Session, eventually};

use crate::{Lab, answer, events, of_type, result};

async fn interrupt(lab: &Lab, session: &Session) {
    lab.client()
        .post_empty(&format!("/sessions/{}/interrupt", session.id))
        .await
        .expect(202);
    let ended = session.ended().await;
    assert_eq!(ended.session["status"], "completed", "{ended:#?}");
    assert_eq!(ended.turn["outcome"], "interrupted");
    let result = result(session, &ended).await;
    assert_eq!(result["stop_reason"], "interrupted", "{result}");
}

#[tokio::test]
async fn an_answer_that_is_stopped_leaves_the_process() {
    let lab = Lab::new().await;
    let session = lab.session("[[slow 50]] [[words 2000]] one").await;
    eventually("it answers", DEADLINE, async || {
        let all = events(&session).await;
        (of_type(&all, "message.delta").len() > 2).then_some(())
    })
    .await;
    let processes = lab.processes();
    interrupt(&lab, &session).await;
    let all = events(&session).await;
    let messages = of_type(&all, "message");
    let last = messages.last().unwrap();
    assert_eq!(last["aborted"], true, "{last}");
    assert!(last["text"].as_str().unwrap().starts_with("word1 word2"));
    session.prompt("and now? [[recall]]").await;
    let text = answer(&session).await;
    assert!(text.contains("[[words 2000]] one"), "{text}");
    assert_eq!(lab.processes(), processes);
}

#[tokio::test]
async fn a_tool_that_is_stopped_is_gone_and_leaves_the_process() {
    let lab = Lab::new().await;
    let gate = Gate::new("gate");
    let session = lab
        .session(&format!("[[bash {}]] [[say through]]", gate.command()))
        .await;
    gate.reached(&lab.server, &session).await;
    // The CLI says so once the tool has run for a while.
    eventually("the call is told", DEADLINE, async || {
        let all = events(&session).await;
        (!of_type(&all, "tool.call").is_empty()).then_some(())
    })
    .await;
    let processes = lab.processes();
    let tools = || {
        let mut below = lab.server.supervisor().below;
        below.retain(|process| process.command().contains("gate.open"));
        below.len()
    };
    assert!(tools() > 0);
    interrupt(&lab, &session).await;
    assert_eq!(tools(), 0, "the tool lives on");
    let all = events(&session).await;
    assert_eq!(of_type(&all, "tool.result").len(), 1, "{all:#?}");
    session.prompt("and now? [[recall]]").await;
    let text = answer(&session).await;
    assert!(text.contains("gate.open"), "{text}");
    assert_eq!(lab.processes(), processes);
}

/// Before the CLI has said that there is one.
#[tokio::test]
async fn a_tool_that_has_just_begun_is_gone_too() {
    let lab = Lab::new().await;
    let gate = Gate::new("gate");
    let session = lab.session(&format!("[[bash {}]]", gate.command())).await;
    gate.reached(&lab.server, &session).await;
    interrupt(&lab, &session).await;
    let mut below = lab.server.supervisor().below;
    below.retain(|process| process.command().contains("gate.open"));
    assert!(below.is_empty(), "the tool lives on");
    session.prompt("[[say on]]").await;
    assert_eq!(answer(&session).await, "on");
}
