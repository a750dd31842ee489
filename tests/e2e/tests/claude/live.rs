//! One process for several turns, and what it survives.

use aod_e2e::{DEADLINE, Gate, Process, Session, eventually};
use serde_json::json;

use crate::{Lab, events, last_result, result};

/// The CLI's process, as this machine knows it.
fn cli(lab: &Lab) -> Process {
    let trees = lab.server.supervisors();
    let [tree] = trees.as_slice() else {
        panic!("one supervisor, of {trees:#?}");
    };
    // The sandbox's own processes name the CLI in their arguments, too.
    let of_cli = tree.below.iter().filter(|process| {
        let program = process.program();
        program.is_some_and(|program| program.to_string_lossy().contains("claude"))
    });
    let found: Vec<_> = of_cli.copied().collect();
    let [cli] = found.as_slice() else {
        panic!("one CLI, of {:#?}", tree.below);
    };
    *cli
}

async fn interrupt(lab: &Lab, session: &Session) {
    let path = format!("/sessions/{}/interrupt", session.id);
    lab.client().post_empty(&path).await.expect(202);
    let ended = session.ended().await;
    assert_eq!(ended.session["status"], "completed", "{ended:#?}");
    assert_eq!(ended.turn["outcome"], "interrupted");
}

/// Asks what was said before.
async fn recalled(session: &Session) -> String {
    session.prompt("[[recall]] please").await;
    let ended = session.ended().await.completed();
    result(&ended.last_stdout())
}

#[tokio::test]
async fn three_turns_in_one_process_remember() {
    let lab = Lab::new().await;
    let session = lab.session("the word is tangerine").await;
    session.ended().await.completed();
    let process = cli(&lab);
    session.prompt("the fruit is plum").await;
    session.ended().await.completed();
    assert_eq!(cli(&lab), process);
    assert_eq!(
        recalled(&session).await,
        "You said: the word is tangerine | the fruit is plum"
    );
    assert_eq!(cli(&lab), process);
    // Each turn's own, and none twice.
    let turns = session.turns().await;
    let tokens: Vec<_> = turns
        .iter()
        .map(|turn| turn["usage"]["input_tokens"].clone())
        .collect();
    assert_eq!(tokens, [json!(11), json!(11), json!(11)]);
}

#[tokio::test]
async fn interrupted_in_an_answer_it_takes_the_next_prompt() {
    let lab = Lab::new().await;
    let session = lab.session("[[slow 50]] [[words 2000]]").await;
    session
        .stream()
        .await
        .until(|event| event.says("word9 "))
        .await;
    let process = cli(&lab);
    interrupt(&lab, &session).await;
    let told = last_result(&events(&session).await);
    assert_eq!(told["stop"], "interrupted", "{told}");
    // What was counted until then is not lost.
    let turn = &session.turns().await[0];
    assert_eq!(turn["usage"]["input_tokens"], 11, "{turn}");
    session.prompt("[[say on]]").await;
    let ended = session.ended().await.completed();
    assert_eq!(result(&ended.last_stdout()), "on");
    assert_eq!(cli(&lab), process);
}

#[tokio::test]
async fn interrupted_in_a_tool_it_takes_the_next_prompt() {
    let lab = Lab::new().await;
    let gate = Gate::new("gate");
    let prompt = format!("[[bash {}]] [[say through]]", gate.command());
    let session = lab.session(&prompt).await;
    gate.reached(&lab.server, &session).await;
    let process = cli(&lab);
    let tree = lab.server.supervisor();
    let tools = tree.below.into_iter();
    let tools: Vec<_> = tools
        .filter(|below| below.command().contains("gate.open"))
        .filter(|below| *below != process)
        .collect();
    assert!(!tools.is_empty());
    interrupt(&lab, &session).await;
    eventually("the tool is gone", DEADLINE, async || {
        let left = tools.iter().any(|tool| tool.is_alive());
        (!left).then_some(())
    })
    .await;
    session.prompt("and now? [[recall]]").await;
    let ended = session.ended().await.completed();
    assert!(result(&ended.last_stdout()).contains("gate.open"));
    assert_eq!(cli(&lab), process);
}

