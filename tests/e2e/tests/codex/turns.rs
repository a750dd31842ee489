//! Turns of one process.

use aod_e2e::{DEADLINE, eventually};
use serde_json::json;

use crate::{Lab, answer, events, of_type};

#[tokio::test]
async fn three_turns_are_served_by_one_process_that_remembers() {
    let lab = Lab::new().await;
    let session = lab.session("the word is tangerine").await;
    answer(&session).await;
    let processes = lab.processes();
    assert!(!processes.is_empty(), "none stays");
    session
        .prompt("[[bash echo plum >note.txt]] [[say noted]]")
        .await;
    assert_eq!(answer(&session).await, "noted");
    session.prompt("which word? [[recall]]").await;
    let last = answer(&session).await;
    for part in ["the word is tangerine", "echo plum"] {
        assert!(last.contains(part), "{last}");
    }
    assert_eq!(lab.processes(), processes);
    let note = lab.server.workspace_file(&session.id, "note.txt");
    assert_eq!(note.as_deref(), Some("plum\n"));
    let all = events(&session).await;
    assert!(of_type(&all, "unparsed").is_empty(), "{all:#?}");
    for turn in 1..=3 {
        let pieces = all
            .iter()
            .filter(|event| event["turn"] == turn && event["type"] == "message.delta");
        assert!(pieces.count() > 0, "turn {turn}: {all:#?}");
    }
}

/// What the CLI warns of with each prompt is no news the second time.
#[tokio::test]
async fn a_warning_is_told_once_a_process() {
    let lab = Lab::new().await;
    let session = lab.session("one").await;
    answer(&session).await;
    session.prompt("two").await;
    answer(&session).await;
    let all = events(&session).await;
    let warnings = of_type(&all, "notice").into_iter();
    let about_the_model = warnings.filter(|notice| notice["text"].to_string().contains("metadata"));
    assert_eq!(about_the_model.count(), 1, "{all:#?}");
}

#[tokio::test]
async fn usage_is_what_the_provider_counted_in_warm_and_cold_turns() {
    let lab = Lab::new().await;
    let session = lab.session("[[bash true]] [[say one]]").await;
    answer(&session).await;
    session.prompt("[[say two]]").await;
    answer(&session).await;
    for process in lab.processes() {
        process.kill();
    }
    eventually("it is gone", DEADLINE, async || {
        lab.server.supervisors().is_empty().then_some(())
    })
    .await;
    session.prompt("[[bash true]] [[say three]]").await;
    answer(&session).await;
    session.prompt("[[say four]]").await;
    let ended = session.ended().await.completed();
    let counted = lab.model.usage();
    assert_eq!(counted.replies, 6, "{counted:?}");
    let usage = &ended.session["usage"];
    assert_eq!(usage["input_tokens"], counted.input_tokens, "{usage}");
    assert_eq!(usage["output_tokens"], counted.output_tokens, "{usage}");
    let turns = session.turns().await;
    let of_each: Vec<_> = turns
        .iter()
        .map(|turn| turn["usage"]["input_tokens"].as_u64().unwrap() / 11)
        .collect();
    assert_eq!(of_each, [2, 1, 2, 1], "{turns:#?}");
}

/// A subagent works beside the agent: the turn waits for it, and counts what it uses.
#[tokio::test]
async fn a_subagent_belongs_to_its_turn() {
    let lab = Lab::new().await;
    let prompt = r#"[[mcp spawn_agent {"message":"[[bash sleep 1; echo sub]] [[say from the sub]]"}]] [[say main]]"#;
    let session = lab.session(prompt).await;
    let ended = session.ended().await.completed();
    let all = events(&session).await;
    let call = of_type(&all, "tool.call")[0];
    let said: Vec<_> = of_type(&all, "message")
        .into_iter()
        .map(|message| (message["text"].clone(), message["inside"].clone()))
        .collect();
    let inside = call["call_id"].clone();
    assert!(said.contains(&(json!("from the sub"), inside)), "{all:#?}");
    assert!(said.contains(&(json!("main"), json!(null))), "{all:#?}");
    assert_eq!(of_type(&all, "turn.result")[0]["text"], "main");
    let counted = lab.model.usage();
    assert_eq!(counted.replies, 4, "{counted:?}");
    let usage = &ended.session["usage"];
    assert_eq!(usage["input_tokens"], counted.input_tokens, "{usage}");
}

/// A command that was left running ends when it ends, and is told with the turn that began it.
#[tokio::test]
async fn what_ends_late_belongs_to_its_turn() {
    let lab = Lab::new().await;
    let prompt = r#"[[mcp exec_command {"cmd":"while [ ! -e on ]; do sleep 0.05; done; echo late","yield_time_ms":250}]] [[say went on]]"#;
    let session = lab.session(prompt).await;
    assert_eq!(answer(&session).await, "went on");
    let all = events(&session).await;
    let call = of_type(&all, "tool.call")[0]["call_id"].clone();
    assert!(of_type(&all, "tool.result").is_empty(), "{all:#?}");
    session
        .prompt("[[bash touch on; sleep 1]] [[say second]]")
        .await;
    assert_eq!(answer(&session).await, "second");
    let all = events(&session).await;
    let results = of_type(&all, "tool.result");
    let late: Vec<_> = results.iter().filter(|it| it["call_id"] == call).collect();
    assert_eq!(late.len(), 1, "{all:#?}");
    assert_eq!(late[0]["output"], "late\n");
    assert_eq!(late[0]["turn"], 1, "{all:#?}");
}
