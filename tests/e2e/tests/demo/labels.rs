//! Sessions before their first prompt, and what they are called.

use aod_e2e::{Gate, Runtimes, Server, ServerOptions};
use serde_json::{Value, json};

#[tokio::test]
async fn a_session_without_a_prompt_is_provisioned_and_waits() {
    let server = Server::demo().await;
    let client = server.client();
    let agent = client.demo_agent().await;
    let script = json!({"name": "e", "setup_script": "echo ready >/workspace/ready"});
    let environment = client.create_environment(&script).await;
    let body = json!({"agent_id": agent, "environment_id": environment});
    let ack = client.post("/sessions", &body).await.expect(202);
    assert_eq!(ack["status"], "pending", "{ack}");
    assert_eq!(ack["current_turn"], Value::Null, "{ack}");
    let id = ack["id"].as_str().unwrap().to_owned();
    let mut stream = client.stream(&id, None).await;
    let events = stream.rest().await;
    let last = events.last().unwrap();
    assert_eq!(
        (last.kind(), &last.data["code"]),
        ("exit", &json!(0)),
        "{events:?}"
    );
    let path = format!("/sessions/{id}");
    let session = client.get(&path).await.expect(200);
    assert_eq!(session["status"], "completed", "{session}");
    assert_eq!(session["turn_count"], 0, "{session}");
    assert_eq!(session["current_turn"], Value::Null, "{session}");
    assert_eq!(session["resumable"], true, "{session}");
    assert_eq!(session["exit_code"], Value::Null, "{session}");
    let turns = client.get(&format!("{path}/turns")).await.expect(200);
    assert_eq!(turns["data"], json!([]));
    let ready = server.workspace_file(&id, "ready");
    assert_eq!(ready.as_deref(), Some("ready\n"));
    // The first prompt is turn 1, and nothing is provisioned again.
    let prompt = format!("{path}/prompt");
    let body = json!({"prompt": "$ echo more >>/workspace/ready"});
    let ack = client.post(&prompt, &body).await.expect(202);
    assert_eq!(ack["current_turn"], 1, "{ack}");
    let mut stream = client.stream(&id, None).await;
    let events = stream.rest().await;
    let setup = |it: &&aod_e2e::Event| it.data["stage"] == "provision_setup";
    assert_eq!(events.iter().filter(setup).count(), 2, "{events:?}");
    let turns = client.get(&format!("{path}/turns")).await.expect(200);
    assert_eq!(turns["data"].as_array().unwrap().len(), 1);
    assert_eq!(turns["data"][0]["outcome"], "completed", "{turns}");
    let ready = server.workspace_file(&id, "ready");
    assert_eq!(ready.as_deref(), Some("ready\nmore\n"));
    client.delete(&format!("{path}/delete")).await.expect(200);
}

#[tokio::test]
async fn what_is_provisioned_alone_survives_the_host_and_can_be_stopped() {
    let mut server = Server::demo().await;
    let client = server.client();
    let agent = client.demo_agent().await;
    let gate = Gate::new("gate");
    let environment = gate.environment(client, "; echo x >>once").await;
    let body = json!({"agent_id": agent, "environment_id": environment});
    let mut session = client.create_session(&body).await;
    gate.reached(&server, &session).await;
    // A prompt waits for the sandbox.
    let queued = json!({"prompt": "$ echo first >>once", "when_busy": "queue"});
    let ack = session.prompt_with(&queued).await;
    assert_eq!(ack["status"], "pending", "{ack}");
    server.kill();
    gate.open(&server, &session);
    server.start_again().await;
    session = session.at(server.client());
    session.ended().await;
    let once = server.workspace_file(&session.id, "once").unwrap();
    assert!(once.ends_with("x\nfirst\n"), "{once}");
    assert_eq!(session.turns().await.len(), 1);

    let other = Gate::new("other");
    let client = server.client();
    let environment = other.environment(client, "").await;
    let body = json!({"agent_id": agent, "environment_id": environment});
    let session = client.create_session(&body).await;
    other.reached(&server, &session).await;
    let path = format!("/sessions/{}/terminate", session.id);
    client.post_empty(&path).await.expect(200);
    assert_eq!(session.read().await["status"], "terminated");
}

#[tokio::test]
async fn a_setup_that_fails_is_told_without_a_turn() {
    let server = Server::demo().await;
    let client = server.client();
    let agent = client.demo_agent().await;
    let script = json!({"name": "e", "setup_script": "exit 3"});
    let environment = client.create_environment(&script).await;
    let body = json!({"agent_id": agent, "environment_id": environment});
    let session = client.create_session(&body).await;
    let failed = session.wait_for("failed").await;
    assert!(failed["error"].is_string(), "{failed}");
    assert_eq!(failed["resumable"], false, "{failed}");
    assert_eq!(failed["turn_count"], 0, "{failed}");
    let path = format!("/sessions/{}/prompt", session.id);
    client
        .post(&path, &json!({"prompt": "x"}))
        .await
        .refusal(409);
    let schema = json!({"agent_id": agent, "output_schema": {"type": "object"}});
    let refused = client.post("/sessions", &schema).await.refusal(422);
    assert!(refused.contains("output_schema"), "{refused}");
}

