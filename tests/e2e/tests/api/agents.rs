//! Agents: created, changed, versioned, archived.

use serde_json::{Value, json};

use crate::{agent, ids, server, with};

#[tokio::test]
async fn an_agent_is_returned_as_documented() {
    let server = server().await;
    let client = server.client();
    let created = client.post("/agents", &agent()).await.expect(201);
    let expected = json!({
        "id": created["id"], "type": "agent", "name": "hello", "description": null,
        "system": null, "runtime": "claude", "model": "anthropic/claude-sonnet-4-6",
        "environment_id": null, "skills": [], "mcp_servers": [], "metadata": {}, "version": 1,
        "archived_at": null, "created_at": created["created_at"],
        "updated_at": created["updated_at"],
    });
    assert_eq!(created, expected);
    let id = created["id"].as_str().unwrap();
    assert_eq!(uuid::Uuid::parse_str(id).unwrap().get_version_num(), 4);
    assert_eq!(id, id.to_lowercase());
    for time in ["created_at", "updated_at"] {
        let text = created[time].as_str().unwrap();
        // 2026-11-25T03:08:09.123456+00:00
        assert!(text.len() == 32 && text.ends_with("+00:00"), "{text}");
        assert_eq!(&text[10..11], "T");
    }
    assert_eq!(
        client.get(&format!("/agents/{id}")).await.expect(200),
        expected
    );
    assert_eq!(
        client.get("/agents").await.expect(200),
        json!({"data": [expected]})
    );
}

#[tokio::test]
async fn an_unknown_runtime_is_400_and_an_unfit_model_422_on_create_and_update() {
    let server = server().await;
    let client = server.client();
    let id = client.create_agent(&agent()).await;
    let path = format!("/agents/{id}");
    for (change, status, hint) in [
        (json!({"runtime": "nope"}), 400, "nope"),
        (json!({"runtime": "nope", "model": "x"}), 400, "nope"),
        (
            json!({"model": "anthropic/no-such"}),
            422,
            "anthropic/claude-sonnet-4-6",
        ),
        (
            json!({"model": "openai/gpt-4.1"}),
            422,
            "anthropic/claude-sonnet-4-6",
        ),
        (
            json!({"model": "demo/echo"}),
            422,
            "anthropic/claude-sonnet-4-6",
        ),
        // A bare id is answered with the canonical one.
        (
            json!({"model": "claude-haiku-4-5"}),
            422,
            "anthropic/claude-haiku-4-5",
        ),
        (json!({"runtime": "demo"}), 422, "demo/echo"),
    ] {
        for reply in [
            client.post("/agents", &with(agent(), change.clone())).await,
            client
                .put(&path, &with(json!({"version": 1}), change.clone()))
                .await,
        ] {
            let detail = reply.refused(status).to_string();
            assert!(detail.contains(hint), "{change}: {detail}");
        }
    }
    let unchanged = client.get(&path).await.expect(200);
    assert_eq!(unchanged["version"], 1);
    // Both at once is a move to another runtime.
    let body = json!({"version": 1, "runtime": "demo", "model": "demo/echo"});
    let moved = client.put(&path, &body).await.expect(200);
    assert_eq!(
        (&moved["runtime"], &moved["version"]),
        (&json!("demo"), &json!(2))
    );
}

#[tokio::test]
async fn a_stale_version_is_refused_and_a_change_of_nothing_is_none() {
    let server = server().await;
    let client = server.client();
    let id = client.create_agent(&agent()).await;
    let path = format!("/agents/{id}");
    let before = client.get(&path).await.expect(200);
    for nothing in [
        json!({"version": 1}),
        json!({"version": 1, "name": "hello"}),
        json!({"version": 1, "metadata": {"absent": ""}}),
        json!({"version": 1, "system": null, "skills": []}),
    ] {
        assert_eq!(
            client.put(&path, &nothing).await.expect(200),
            before,
            "{nothing}"
        );
    }
    let changed = client
        .put(&path, &json!({"version": 1, "name": "b"}))
        .await
        .expect(200);
    assert_eq!(changed["version"], 2);
    assert!(changed["updated_at"].as_str() > before["updated_at"].as_str());
    assert_eq!(changed["created_at"], before["created_at"]);
    for stale in [1, 3, 99] {
        let body = json!({"version": stale, "name": "c"});
        let refusal = client.put(&path, &body).await.refusal(409);
        assert_eq!(
            refusal,
            format!("Version mismatch: expected 2, got {stale}")
        );
    }
    client.put(&path, &json!({"name": "c"})).await.refused(422);
}

