//! Turns that are stopped while a tool runs.

use aod_e2e::{DEADLINE, Gate, Session, Tree, eventually};

use crate::lab::{Lab, Vendor, said};

each_vendor!(
    terminating_within_a_tool_leaves_no_process,
    interrupting_within_a_tool_keeps_the_session,
    interrupting_within_an_answer_keeps_the_session,
);

/// A session in which the CLI has a tool running, and the tool's daemon beside it.
async fn in_a_tool(lab: &Lab, gate: &Gate) -> (Session, Tree) {
    let daemon = "(setsid sleep 4321 >/dev/null 2>&1 </dev/null &)";
    let prompt = format!("[[bash {daemon}; {}]] [[say through]]", gate.command());
    let session = lab.session(&prompt).await;
    gate.reached(&lab.server, &session).await;
    let tree = lab.server.supervisor();
    let commands: Vec<_> = tree.below.iter().map(|process| process.command()).collect();
    for part in ["sleep 4321", lab.vendor.runtime] {
        let runs = commands.iter().any(|command| command.contains(part));
        assert!(runs, "{part}: {commands:#?}");
    }
    (session, tree)
}

async fn terminating_within_a_tool_leaves_no_process(vendor: &'static Vendor) {
    let lab = Lab::new(vendor).await;
    let gate = Gate::new("gate");
    let (session, tree) = in_a_tool(&lab, &gate).await;
    lab.client()
        .post_empty(&format!("/sessions/{}/terminate", session.id))
        .await
        .expect(200);
    tree.none_left().await;
    let ended = session.ended().await;
    assert_eq!(ended.session["status"], "terminated");
    assert_eq!(ended.last().kind(), "terminated");
}

async fn interrupt(lab: &Lab, session: &Session) {
    lab.client()
        .post_empty(&format!("/sessions/{}/interrupt", session.id))
        .await
        .expect(202);
    let ended = session.ended().await;
    assert_eq!(ended.session["status"], "completed", "{ended:#?}");
    assert_eq!(ended.turn["outcome"], "interrupted");
    assert_eq!(ended.turn["status"], "completed");
}

async fn interrupting_within_a_tool_keeps_the_session(vendor: &'static Vendor) {
    let lab = Lab::with_a_process_a_turn(vendor).await;
    let gate = Gate::new("gate");
    let (session, tree) = in_a_tool(&lab, &gate).await;
    interrupt(&lab, &session).await;
    eventually("all processes are gone", DEADLINE, async || {
        tree.survivors().is_empty().then_some(())
    })
    .await;
    session.prompt("and now? [[recall]]").await;
    let ended = session.ended().await.completed();
    let answer = said(&session, &ended).await;
    assert!(
        answer.contains("gate.open"),
        "the interrupted turn is forgotten: {answer}"
    );
}

async fn interrupting_within_an_answer_keeps_the_session(vendor: &'static Vendor) {
    let lab = Lab::new(vendor).await;
    let session = lab.session("[[slow 50]] [[words 2000]] one").await;
    // What says that the answer is on its way differs; that the model was asked does not.
    eventually("the model is asked", DEADLINE, async || {
        let requests = lab.model.requests();
        let asked = |it: &aod_standin::Request| it.body.to_string().contains("[[words 2000]]");
        requests.iter().any(asked).then_some(())
    })
    .await;
    interrupt(&lab, &session).await;
    session.prompt("[[say on]]").await;
    let ended = session.ended().await.completed();
    assert_eq!(said(&session, &ended).await, "on");
}