#[tokio::test]
async fn sessions_are_found_by_title_prompt_and_labels() {
    let options = ServerOptions::new(Runtimes::demo()).set("AOD_LIMITS__SESSIONS_PER_USER", 20);
    let server = Server::start(options).await;
    let client = server.client();
    let agent = client.demo_agent().await;
    let create = async |more: Value| {
        let mut body = json!({"agent_id": agent});
        aod_e2e::extend(&mut body, more);
        client.create_session(&body).await.id
    };
    let plum = create(json!({
        "title": "The 100% plum", "metadata": {"team": "fruit", "a b/c.d": "x=y&z"},
    }))
    .await;
    let pear = create(json!({"prompt": "Peel a PEAR_", "metadata": {"team": "fruit"}})).await;
    let nut = create(json!({"prompt": "x", "metadata": {"team": "nuts", "empty": ""}})).await;
    let found = async |query: &[(&str, &str)]| {
        let pairs = query
            .iter()
            .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
        let query = pairs.collect::<Vec<_>>().join("&");
        let list = client.get(&format!("/sessions?{query}")).await;
        let list = list.expect(200);
        let sessions = list["data"].as_array().unwrap().clone();
        let ids = sessions
            .iter()
            .map(|it| it["id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(
        found(&[("metadata.team", "fruit")]).await,
        [pear.as_str(), plum.as_str()]
    );
    assert_eq!(
        found(&[("metadata.team", "fruit"), ("metadata.a b/c.d", "x=y&z")]).await,
        [plum.as_str()]
    );
    assert_eq!(found(&[("metadata.team", "Fruit")]).await, [""; 0]);
    assert_eq!(found(&[("metadata.empty", "")]).await, [""; 0]);
    assert_eq!(found(&[("q", "plum")]).await, [plum.as_str()]);
    assert_eq!(found(&[("q", "pear")]).await, [pear.as_str()]);
    assert_eq!(found(&[("q", "0%")]).await, [plum.as_str()]);
    assert_eq!(found(&[("q", "%")]).await, [plum.as_str()]);
    assert_eq!(found(&[("q", "r_")]).await, [pear.as_str()]);
    assert_eq!(found(&[("q", "' OR 1")]).await, [""; 0]);
    assert_eq!(
        found(&[("metadata.team", "nuts"), ("q", "x")]).await,
        [nut.as_str()]
    );
    for (query, wanted) in [
        ("metadata=x", "metadata"),
        ("metadata.team=a&metadata.team=b", "metadata.team"),
        ("metadata.=x", "metadata"),
        ("q=", "q"),
        ("metadat.team=x", "metadat.team"),
        ("title=x", "title"),
    ] {
        let problems = client.get(&format!("/sessions?{query}")).await.refused(422);
        let text = problems.to_string();
        assert!(text.contains(wanted), "{query}: {text}");
    }
    let other = server.add_user("other");
    let theirs = other.get("/sessions?metadata.team=fruit").await.expect(200);
    assert_eq!(theirs["data"], json!([]));

    // And called something else.
    let path = format!("/sessions/{plum}");
    let changes = json!({"title": "A quince", "metadata": {"team": "", "size": "xl"}});
    let changed = client.patch(&path, &changes).await.expect(200);
    assert_eq!(changed["title"], "A quince");
    assert_eq!(
        changed["metadata"],
        json!({"a b/c.d": "x=y&z", "size": "xl"})
    );
    for nothing_new in [json!({}), changes] {
        let same = client.patch(&path, &nothing_new).await.expect(200);
        assert_eq!(same, changed);
    }
    let cleared = client
        .patch(&path, &json!({"title": null}))
        .await
        .expect(200);
    assert_eq!(cleared.get("title"), None, "{cleared}");
    assert_eq!(found(&[("q", "plum")]).await, [""; 0]);
    let many: serde_json::Map<_, _> = (0..15).map(|it| (format!("k{it}"), json!("v"))).collect();
    let refused = client
        .patch(&path, &json!({"metadata": many}))
        .await
        .refusal(422);
    assert!(
        refused.contains("metadata") && refused.contains("16"),
        "{refused}"
    );
    let read = client.get(&path).await.expect(200);
    assert_eq!(read["metadata"], json!({"a b/c.d": "x=y&z", "size": "xl"}));
    for bad in [
        json!({"title": "x".repeat(201)}),
        json!({"title": ""}),
        json!({"titel": "x"}),
        json!({"metadata": {"": "x"}}),
        json!({"metadata": {"k": 1}}),
        json!({"metadata": {"k": {"nested": "x"}}}),
        json!({"metadata": {"k": "v".repeat(513)}}),
    ] {
        client.patch(&path, &bad).await.refused(422);
    }
    other
        .patch(&path, &json!({"title": "x"}))
        .await
        .refusal(404);
    let many: serde_json::Map<_, _> = (0..17).map(|it| (format!("k{it}"), json!("v"))).collect();
    let body = json!({"agent_id": agent, "metadata": many});
    client.post("/sessions", &body).await.refusal(422);
}

/// A text as it may stand in a query.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}
