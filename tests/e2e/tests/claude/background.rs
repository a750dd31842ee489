//! Work that a turn leaves in the background, with a process that stays and with one a turn.

use aod_e2e::{DEADLINE, eventually};
use serde_json::{Value, json};

use crate::{Lab, events, last_result, of_type};

/// Makes two tests of each function.
macro_rules! in_both_modes {
    ($($test:ident),+ $(,)?) => {
        mod in_a_process_that_stays {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::Lab::new().await).await;
            })+
        }

        mod in_a_process_a_turn {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::Lab::with_a_process_a_turn().await).await;
            })+
        }
    };
}

in_both_modes!(
    a_turn_ends_when_its_own_work_has,
    a_turn_does_not_end_by_what_an_earlier_one_left,
    a_subagents_work_is_the_turns,
    interrupted_work_is_stopped,
    a_turn_that_runs_out_of_time_is_counted,
    interrupted_while_it_waits_a_turn_keeps_its_answer,
    a_command_of_the_clis_own_is_told_of,
    a_skill_that_cannot_begin_is_told_of,
);

/// A call of the shell that nobody waits for.
fn behind(command: &str) -> String {
    let input = json!({
        "command": command, "run_in_background": true, "description": "a nap",
    });
    format!("[[mcp Bash {input}]]")
}

/// Not `sleep`, which the CLI does not let stand by itself.
fn nap(seconds: u32) -> String {
    format!("python3 -c 'import time; time.sleep({seconds})'")
}

/// The tokens that were counted are the model's.
fn check_usage(lab: &Lab, usage: &Value) {
    let counted = lab.model.usage();
    assert_eq!(usage["input_tokens"], counted.input_tokens, "{counted:?}");
    assert_eq!(usage["output_tokens"], counted.output_tokens, "{counted:?}");
}

async fn a_turn_ends_when_its_own_work_has(lab: Lab) {
    let command = format!("{}; echo plum >note.txt", nap(6));
    let prompt = format!("{} [[say left it]] [[told it is done]]", behind(&command));
    let session = lab.session(&prompt).await;
    let ended = session.ended().await.completed();
    let note = lab.server.workspace_file(&session.id, "note.txt");
    assert_eq!(note.as_deref(), Some("plum\n"));
    let events = events(&session).await;
    assert_eq!(last_result(&events)["text"], "it is done");
    let states: Vec<_> = of_type(&events, "task")
        .iter()
        .map(|task| task["state"].clone())
        .collect();
    assert_eq!(states, ["opened", "completed"], "{events:#?}");
    check_usage(&lab, &ended.session["usage"]);
}

/// The first turn's process dies with its work; what the CLI says of that in the next one is not
/// its result.
async fn a_turn_does_not_end_by_what_an_earlier_one_left(lab: Lab) {
    let prompt = format!("{} [[say left it]]", behind(&nap(600)));
    let session = lab.session(&prompt).await;
    session
        .stream()
        .await
        .until(|event| event.says("\"type\":\"result\""))
        .await;
    let tree = lab.server.supervisor();
    for process in &tree.below {
        process.kill();
    }
    session.ended().await;
    eventually("it is gone", DEADLINE, async || {
        tree.survivors().is_empty().then_some(())
    })
    .await;
    let long = format!("[[bash {}; echo plum >note.txt]] [[say done]]", nap(6));
    session.prompt(&long).await;
    session.ended().await.completed();
    let note = lab.server.workspace_file(&session.id, "note.txt");
    assert_eq!(note.as_deref(), Some("plum\n"));
    assert_eq!(last_result(&events(&session).await)["text"], "done");
    let turn = &session.turns().await[1];
    assert_eq!(turn["usage"]["input_tokens"], 22, "{turn}");
}

async fn a_subagents_work_is_the_turns(lab: Lab) {
    let task = json!({
        "description": "look around",
        "prompt": format!("[[bash {}]] [[say nothing there]]", nap(2)),
        "subagent_type": "general-purpose",
    });
    let prompt = format!("[[mcp Agent {task}]] [[say wait]] [[told there was nothing]]");
    let session = lab.session(&prompt).await;
    let ended = session.ended().await.completed();
    assert_eq!(lab.model.usage().replies, 5);
    check_usage(&lab, &ended.session["usage"]);
    let events = events(&session).await;
    assert_eq!(last_result(&events)["text"], "there was nothing");
}

