//! Keys: registered once, sent by every CLI, seen by nobody else.

use aod_e2e::{files_with, processes_with};
use serde_json::json;

use crate::lab::{Lab, OPENCODE_ELSEWHERE, Vendor, events, said, secret};

each_vendor!(
    a_registered_key_is_sent,
    a_missing_key_is_named,
    a_key_is_nowhere_but_in_the_sandbox,
);

async fn a_registered_key_is_sent(vendor: &'static Vendor) {
    let lab = Lab::new(vendor).await;
    let session = lab.session("[[say hi]] to-the-first").await;
    let ended = session.ended().await.completed();
    assert_eq!(said(&session, &ended).await, "hi");
    assert_eq!(ended.session["environment_id"], json!(null));
    let keys = |text: &str| {
        let asked = lab.asked(text);
        asked
            .into_iter()
            .map(|request| request.credential.unwrap_or_default())
            .collect::<Vec<_>>()
    };
    assert!(keys("to-the-first").iter().all(|key| *key == lab.key));
    // A changed key works in the next turn of the same session.
    let changed = secret(vendor);
    lab.register(vendor.credential, &changed).await;
    session.prompt("[[say hi]] to-the-second").await;
    session.ended().await.completed();
    assert!(keys("to-the-second").iter().all(|key| *key == changed));
    // What a session or an environment brings goes before what is registered.
    let own = secret(vendor);
    let environment = lab
        .client()
        .create_environment(&json!({"name": "e", "env_vars": {vendor.variable: own}}))
        .await;
    let session = lab
        .session_with(json!({"prompt": "[[say hi]] to-the-third", "environment_id": environment}))
        .await;
    session.ended().await.completed();
    assert!(keys("to-the-third").iter().all(|key| *key == own));
    let last = secret(vendor);
    let session = lab
        .session_with(json!({
            "prompt": "[[say hi]] to-the-fourth",
            "environment_id": environment,
            "secret_env_vars": {vendor.variable: last},
        }))
        .await;
    session.ended().await.completed();
    assert!(keys("to-the-fourth").iter().all(|key| *key == last));
}

/// opencode takes the key of whichever provider the agent's model is of.
#[tokio::test]
async fn the_model_says_whose_key_is_sent() {
    for vendor in &OPENCODE_ELSEWHERE {
        let lab = Lab::new(vendor).await;
        let session = lab.session("the word is plum").await;
        session.ended().await.completed();
        session.prompt("[[recall]] which?").await;
        let ended = session.ended().await.completed();
        let answer = said(&session, &ended).await;
        assert!(answer.contains("the word is plum"), "{answer}");
        for request in lab.asked("plum") {
            assert_eq!(request.credential.as_deref(), Some(lab.key.as_str()));
        }
    }
}

async fn a_missing_key_is_named(vendor: &'static Vendor) {
    let lab = Lab::without_key(vendor).await;
    // Created, and failed by its CLI.
    let session = lab.session("hi").await;
    let ended = session.ended().await;
    let error = ended.failed();
    for part in [vendor.variable, "env_vars", "aod credential set"] {
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }
    assert_eq!(ended.session["resumable"], true);
    // Secrets are read anew at each turn: registered now, it works.
    lab.register(vendor.credential, &lab.key).await;
    session.prompt("[[say hi]]").await;
    let ended = session.ended().await.completed();
    assert_eq!(said(&session, &ended).await, "hi");
}

/// Where credentials are injected, the agent has the key.
async fn a_key_is_nowhere_but_in_the_sandbox(vendor: &'static Vendor) {
    let lab = Lab::new(vendor).await;
    let injected = json!({"name": "e", "credentials": "injected"});
    let environment = lab.client().create_environment(&injected).await;
    let prompt = format!(
        "[[bash env; echo ${}; touch there; while [ ! -e on ]; do sleep 0.05; done]] [[say done]]",
        vendor.variable
    );
    let session = lab
        .session_with(json!({"prompt": prompt, "environment_id": environment}))
        .await;
    let reached = async || lab.server.workspace_file(&session.id, "there").map(|_| ());
    aod_e2e::eventually("the tool runs", aod_e2e::DEADLINE, reached).await;
    assert_eq!(processes_with(&lab.key), Vec::<String>::new());
    let workspace = lab.server.session_files(&session.id).join("workspace");
    std::fs::write(workspace.join("on"), "").unwrap();
    let ended = session.ended().await.completed();
    let keys = lab.asked("touch there");
    assert!(
        keys.iter()
            .all(|it| it.credential.as_ref() == Some(&lab.key))
    );

    let redacted = format!("[redacted:{}]", vendor.variable);
    assert!(ended.stdout().contains(&redacted), "{}", ended.stdout());
    let events = json!(events(&session, &ended).await).to_string();
    assert!(events.contains(&redacted), "{events}");
    for path in ["", "/turns", "/stream", "/events", "/provisioning"] {
        let path = format!("/sessions/{}{path}", session.id);
        let reply = lab.client().get(&path).await;
        assert!(!reply.text.contains(&lab.key), "{path}: {}", reply.text);
    }
    assert!(!lab.server.log().contains(&lab.key));
    let private = |path: &std::path::Path| path.ends_with("workspace") || path.ends_with("home");
    let files = files_with(&lab.server.data(), &lab.key, &private);
    assert!(files.is_empty(), "the key is in {files:?}");
}
