//! Secrets that an agent is given.

use aod_e2e::{Gate, Server, files_with, processes_with};
use serde_json::json;

#[tokio::test]
async fn a_secret_is_seen_by_the_agent_and_by_nobody_else() {
    let server = Server::demo().await;
    let client = server.client();
    let (one, two) = (secret(), secret());
    let environment = client
        .create_environment(&json!({
            "name": "e",
            "env_vars": {"KEY_ONE": one, "HOOK": "http://127.0.0.1:1/path"},
            "setup_script": "echo \"setup saw $KEY_ONE\"",
        }))
        .await;
    let agent = client.demo_agent().await;
    let gate = Gate::new("gate");
    let prompt = format!(
        "print-env\n$ printenv KEY_TWO >two; echo \"[$KEY_ONE]\"; echo $KEY_TWO >&2\n{}\nfail",
        gate.step()
    );
    let session = client
        .create_session(&json!({
            "agent_id": agent,
            "prompt": prompt,
            "environment_id": environment,
            "secret_env_vars": {"KEY_TWO": two},
        }))
        .await;
    gate.reached(&server, &session).await;
    // While it runs: in no argument of any process.
    assert!(server.process().is_alive());
    for secret in [&one, &two] {
        assert_eq!(processes_with(secret), Vec::<String>::new());
    }
    gate.open(&server, &session);
    let ended = session.ended().await;
    ended.failed();
    assert_eq!(
        server.workspace_file(&session.id, "two").unwrap().trim(),
        two,
        "it arrives"
    );
    let stdout = ended.stdout();
    assert!(stdout.contains("KEY_ONE=[redacted:KEY_ONE]"), "{stdout}");
    assert!(stdout.contains("KEY_TWO=[redacted:KEY_TWO]"), "{stdout}");
    assert!(stdout.contains("HOOK=[redacted:HOOK]"), "{stdout}");

    let mut replies = Vec::new();
    for path in [
        "/agents".to_owned(),
        "/environments".to_owned(),
        format!("/environments/{environment}"),
        format!("/environments/{environment}/versions"),
        "/sessions".to_owned(),
        format!("/sessions/{}", session.id),
        format!("/sessions/{}/turns", session.id),
        format!("/sessions/{}/stream", session.id),
        "/runtimes".to_owned(),
        "/metrics".to_owned(),
    ] {
        replies.push(client.get(&path).await.text);
    }
    // Where the agent keeps it, and what is kept of that.
    let outside = |path: &std::path::Path| {
        ["workspace", "home", "checkpoints"]
            .iter()
            .any(|name| path.ends_with(name))
    };
    for secret in [&one, &two] {
        assert!(
            replies.iter().all(|reply| !reply.contains(secret)),
            "{replies:#?}"
        );
        assert!(!server.log().contains(secret), "it is in the server's log");
        let files = files_with(&server.data(), secret, &outside);
        assert!(files.is_empty(), "{secret} is in {files:?}");
    }
    // The search itself works: where it should be, it is found.
    assert!(!files_with(&server.data(), &two, &|_| false).is_empty());
    let provisioning = server.session_folder(&session.id).join("provisioning.log");
    let provisioning = std::fs::read_to_string(provisioning).unwrap();
    assert!(
        provisioning.contains("setup saw [redacted:KEY_ONE]"),
        "{provisioning}"
    );
}

#[tokio::test]
async fn a_failing_setup_script_does_not_give_a_secret_away() {
    let server = Server::demo().await;
    let client = server.client();
    let key = secret();
    let environment = client
        .create_environment(&json!({
            "name": "e",
            "env_vars": {"KEY": key},
            "setup_script": "echo \"the key is $KEY\"; exit 1",
        }))
        .await;
    let agent = client.demo_agent().await;
    let body = json!({"agent_id": agent, "prompt": "x", "environment_id": environment});
    let ended = client.create_session(&body).await.ended().await;
    let error = ended.failed();
    assert!(error.contains("the key is [redacted:KEY]"), "{error}");
    assert!(files_with(&server.data(), &key, &|_| false).is_empty());
}