/// Before the CLI has begun: it takes the prompt back and tells no result.
#[tokio::test]
async fn interrupted_at_once_it_takes_the_next_prompt() {
    let lab = Lab::new().await;
    let session = lab.session("the word is tangerine").await;
    session.ended().await.completed();
    let process = cli(&lab);
    session.prompt("[[slow 50]] [[words 2000]]").await;
    session.wait_for("running").await;
    interrupt(&lab, &session).await;
    assert!(recalled(&session).await.contains("tangerine"));
    assert_eq!(cli(&lab), process);
}

#[tokio::test]
async fn killed_between_turns_it_is_not_missed() {
    let lab = Lab::new().await;
    let session = lab.session("the word is tangerine").await;
    session.ended().await.completed();
    let process = cli(&lab);
    process.kill();
    eventually("its supervisor is gone", DEADLINE, async || {
        lab.server.supervisors().is_empty().then_some(())
    })
    .await;
    assert_eq!(recalled(&session).await, "You said: the word is tangerine");
    assert_ne!(cli(&lab), process);
    assert_eq!(session.turns().await[0]["outcome"], "completed");
}

#[tokio::test]
async fn killed_within_a_later_turn_it_is_resumed() {
    let lab = Lab::new().await;
    let session = lab.session("the word is tangerine").await;
    session.ended().await.completed();
    let gate = Gate::new("gate");
    session
        .prompt(&format!("[[bash {}]] [[say through]]", gate.command()))
        .await;
    gate.reached(&lab.server, &session).await;
    cli(&lab).kill();
    session.ended().await.failed();
    assert!(recalled(&session).await.contains("the word is tangerine"));
    assert_eq!(gate.arrivals(&lab.server, &session), 1);
}

#[tokio::test]
async fn a_host_that_is_killed_between_turns_goes_on_with_it() {
    let mut lab = Lab::new().await;
    let session = lab.session("the word is tangerine").await;
    session.ended().await.completed();
    let process = cli(&lab);
    lab.server.kill_and_start_again().await;
    let session = session.at(lab.server.client());
    assert_eq!(recalled(&session).await, "You said: the word is tangerine");
    assert_eq!(cli(&lab), process);
    // And again, from what the adapter has kept of two turns.
    lab.server.kill_and_start_again().await;
    let session = session.at(lab.server.client());
    assert!(recalled(&session).await.contains("[[recall]] please"));
    assert_eq!(cli(&lab), process);
    let turns = session.turns().await;
    for turn in &turns {
        assert_eq!(turn["usage"]["input_tokens"], 11, "{turn}");
    }
}

#[tokio::test]
async fn a_host_that_is_killed_within_a_later_turn_goes_on_with_it() {
    let mut lab = Lab::new().await;
    let session = lab.session("the word is tangerine").await;
    session.ended().await.completed();
    let process = cli(&lab);
    let gate = Gate::new("gate");
    session
        .prompt(&format!("[[bash {}]] [[say through]]", gate.command()))
        .await;
    gate.reached(&lab.server, &session).await;
    lab.server.kill_and_start_again().await;
    let session = session.at(lab.server.client());
    gate.open(&lab.server, &session);
    let ended = session.ended().await.completed();
    assert_eq!(result(&ended.last_stdout()), "through");
    assert_eq!(gate.arrivals(&lab.server, &session), 1);
    assert_eq!(cli(&lab), process);
    assert!(recalled(&session).await.contains("tangerine"));
}

#[tokio::test]
async fn another_key_is_used_from_the_next_turn_on() {
    let lab = Lab::registered().await;
    let session = lab.session("the word is tangerine").await;
    session.ended().await.completed();
    let process = cli(&lab);
    let key = crate::secret();
    lab.register("provider_key:anthropic", &key).await;
    lab.model.clear();
    assert_eq!(recalled(&session).await, "You said: the word is tangerine");
    assert_ne!(cli(&lab), process);
    for request in lab.model.requests() {
        assert_eq!(request.credential.as_deref(), Some(key.as_str()));
    }
}