async fn interrupted_work_is_stopped(lab: Lab) {
    let prompt = format!("{} [[slow 50]] [[words 2000]]", behind(&nap(600)));
    let session = lab.session(&prompt).await;
    session
        .stream()
        .await
        .until(|event| event.says("word9 "))
        .await;
    let tree = lab.server.supervisor();
    let naps: Vec<_> = tree
        .below
        .into_iter()
        .filter(|process| process.command().starts_with("python3"))
        .collect();
    assert!(!naps.is_empty());
    let path = format!("/sessions/{}/interrupt", session.id);
    lab.client().post_empty(&path).await.expect(202);
    let ended = session.ended().await;
    assert_eq!(ended.turn["outcome"], "interrupted", "{ended:#?}");
    eventually("the nap is over", DEADLINE, async || {
        (!naps.iter().any(|nap| nap.is_alive())).then_some(())
    })
    .await;
    // What the model was asked is counted.
    let turn = &session.turns().await[0];
    assert_eq!(turn["usage"]["input_tokens"], 22, "{turn}");
    let told = events(&session).await;
    let last = of_type(&told, "task").pop().unwrap();
    assert_eq!(last["state"], "stopped", "{told:#?}");
    session.prompt("[[say on]]").await;
    session.ended().await.completed();
    assert_eq!(last_result(&events(&session).await)["text"], "on");
}

async fn interrupted_while_it_waits_a_turn_keeps_its_answer(lab: Lab) {
    let prompt = format!("{} [[say left it]]", behind(&nap(600)));
    let session = lab.session(&prompt).await;
    session
        .stream()
        .await
        .until(|event| event.says("\"type\":\"result\""))
        .await;
    let path = format!("/sessions/{}/interrupt", session.id);
    lab.client().post_empty(&path).await.expect(202);
    let ended = session.ended().await;
    assert_eq!(ended.turn["outcome"], "interrupted", "{ended:#?}");
    let told = events(&session).await;
    assert_eq!(last_result(&told)["stop"], "interrupted");
    assert_eq!(last_result(&told)["text"], "left it");
    let last = of_type(&told, "task").pop().unwrap();
    assert_eq!(last["state"], "stopped", "{told:#?}");
    check_usage(&lab, &ended.session["usage"]);
    session.prompt("[[say on]]").await;
    session.ended().await.completed();
    assert_eq!(last_result(&events(&session).await)["text"], "on");
}

async fn a_turn_that_runs_out_of_time_is_counted(lab: Lab) {
    let more = json!({"prompt": "[[slow 50]] [[words 2000]]", "timeout": 10});
    let session = lab.session_with(more).await;
    let ended = session.ended().await;
    assert!(ended.failed().contains("timeout of 10 s"));
    let turn = &session.turns().await[0];
    assert_eq!(turn["usage"]["input_tokens"], 11, "{turn}");
    assert!(turn["usage"]["output_tokens"].as_u64() > Some(0), "{turn}");
    let told = last_result(&events(&session).await);
    assert_eq!(told["failure"]["kind"], "timeout", "{told}");
    session.prompt("[[say on]]").await;
    session.ended().await.completed();
}

/// The notice that says that no model was asked.
fn is_told_that_nobody_was_asked(events: &[Value]) -> bool {
    let notices = of_type(events, "notice");
    notices
        .iter()
        .any(|notice| notice["code"] == "no_model_request")
}

async fn a_command_of_the_clis_own_is_told_of(lab: Lab) {
    let session = lab.session("/cost").await;
    session.ended().await.completed();
    assert!(
        lab.model
            .requests()
            .iter()
            .all(|it| it.path != "/v1/messages")
    );
    let told = events(&session).await;
    assert!(is_told_that_nobody_was_asked(&told), "{told:#?}");
    let text = last_result(&told)["text"].as_str().unwrap().to_owned();
    assert!(text.contains("cost"), "{text}");
    session.prompt("[[say on]]").await;
    session.ended().await.completed();
    assert_eq!(last_result(&events(&session).await)["text"], "on");
}

async fn a_skill_that_cannot_begin_is_told_of(lab: Lab) {
    let skill = json!({
        "name": "stumble",
        "description": "Never begins.",
        "content": "First: !`cat /missing/file`\n\nThen go on.",
    });
    let agent = lab.agent(json!({"skills": [skill]})).await;
    let session = lab
        .session_with(json!({"agent_id": agent, "prompt": "/stumble"}))
        .await;
    session.ended().await.completed();
    let told = events(&session).await;
    assert!(is_told_that_nobody_was_asked(&told), "{told:#?}");
    // In the model's stead, the CLI says why.
    let whole = Value::from(told).to_string();
    assert!(whole.contains("/missing/file"), "{whole}");
}
