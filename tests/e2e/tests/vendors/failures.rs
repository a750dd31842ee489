//! Providers that refuse, break or hang.

use aod_e2e::{Ended, Session};
use serde_json::json;

use crate::lab::{Lab, Vendor, events, said};

each_vendor!(
    a_refused_key_fails_the_turn,
    a_broken_provider_fails_the_turn,
    an_exhausted_quota_fails_the_turn,
);

async fn fails(lab: &Lab, prompt: &str) -> (Session, Ended) {
    let session = lab
        .session_with(json!({"prompt": prompt, "timeout": lab.vendor.patience}))
        .await;
    let ended = session.ended().await;
    ended.failed();
    assert_eq!(ended.session["resumable"], true);
    (session, ended)
}

/// The session goes on after a turn that failed.
async fn goes_on(session: &Session) {
    session.prompt("[[say here again]]").await;
    let ended = session.ended().await.completed();
    assert_eq!(said(session, &ended).await, "here again");
}

async fn a_refused_key_fails_the_turn(vendor: &'static Vendor) {
    let lab = Lab::new(vendor).await;
    let (session, ended) = fails(&lab, "[[status 401]]").await;
    let error = ended.failed();
    assert!(
        error.contains("401") || error.to_lowercase().contains("key"),
        "{error}"
    );
    // It has a key, so that none is missing is no news.
    assert!(!error.contains("aod credential set"), "{error}");
    assert_eq!(kind(&session, &ended).await, "auth", "{error}");
    goes_on(&session).await;
}

async fn a_broken_provider_fails_the_turn(vendor: &'static Vendor) {
    let lab = Lab::new(vendor).await;
    let (session, ended) = fails(&lab, "[[status 500]]").await;
    let kind = kind(&session, &ended).await;
    assert!(
        kind == "provider" || (kind == "timeout" && ended.failed().contains("timeout")),
        "{kind}: {}",
        ended.failed()
    );
    goes_on(&session).await;
}

async fn an_exhausted_quota_fails_the_turn(vendor: &'static Vendor) {
    let lab = Lab::new(vendor).await;
    let (session, ended) = fails(&lab, "[[status 429]]").await;
    let kind = kind(&session, &ended).await;
    assert!(
        kind == "quota" || (kind == "timeout" && ended.failed().contains("timeout")),
        "{kind}: {}",
        ended.failed()
    );
    goes_on(&session).await;
}

/// The kind of the turn's failure, as `turn.result` has it; `timeout` where the clock ended it
/// before the CLI said anything.
async fn kind(session: &Session, ended: &Ended) -> String {
    let events = events(session, ended).await;
    let result = events.iter().find(|event| event["type"] == "turn.result");
    match result {
        Some(result) => {
            assert_eq!(result["is_error"], true, "{result}");
            let kind = result["failure"]["kind"].as_str();
            kind.unwrap_or_else(|| panic!("no kind: {result}"))
                .to_owned()
        }
        None => "timeout".to_owned(),
    }
}
