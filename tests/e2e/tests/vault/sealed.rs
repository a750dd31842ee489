//! What a thief or a tamperer gets from the data folder.

use std::path::PathBuf;
use std::time::Duration;

use aod_e2e::{Server, files_with};
use serde_json::json;

use crate::{run, secret, server, succeed};

/// Puts each of two sealed values where the other is.
fn swap(server: &Server, one: &str, two: &str) {
    let mut db = rusqlite::Connection::open(server.data().join("aod.db")).unwrap();
    db.busy_timeout(Duration::from_secs(10)).unwrap();
    let change = db.transaction().unwrap();
    let blob = |name: &str| -> Vec<u8> {
        let query = "SELECT blob FROM sealed WHERE name = ?";
        change.query_row(query, [name], |row| row.get(0)).unwrap()
    };
    for (name, other) in [(one, blob(two)), (two, blob(one))] {
        let changed = change
            .execute("UPDATE sealed SET blob = ? WHERE name = ?", (other, name))
            .unwrap();
        assert_eq!(changed, 1);
    }
    change.commit().unwrap();
}

#[tokio::test]
async fn values_that_were_swapped_do_not_open_and_are_named() {
    let server = server().await;
    let client = server.client();
    let (one, two) = (secret(), secret());
    for (name, value) in [
        ("env:ONE", &one),
        ("env:TWO", &two),
        ("env:GOOD", &secret()),
    ] {
        client
            .put(&format!("/credentials/{name}"), &json!({"value": value}))
            .await
            .expect(200);
    }
    let verified = succeed(server.command(&["vault", "verify"]), "");
    assert!(verified.contains("3 values open, 0 do not"), "{verified}");
    swap(&server, "env:ONE", "env:TWO");

    let verified = run(server.command(&["vault", "verify"]), "");
    assert_eq!(verified.status.code(), Some(1));
    let said = String::from_utf8(verified.stdout).unwrap();
    for part in [
        "\"env:ONE\" of admin",
        "\"env:TWO\" of admin",
        "1 values open, 2 do not",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!said.contains("env:GOOD\""), "{said}");
    let session = client.demo_session("$ env >all").await;
    let error = session.ended().await.failed();
    assert!(
        error.contains("cannot be opened") && error.contains("set it again"),
        "{error}"
    );
    assert!(!error.contains(&one) && !error.contains(&two), "{error}");
    // Such values would be lost, so a rotation wants to be told.
    let rotated = run(server.command(&["vault", "rotate", "--grace", "0s"]), "");
    assert!(!rotated.status.success());
    let said = String::from_utf8(rotated.stderr).unwrap();
    assert!(said.contains("--discard-broken"), "{said}");
    // Set again, it works again.
    for (name, value) in [("env:ONE", &one), ("env:TWO", &two)] {
        client
            .put(&format!("/credentials/{name}"), &json!({"value": value}))
            .await
            .expect(200);
    }
    succeed(server.command(&["vault", "verify"]), "");
    client.demo_session("hello").await.ended().await.completed();
}

#[tokio::test]
async fn a_stolen_data_folder_gives_no_secret() {
    let mut server = server().await;
    let client = server.client();
    let secrets: Vec<String> = (0..8).map(|_| secret()).collect();
    let [credential, gone, old, new, variable, session, header, token] = &secrets[..] else {
        unreachable!();
    };
    for (name, value) in [("A", credential), ("GONE", gone), ("B", old), ("B", new)] {
        let path = format!("/credentials/env:{name}");
        client
            .put(&path, &json!({"value": value}))
            .await
            .expect(200);
    }
    client.delete("/credentials/env:GONE").await.expect(200);
    let body = json!({"name": "e", "env_vars": {"VARIABLE": variable}});
    let environment = client.create_environment(&body).await;
    let agent = client
        .create_agent(&json!({
            "name": "a", "runtime": "demo", "model": aod_e2e::DEMO_MODEL,
            "mcp_servers": [{"name": "m", "type": "url", "url": "https://m.example/",
                "headers": {"Authorization": header}}],
        }))
        .await;
    let body = json!({
        "agent_id": agent, "environment_id": environment, "prompt": "print-env",
        "secret_env_vars": {"SESSION": session},
        "resources": [{"type": "github_repository", "url": "https://127.0.0.1:1/o/r",
            "authorization_token": token}],
    });
    client.create_session(&body).await.ended().await;
    server.stop().await;
    for secret in &secrets {
        let found = files_with(&server.data(), secret, &|_| false);
        assert_eq!(found, Vec::<PathBuf>::new(), "{secret}");
    }
    // What can be read are names and dates; the search finds what is there.
    assert!(!files_with(&server.data(), "VARIABLE", &|_| false).is_empty());
}
