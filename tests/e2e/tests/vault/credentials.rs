//! Registered once, given to every session of their owner, shown to nobody.

use aod_e2e::files_with;
use serde_json::{Value, json};

use crate::{run, secret, server, succeed, trail};

fn names(listed: &Value) -> Vec<&str> {
    let listed = listed["data"].as_array().unwrap();
    listed
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_credential_reaches_every_session_and_no_eye() {
    let server = server().await;
    let client = server.client();
    let (first, second) = (secret(), secret());
    let set = client
        .put("/credentials/env:MY_KEY", &json!({"value": first}))
        .await
        .expect(200);
    assert_eq!(
        (&set["name"], &set["kind"]),
        (&json!("env:MY_KEY"), &json!("env"))
    );
    assert_eq!(
        (&set["variable"], &set["hint"]),
        (&json!("MY_KEY"), &Value::Null)
    );
    assert_eq!(set["last_used_at"], Value::Null);

    let agent = client.demo_agent().await;
    let prompt = "print-env\n$ printenv MY_KEY >key; echo \"<$MY_KEY>\"\nfail";
    let session = client
        .create_session(&json!({"agent_id": agent, "prompt": prompt}))
        .await;
    let ended = session.ended().await;
    ended.failed();
    assert_eq!(
        server.workspace_file(&session.id, "key").unwrap().trim(),
        first,
        "it arrives"
    );
    let stdout = ended.stdout();
    assert!(stdout.contains("MY_KEY=[redacted:MY_KEY]"), "{stdout}");
    assert!(stdout.contains("<[redacted:MY_KEY]>"), "{stdout}");

    // Changed and deleted: the next turn has it so.
    client
        .put("/credentials/env:MY_KEY", &json!({"value": second}))
        .await
        .expect(200);
    session.prompt("$ printenv MY_KEY >key").await;
    session.ended().await.completed();
    assert_eq!(
        server.workspace_file(&session.id, "key").unwrap().trim(),
        second
    );
    let read = client.get("/credentials/env:MY_KEY").await.expect(200);
    assert!(read["last_used_at"].is_string(), "{read}");
    client.delete("/credentials/env:MY_KEY").await.expect(200);
    client.get("/credentials/env:MY_KEY").await.refused(404);
    let home = json!({"value": "/x"});
    let home = client.put("/credentials/env:HOME", &home).await;
    let refusal = home.refused(422);
    assert!(
        refusal.to_string().contains("the sandbox sets"),
        "{refusal}"
    );
    client.delete("/credentials/env:MY_KEY").await.refused(404);
    session.prompt("$ echo \"[${MY_KEY-none}]\"").await;
    assert!(
        session
            .ended()
            .await
            .completed()
            .last_stdout()
            .contains("[none]")
    );

    // The trail, newest first, in pages.
    let trail = trail(client, 2).await;
    let actions: Vec<_> = trail
        .iter()
        .map(|it| it["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["delete", "use", "update", "use", "create"]);
    assert_eq!(trail[0]["actor"], json!({"type": "token", "name": "e2e"}));
    assert_eq!(trail[1]["actor"], json!({"type": "session"}));
    assert_eq!(
        (&trail[3]["session_id"], &trail[3]["turn"]),
        (&json!(session.id), &json!(1))
    );
    assert_eq!(
        (&trail[1]["session_id"], &trail[1]["turn"]),
        (&json!(session.id), &json!(2))
    );
    client.get("/credentials/audit?limit=0").await.refused(422);
    client.get("/credentials/audit?after=x").await.refused(422);

    // Nothing has shown a value.
    let mut replies = vec![set.to_string(), read.to_string(), json!(trail).to_string()];
    for path in [
        "/credentials".to_owned(),
        format!("/agents/{agent}/versions"),
        format!("/sessions/{}", session.id),
        format!("/sessions/{}/turns", session.id),
        format!("/sessions/{}/provisioning", session.id),
        "/metrics".to_owned(),
    ] {
        replies.push(client.get(&path).await.text);
    }
    let events = client
        .request(
            reqwest::Method::GET,
            &format!("/sessions/{}/events", session.id),
        )
        .header("accept", "application/json");
    let events = client.send(events).await;
    assert!(events.text.contains("[redacted:MY_KEY]"), "{}", events.text);
    replies.push(events.text);
    let private = |path: &std::path::Path| path.ends_with("workspace") || path.ends_with("home");
    for value in [&first, &second] {
        assert!(
            replies.iter().all(|reply| !reply.contains(value.as_str())),
            "{replies:#?}"
        );
        assert!(!server.log().contains(value.as_str()));
        assert_eq!(
            files_with(&server.data(), value, &private),
            Vec::<std::path::PathBuf>::new()
        );
    }
}

#[tokio::test]
async fn an_error_and_what_provisioning_prints_are_redacted() {
    let server = server().await;
    let client = server.client();
    let key = secret();
    client
        .put("/credentials/env:MY_KEY", &json!({"value": key}))
        .await
        .expect(200);
    let agent = client.demo_agent().await;
    let script = "echo \"it is $MY_KEY\"; echo \"again $MY_KEY\" >&2; exit 3";
    let body = json!({"name": "e", "setup_script": script});
    let environment = client.create_environment(&body).await;
    let body = json!({"agent_id": agent, "environment_id": environment, "prompt": "x"});
    let session = client.create_session(&body).await;
    let ended = session.ended().await;
    let error = ended.failed();
    assert!(error.contains("it is [redacted:MY_KEY]"), "{error}");
    assert!(error.contains("exited with code 3"), "{error}");
    let stream = format!("{:?}", ended.events);
    assert!(
        stream.contains("again [redacted:MY_KEY]") && !stream.contains(&key),
        "{stream}"
    );
    let output = client
        .get(&format!("/sessions/{}/provisioning", session.id))
        .await;
    assert_eq!(output.status, 200);
    assert!(
        output.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain")
    );
    assert!(
        output.text.contains("it is [redacted:MY_KEY]\n"),
        "{}",
        output.text
    );
    assert!(files_with(&server.data(), &key, &|_| false).is_empty());
    let stranger = server.add_user("other");
    stranger
        .get(&format!("/sessions/{}/provisioning", session.id))
        .await
        .refused(404);
}

#[tokio::test]
async fn only_what_runtimes_declare_can_be_registered() {
    let server = server().await;
    let client = server.client();
    let value = secret();
    let body = json!({"value": value});
    for name in [
        "provider_key:acme",
        "env:",
        "env:A-B",
        "runtime_token:x",
        "API_KEY",
    ] {
        let refusal = client
            .put(&format!("/credentials/{name}"), &body)
            .await
            .refusal(422);
        for part in [
            "provider_key:anthropic",
            "runtime_token:claude-oauth",
            "env:<NAME>",
        ] {
            assert!(refusal.contains(part), "{name}: {refusal}");
        }
        assert!(!refusal.contains(&value), "{refusal}");
    }
    for bad in [
        json!({}),
        json!({"value": ""}),
        json!({"value": " \n"}),
        json!({"value": 17_171_717}),
        json!({"value": "x".repeat((64 << 10) + 1)}),
        json!({"value": "ä".repeat((32 << 10) + 1)}),
    ] {
        let reply = client.put("/credentials/env:X", &bad).await;
        reply.refused(422);
        assert!(
            !reply.text.contains("17171717") && !reply.text.contains("xxx"),
            "{}",
            reply.text
        );
    }
    let largest = json!({"value": "x".repeat(64 << 10)});
    client.put("/credentials/env:X", &largest).await.expect(200);
    // What looks wrong is kept, and warned of without being repeated.
    let reply = client
        .put("/credentials/provider_key:anthropic", &body)
        .await;
    let set = reply.expect(200);
    assert_eq!(set["variable"], "ANTHROPIC_API_KEY");
    assert!(set["hint"].as_str().unwrap().contains("sk-ant-"), "{set}");
    assert!(!reply.text.contains(&value));
    let good = json!({"value": format!("sk-ant-api03-{value}")});
    let set = client
        .put("/credentials/provider_key:anthropic", &good)
        .await
        .expect(200);
    assert_eq!(set["hint"], Value::Null);
    let listed = client.get("/credentials").await.expect(200);
    assert_eq!(names(&listed), ["env:X", "provider_key:anthropic"]);
}

#[tokio::test]
async fn each_user_has_credentials_of_their_own() {
    let server = server().await;
    let (owner, other) = (server.client(), server.add_user("other"));
    let (mine, theirs) = (secret(), secret());
    owner
        .put("/credentials/env:KEY", &json!({"value": mine}))
        .await
        .expect(200);
    assert_eq!(
        other.get("/credentials").await.expect(200)["data"],
        json!([])
    );
    assert_eq!(
        other.get("/credentials/audit").await.expect(200)["data"],
        json!([])
    );
    other.get("/credentials/env:KEY").await.refused(404);
    other.delete("/credentials/env:KEY").await.refused(404);
    // Of the same name, and yet another.
    other
        .put("/credentials/env:KEY", &json!({"value": theirs}))
        .await
        .expect(200);
    for (client, value) in [(owner, &mine), (&other, &theirs)] {
        let session = client.demo_session("$ printenv KEY >key").await;
        session.ended().await.completed();
        assert_eq!(
            server.workspace_file(&session.id, "key").unwrap().trim(),
            value
        );
    }
    other.delete("/credentials/env:KEY").await.expect(200);
    assert_eq!(
        names(&owner.get("/credentials").await.expect(200)),
        ["env:KEY"]
    );
}

#[tokio::test]
async fn the_command_takes_a_value_from_its_input_and_never_gives_one() {
    let server = server().await;
    let key = secret();
    let command = |arguments: &[&str]| server.command(&[&["credential"], arguments].concat());
    succeed(command(&["set", "env:KEY"]), &format!("{key}\n"));
    let table = succeed(command(&["ls"]), "");
    assert!(
        table.contains("env:KEY") && table.contains("never used"),
        "{table}"
    );
    let listed: Value = serde_json::from_str(&succeed(command(&["ls", "--json"]), "")).unwrap();
    assert_eq!(listed[0]["name"], "env:KEY");
    let session = server.client().demo_session("$ printenv KEY >key").await;
    session.ended().await.completed();
    // Without the line's end.
    assert_eq!(
        server.workspace_file(&session.id, "key").unwrap(),
        format!("{key}\n")
    );
    let warned = run(command(&["set", "provider_key:anthropic"]), &key);
    assert!(warned.status.success());
    let said = String::from_utf8(warned.stderr).unwrap();
    assert!(said.contains("warning") && !said.contains(&key), "{said}");
    for (name, value) in [
        ("env:KEY", ""),
        ("nothing", "x"),
        ("env:KEY", &*"x".repeat(70_000)),
    ] {
        assert!(
            !run(command(&["set", name]), value).status.success(),
            "{name}"
        );
    }
    succeed(command(&["rm", "env:KEY"]), "");
    assert!(!run(command(&["rm", "env:KEY"]), "").status.success());
    assert!(!succeed(command(&["ls"]), "").contains("env:KEY"));
}
