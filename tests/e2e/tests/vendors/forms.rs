//! Answers in a form that was asked for, with each vendor's CLI.

use serde_json::{Value, json};

use crate::lab::{Lab, Vendor, events, said};

each_vendor!(
    an_answer_that_does_not_fit_is_asked_for_once_more,
    an_answer_that_fits_at_last_is_the_turns,
    an_answer_is_asked_for_once_more_where_processes_do_not_stay,
);

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": false,
    })
}

/// How the model gives an answer of a form: Claude Code has a tool for it.
fn answer(lab: &Lab, value: &str) -> String {
    match lab.vendor.runtime {
        "claude" => format!("[[mcp StructuredOutput {value}]] [[say done]]"),
        _ => format!("[[say {value}]]"),
    }
}

fn then(lab: &Lab, value: &str) -> String {
    match lab.vendor.runtime {
        "claude" => format!("[[then [[mcp StructuredOutput {value}]] [[say done]]]]"),
        _ => format!("[[then {value}]]"),
    }
}

async fn an_answer_that_does_not_fit_is_asked_for_once_more(vendor: &'static Vendor) {
    let lab = Lab::new(vendor).await;
    let prompt = "[[say plum]] [[then pear]]";
    let session = lab
        .session_with(json!({"prompt": prompt, "output_schema": schema()}))
        .await;
    let ended = session.ended().await;
    ended.failed();
    let failure = &ended.turn["result"]["failure"];
    assert_eq!(failure["kind"], "output", "{failure}");
    let told = events(&session, &ended).await;
    let of = |kind: &str| told.iter().filter(|it| it["type"] == kind).count();
    assert_eq!(of("turn.result"), 1, "{told:#?}");
    assert_eq!(of("turn.started"), 1, "{told:#?}");
    let again = told.iter().filter(|it| it["code"] == "output.again");
    assert_eq!(again.count(), 1, "{told:#?}");
    assert!(!lab.asked("Your answer was not accepted").is_empty());
    // One turn, and the next one is asked nothing of the kind.
    assert_eq!(session.turns().await.len(), 1);
    session.prompt("[[say on]]").await;
    let ended = session.ended().await.completed();
    assert_eq!(said(&session, &ended).await, "on");
}

async fn fits_at_last(lab: Lab) {
    let prompt = format!("[[say plum]] {}", then(&lab, r#"{"n": 7}"#));
    let session = lab
        .session_with(json!({"prompt": prompt, "output_schema": schema()}))
        .await;
    let ended = session.ended().await.completed();
    let result = &ended.turn["result"];
    assert_eq!(result["structured"], json!({"n": 7}), "{result}");
    assert_eq!(ended.session["result"]["structured"], json!({"n": 7}));
    // Both answers are paid for.
    let used = ended.turn["usage"]["output_tokens"].as_u64().unwrap();
    assert!(used >= 14, "{used}");
    let fits = format!("{} now", answer(&lab, r#"{"n": 8}"#));
    session
        .prompt_with(&json!({"prompt": fits, "output_schema": schema()}))
        .await;
    let ended = session.ended().await.completed();
    let result = &ended.turn["result"];
    assert_eq!(result["structured"], json!({"n": 8}), "{result}");
    let told = events(&session, &ended).await;
    assert!(told.iter().all(|it| it["code"] != "output.again"));
}

async fn an_answer_that_fits_at_last_is_the_turns(vendor: &'static Vendor) {
    fits_at_last(Lab::new(vendor).await).await;
}

async fn an_answer_is_asked_for_once_more_where_processes_do_not_stay(vendor: &'static Vendor) {
    let lab = Lab::with_a_process_a_turn(vendor).await;
    fits_at_last(lab).await;
}
