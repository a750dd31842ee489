//! What a turn may use, with each vendor's CLI.

use aod_e2e::{Ended, Session};
use aod_standin::Request;
use serde_json::json;

use crate::lab::{CODEX, GEMINI, Lab, OPENCODE, Vendor, events, said};

each_vendor!(
    a_dead_provider_costs_so_many_requests,
    a_dead_provider_costs_so_many_requests_in_a_process_a_turn,
    rounds_end_a_turn,
);

mod tokens {
    use super::*;

    #[tokio::test]
    async fn codex() {
        tokens_end_a_turn(&CODEX).await;
    }

    #[tokio::test]
    async fn gemini() {
        tokens_end_a_turn(&GEMINI).await;
    }

    #[tokio::test]
    async fn opencode() {
        tokens_end_a_turn(&OPENCODE).await;
    }
}

mod costs {
    use super::*;
    use crate::lab::CLAUDE;

    /// What two requests to the stand-in cost is more.
    const DOLLARS: f64 = 0.000_01;

    async fn costs_end_a_turn(vendor: &'static Vendor) {
        let lab = Lab::new(vendor).await;
        let (session, ended) = busy(&lab, json!({"max_cost_usd": DOLLARS})).await;
        let result = &ended.turn["result"];
        assert_eq!(result["stop"], "budget", "{result}");
        let message = result["failure"]["message"].as_str().unwrap();
        assert!(message.contains("max_cost_usd"), "{message}");
        let used = ended.turn["usage"]["cost_usd"].as_f64().unwrap();
        assert!(used >= DOLLARS, "{used}");
        // The session's limit holds in each of its turns, and the prompt's own wins.
        let on = json!({"prompt": "[[say on]]", "limits": {"max_cost_usd": 1}});
        session.prompt_with(&on).await;
        session.ended().await.completed();
    }

    #[tokio::test]
    async fn claude() {
        costs_end_a_turn(&CLAUDE).await;
    }

    #[tokio::test]
    async fn opencode() {
        costs_end_a_turn(&OPENCODE).await;
    }

    /// What a user may spend on a day.
    #[tokio::test]
    async fn of_a_day() {
        let setting = ("AOD_LIMITS__USER_DAY_COST_USD", DOLLARS.to_string());
        let lab = Lab::with_setting(&OPENCODE, setting).await;
        let (session, _) = busy(&lab, json!({})).await;
        let path = format!("/sessions/{}/prompt", session.id);
        let refused = lab.client().post(&path, &json!({"prompt": "on"})).await;
        let refused = refused.refusal(429);
        assert!(refused.contains("max_cost_usd"), "{refused}");
    }
}

const MOST: usize = 2;

/// Every stream ends without a reason.
async fn a_dead_provider_costs_so_many_requests(vendor: &'static Vendor) {
    dead_provider(Lab::new(vendor).await).await;
}

async fn a_dead_provider_costs_so_many_requests_in_a_process_a_turn(vendor: &'static Vendor) {
    dead_provider(Lab::with_a_process_a_turn(vendor).await).await;
}

async fn dead_provider(lab: Lab) {
    let limits = json!({"max_rounds": MOST});
    let session = lab
        .session_with(json!({"prompt": "[[say half]] [[cut]]", "limits": limits}))
        .await;
    let ended = session.ended().await;
    ended.failed();
    let failure = &ended.turn["result"]["failure"];
    // A CLI may give up before.
    let kind = failure["kind"].as_str().unwrap();
    assert!(["limit", "provider"].contains(&kind), "{failure}");
    let asked = steps(&lab, "[[cut]]");
    assert!(asked <= MOST, "{asked} requests: {failure}");
    // Who has made them all was not to make another, and who has not was not stopped.
    assert_eq!(kind == "limit", asked == MOST, "{asked}: {failure}");
    if kind == "limit" {
        assert!(
            failure["message"].as_str().unwrap().contains("max_rounds"),
            "{failure}"
        );
    }
    goes_on(&session).await;
}

/// Requests that offer the model tools: what a CLI asks besides is no step of its work.
fn steps(lab: &Lab, prompt: &str) -> usize {
    let asked = lab.asked(prompt);
    let offers_tools = |request: &&Request| {
        request.body["tools"]
            .as_array()
            .is_some_and(|it| !it.is_empty())
    };
    asked.iter().filter(offers_tools).count()
}

async fn goes_on(session: &Session) {
    session.prompt("[[say on]]").await;
    let ended = session.ended().await.completed();
    assert_eq!(said(session, &ended).await, "on");
}

/// The turn that the stand-in would keep busy.
async fn busy(lab: &Lab, limits: serde_json::Value) -> (Session, Ended) {
    let steps: Vec<_> = (1..=8)
        .map(|step| format!("[[bash echo step{step}]]"))
        .collect();
    let prompt = format!("{} [[say done]]", steps.join(" "));
    let session = lab
        .session_with(json!({"prompt": prompt, "limits": limits}))
        .await;
    let ended = session.ended().await;
    ended.failed();
    let result = &ended.turn["result"];
    assert_eq!(result["failure"]["kind"], "limit", "{result}");
    (session, ended)
}

async fn rounds_end_a_turn(vendor: &'static Vendor) {
    let lab = Lab::new(vendor).await;
    let (session, ended) = busy(&lab, json!({"max_rounds": 2})).await;
    let result = &ended.turn["result"];
    assert_eq!(result["stop"], "max_rounds", "{result}");
    let message = result["failure"]["message"].as_str().unwrap();
    assert!(message.contains("max_rounds"), "{message}");
    let told = events(&session, &ended).await;
    let calls = told.iter().filter(|it| it["type"] == "tool.call").count();
    assert_eq!(calls, 2);
    assert_eq!(steps(&lab, "step1"), 2);
    goes_on(&session).await;
}

/// The stand-in counts seven tokens for each reply.
async fn tokens_end_a_turn(vendor: &'static Vendor) {
    let lab = Lab::new(vendor).await;
    let (session, ended) = busy(&lab, json!({"max_output_tokens": 10})).await;
    let result = &ended.turn["result"];
    assert_eq!(result["stop"], "budget", "{result}");
    let message = result["failure"]["message"].as_str().unwrap();
    assert!(message.contains("max_output_tokens: "), "{message}");
    assert!(message.contains("of at most 10"), "{message}");
    let used = ended.turn["usage"]["output_tokens"].as_u64().unwrap();
    assert!((14..=28).contains(&used), "{used}");
    goes_on(&session).await;
}