#[tokio::test]
async fn of_two_changes_at_once_one_is_refused() {
    let server = server().await;
    let client = server.client();
    let path = format!("/agents/{}", client.create_agent(&agent()).await);
    let bodies: Vec<_> = (0..8)
        .map(|n| json!({"version": 1, "name": format!("n{n}")}))
        .collect();
    let replies = bodies.iter().map(|body| client.put(&path, body));
    let replies = futures::future::join_all(replies).await;
    let won = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(won, 1);
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        assert_eq!(reply.refusal(409), "Version mismatch: expected 2, got 1");
    }
}

#[tokio::test]
async fn metadata_is_merged_and_an_empty_value_deletes_its_key() {
    let server = server().await;
    let client = server.client();
    let body = with(agent(), json!({"metadata": {"a": "1", "b": "2"}}));
    let path = format!("/agents/{}", client.create_agent(&body).await);
    let change = json!({"version": 1, "metadata": {"b": "", "c": "3", "a": "one"}});
    let changed = client.put(&path, &change).await.expect(200);
    assert_eq!(changed["metadata"], json!({"a": "one", "c": "3"}));
    let changed = client
        .put(&path, &json!({"version": 2, "name": "x"}))
        .await
        .expect(200);
    assert_eq!(
        changed["metadata"],
        json!({"a": "one", "c": "3"}),
        "left alone"
    );
}

#[tokio::test]
async fn other_fields_are_replaced_and_null_clears() {
    let server = server().await;
    let client = server.client();
    let environment = client.create_environment(&json!({"name": "e"})).await;
    let skill = |name: &str| json!({"name": name, "description": "d", "content": "c"});
    let body = with(
        agent(),
        json!({
            "system": "s", "description": "d", "environment_id": environment,
            "skills": [skill("one"), {"type": "github", "source": "owner/repo", "description": "d"}],
        }),
    );
    let path = format!("/agents/{}", client.create_agent(&body).await);
    let read = client.get(&path).await.expect(200);
    assert_eq!(read["environment_id"], environment);
    assert_eq!(read["skills"][1]["source"], "owner/repo");
    let change = json!({
        "version": 1, "system": null, "description": null, "environment_id": null,
        "skills": [skill("two")],
    });
    let changed = client.put(&path, &change).await.expect(200);
    for cleared in ["system", "description", "environment_id"] {
        assert_eq!(changed[cleared], Value::Null, "{cleared}");
    }
    assert_eq!(changed["skills"], json!([skill("two")]));
}

#[tokio::test]
async fn mcp_values_go_in_and_never_out() {
    let server = server().await;
    let client = server.client();
    let secret = "mcp-secret-value-17";
    let servers = json!([
        {"name": "a", "type": "url", "url": "https://x.test/mcp", "headers": {"Authorization": secret}},
        {"name": "b", "type": "stdio", "command": "run", "args": ["x"], "env": {"TOKEN": secret}},
    ]);
    let created = client
        .post("/agents", &with(agent(), json!({"mcp_servers": servers})))
        .await;
    assert!(!created.text.contains(secret));
    let created = created.expect(201);
    assert_eq!(
        created["mcp_servers"][0]["headers"],
        json!({"Authorization": "***"})
    );
    assert_eq!(created["mcp_servers"][1]["env"], json!({"TOKEN": "***"}));
    let path = format!("/agents/{}", created["id"].as_str().unwrap());
    // What was read can be written back: the masks keep what they stand for.
    let body = json!({"version": 1, "mcp_servers": created["mcp_servers"]});
    let same = client.put(&path, &body).await.expect(200);
    assert_eq!(same["version"], 1);
    // A new value is a change, though it reads the same.
    let mut servers = created["mcp_servers"].clone();
    servers[1]["env"]["TOKEN"] = json!("another");
    let body = json!({"version": 1, "mcp_servers": servers});
    let changed = client.put(&path, &body).await.expect(200);
    assert_eq!(changed["version"], 2);
    assert_eq!(changed["mcp_servers"], created["mcp_servers"]);
    // A mask that stands for nothing is a mistake.
    servers[1]["env"] = json!({"NEW": "***"});
    let body = json!({"version": 2, "mcp_servers": servers});
    client.put(&path, &body).await.refused(422);
    let versions = client.get(&format!("{path}/versions")).await;
    assert!(!versions.text.contains(secret), "{}", versions.text);
    assert!(!server.log().contains(secret));
}