#[tokio::test]
async fn the_session_wins_over_the_environment_and_changes_work_in_the_next_turn() {
    let server = Server::demo().await;
    let client = server.client();
    let environment = client
        .create_environment(&json!({
            "name": "e",
            "env_vars": {"A": "environment-a", "B": "environment-b", "EMPTY": ""},
        }))
        .await;
    let agent = client.demo_agent().await;
    let step = "$ echo ${#A} ${#B} ${#C} ${EMPTY-unset}.; echo $A $B $C >vars";
    let session = client
        .create_session(&json!({
            "agent_id": agent,
            "prompt": step,
            "environment_id": environment,
            "secret_env_vars": {"B": "session-b"},
        }))
        .await;
    session.ended().await.completed();
    let vars = server.workspace_file(&session.id, "vars").unwrap();
    assert_eq!(vars, "environment-a session-b\n");
    // The whole map is replaced, and read anew at each turn.
    let changes = json!({"version": 1, "env_vars": {"B": "changed-b", "C": "changed-c"}});
    client
        .put(&format!("/environments/{environment}"), &changes)
        .await
        .expect(200);
    session.prompt(step).await;
    let ended = session.ended().await.completed();
    let vars = server.workspace_file(&session.id, "vars").unwrap();
    assert_eq!(vars, "session-b changed-c\n");
    assert!(
        ended.last_stdout().contains("unset."),
        "{}",
        ended.last_stdout()
    );
}

#[tokio::test]
async fn variables_that_are_no_secrets_are_shown_and_secrets_win_over_them() {
    let server = Server::demo().await;
    let client = server.client();
    let environment = client
        .create_environment(&json!({
            "name": "e",
            "vars": {"STAGE": "production", "FOLDER": "/workspace/out", "OWN": "of-the-environment"},
            "env_vars": {"HIDDEN": "production-of-films", "BOTH": "secret-of-the-environment"},
            "setup_script": "echo \"setup saw $STAGE, $FOLDER and $HIDDEN\"",
        }))
        .await;
    let agent = client.demo_agent().await;
    let session = client
        .create_session(&json!({
            "agent_id": agent,
            "prompt": "print-env\n$ echo $BOTH $OWN >won",
            "environment_id": environment,
            "vars": {"BOTH": "open-of-the-session", "OWN": "of-the-session"},
        }))
        .await;
    let ended = session.ended().await.completed();
    let stdout = ended.stdout();
    for shown in [
        "STAGE=production\\n",
        "FOLDER=/workspace/out\\n",
        "HIDDEN=[redacted:HIDDEN]\\n",
        "BOTH=open-of-the-session\\n",
        "OWN=of-the-session\\n",
    ] {
        assert!(stdout.contains(shown), "{shown} is not in {stdout}");
    }
    let won = server.workspace_file(&session.id, "won").unwrap();
    assert_eq!(won, "open-of-the-session of-the-session\n");
    let provisioning = client
        .get(&format!("/sessions/{}/provisioning", session.id))
        .await
        .text;
    assert!(
        provisioning.contains("setup saw production, /workspace/out and [redacted:HIDDEN]"),
        "{provisioning}"
    );
    let read = session.read().await;
    assert_eq!(
        read["vars"],
        json!({"BOTH": "open-of-the-session", "OWN": "of-the-session"})
    );
    let environment = client
        .get(&format!("/environments/{environment}"))
        .await
        .expect(200);
    assert_eq!(environment["vars"]["STAGE"], "production");
    assert!(environment.get("env_vars").is_none());
}

/// Something that stands nowhere else.
fn secret() -> String {
    format!("sk-test-{}", uuid::Uuid::new_v4().simple())
}

/// Each half is a write, and so a read, of its own, at the end of a line longer than any buffer.
#[tokio::test]
async fn a_secret_that_a_step_writes_in_halves_is_found() {
    let server = Server::demo().await;
    let client = server.client();
    let key = secret();
    let (first, second) = key.split_at(key.len() / 2);
    let script = "head -c 3000000 /dev/zero | tr '\\0' x; printf %s \"${KEY%\"$SECOND\"}\"; \
                  sleep 0.3; printf '%s\\n' \"$SECOND\"; exit 3";
    let script = format!("SECOND={second}; {script}");
    let environment = client
        .create_environment(&json!({
            "name": "e", "env_vars": {"KEY": key}, "setup_script": script,
        }))
        .await;
    let agent = client.demo_agent().await;
    let body = json!({"agent_id": agent, "prompt": "hi", "environment_id": environment});
    let session = client.create_session(&body).await;
    let ended = session.ended().await;
    let error = ended.failed();
    let kept = client
        .get(&format!("/sessions/{}/provisioning", session.id))
        .await
        .text;
    for text in [&kept, &error] {
        assert!(!text.contains(&key) && !text.contains(first), "let through");
    }
    assert!(kept.contains("xxx[redacted:KEY]\n"), "it was never there");
    assert!(error.contains("exited with code 3"), "{error}");
    let outside = |path: &std::path::Path| path.ends_with("workspace") || path.ends_with("home");
    assert!(files_with(&server.data(), first, &outside).is_empty());
}