#[tokio::test]
async fn versions_are_whole_and_newest_first() {
    let server = server().await;
    let client = server.client();
    let id = client
        .create_agent(&with(agent(), json!({"metadata": {"k": "1"}})))
        .await;
    let path = format!("/agents/{id}");
    let change = json!({"version": 1, "name": "second", "metadata": {"k": "2"}});
    client.put(&path, &change).await.expect(200);
    client
        .put(&path, &json!({"version": 2, "system": "third"}))
        .await
        .expect(200);
    let versions = client.get(&format!("{path}/versions")).await.expect(200);
    let numbers: Vec<_> = versions["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v["version"].clone())
        .collect();
    assert_eq!(numbers, [3, 2, 1]);
    assert!(
        ids(&versions).iter().all(|of| *of == id),
        "the id is the agent's: {versions}"
    );
    let (third, second, first) = (
        &versions["data"][0],
        &versions["data"][1],
        &versions["data"][2],
    );
    assert_eq!(
        (&first["name"], &first["metadata"]),
        (&json!("hello"), &json!({"k": "1"}))
    );
    assert_eq!(
        (&second["name"], &second["system"]),
        (&json!("second"), &Value::Null)
    );
    assert_eq!(
        (&third["name"], &third["system"]),
        (&json!("second"), &json!("third"))
    );
    for field in [
        "type",
        "runtime",
        "model",
        "skills",
        "mcp_servers",
        "created_at",
    ] {
        assert!(!first[field].is_null(), "{field} is missing: {first}");
    }
}

#[tokio::test]
async fn an_archived_agent_is_hidden_readable_and_done() {
    let server = server().await;
    let client = server.client();
    let id = client.create_agent(&agent()).await;
    let other = client.create_agent(&agent()).await;
    let path = format!("/agents/{id}");
    let archived = client
        .post_empty(&format!("{path}/archive"))
        .await
        .expect(200);
    assert!(archived["archived_at"].is_string());
    assert_eq!(ids(&client.get("/agents").await.expect(200)), [other]);
    assert_eq!(
        client.get(&path).await.expect(200)["archived_at"],
        archived["archived_at"]
    );
    client.get(&format!("{path}/versions")).await.expect(200);
    client
        .post_empty(&format!("{path}/archive"))
        .await
        .refused(409);
    client
        .put(&path, &json!({"version": 1, "name": "x"}))
        .await
        .refused(409);
    let body = json!({"agent_id": id, "prompt": "x"});
    let refusal = client.post("/sessions", &body).await.refusal(409);
    assert!(refusal.contains("archived"), "{refusal}");
}

#[tokio::test]
async fn agents_are_listed_newest_first_and_in_pages_on_request() {
    let server = server().await;
    let client = server.client();
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(client.create_agent(&agent()).await);
    }
    made.reverse();
    let whole = client.get("/agents").await.expect(200);
    assert_eq!(ids(&whole), made);
    let first = client.get("/agents?limit=3").await.expect(200);
    assert_eq!(ids(&first), made[..3]);
    let next = first["next"].as_str().unwrap();
    let second = client
        .get(&format!("/agents?limit=3&after={next}"))
        .await
        .expect(200);
    assert_eq!(ids(&second), made[3..]);
    assert!(second.get("next").is_none_or(Value::is_null), "{second}");
    for bad in ["limit=0", "limit=201", "limit=-1", "limit=x", "after=x"] {
        let reply = client.get(&format!("/agents?{bad}")).await;
        let name = bad.split('=').next().unwrap();
        assert_eq!(
            reply.refused(422)[0]["loc"],
            json!(["query", name]),
            "{bad}"
        );
    }
}

/// Models write a structured answer in the order of its schema: what they think first, and then what
/// follows from that.
#[tokio::test]
async fn what_is_given_keeps_its_order() {
    let server = server().await;
    let client = server.client();
    let schema = r#"{"type":"object","properties":{"thoughts":{},"answer":{}}}"#;
    let in_order = |text: &str| {
        let place = |name: &str| text.find(&format!("\"{name}\":"));
        assert!(place("thoughts") < place("answer"), "{text}");
        assert!(place("thoughts").is_some(), "{text}");
    };
    let tool = format!(r#"{{"name":"t","description":"d","input_schema":{schema}}}"#);
    let body = format!(r#"{{"name":"x","runtime":"demo","model":"demo/echo","tools":[{tool}]}}"#);
    let request = client.request(reqwest::Method::POST, "/agents").body(body);
    let reply = client.send(request).await;
    reply.expect(201);
    in_order(&reply.text);
    let agent = client.demo_agent().await;
    let body = format!(r#"{{"agent_id":"{agent}","prompt":"x","output_schema":{schema}}}"#);
    let request = client
        .request(reqwest::Method::POST, "/sessions")
        .body(body);
    let session = client.send(request).await.expect(202)["id"].clone();
    let path = format!("/sessions/{}/turns", session.as_str().unwrap());
    in_order(&client.get(&path).await.text);
}
