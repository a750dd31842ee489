//! Every rule for bodies, and what a refusal says.

use aod_e2e::{Client, Reply};
use serde_json::{Value, json};

use crate::{agent, server, with};

/// Where the problems of a refused body are.
#[track_caller]
fn places(reply: &Reply) -> Vec<Value> {
    match reply.refused(422) {
        Value::Array(problems) => problems.into_iter().map(|it| it["loc"].clone()).collect(),
        other => panic!("a list of problems was expected: {other}"),
    }
}

async fn refuses(client: &Client, path: &str, body: Value, loc: Value) {
    let reply = client.post(path, &body).await;
    assert_eq!(places(&reply), [loc], "{path} {body}");
}

fn long(length: usize) -> String {
    "x".repeat(length)
}

#[tokio::test]
async fn all_problems_are_told_at_once() {
    let server = server().await;
    let body = json!({
        "name": "", "runtime": 7, "environment_id": "x", "metadata": {"a": 1, "b": "fine"},
        "skills": [{"name": "Bad Name", "description": "d"}],
        "mcp_servers": [{"name": "m", "type": "stdio"}, {"name": "n", "type": "pipe"}],
    });
    let reply = server.client().post("/agents", &body).await;
    let mut found = places(&reply);
    let mut expected = vec![
        json!(["body", "name"]),
        json!(["body", "runtime"]),
        json!(["body", "model"]),
        json!(["body", "environment_id"]),
        json!(["body", "metadata", "a"]),
        json!(["body", "skills", 0, "name"]),
        json!(["body", "skills", 0, "content"]),
        json!(["body", "mcp_servers", 0, "command"]),
        json!(["body", "mcp_servers", 1, "type"]),
    ];
    found.sort_by_key(Value::to_string);
    expected.sort_by_key(Value::to_string);
    assert_eq!(found, expected);
    let problems = reply.json();
    let name = problems["detail"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["loc"][1] == "name");
    assert_eq!(name.unwrap()["input"], "");
    let model = problems["detail"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["loc"][1] == "model");
    assert_eq!(model.unwrap()["type"], "missing");
}

#[tokio::test]
async fn rules_of_agents() {
    let server = server().await;
    let client = server.client();
    let skill = |more: Value| {
        with(
            json!({"name": "s", "description": "d", "content": "c"}),
            more,
        )
    };
    let mcp = |more: Value| with(json!({"name": "m", "type": "stdio", "command": "c"}), more);
    let skills = |number: usize| -> Vec<Value> {
        (0..number)
            .map(|n| skill(json!({"name": format!("s{n}")})))
            .collect()
    };
    let servers = |number: usize| -> Vec<Value> {
        (0..number)
            .map(|n| mcp(json!({"name": format!("m{n}")})))
            .collect()
    };
    for (more, loc) in [
        (json!({"name": long(201)}), json!(["name"])),
        (json!({"name": null}), json!(["name"])),
        (json!({"name": ["x"]}), json!(["name"])),
        (json!({"model": long(101)}), json!(["model"])),
        (json!({"model": 1}), json!(["model"])),
        (json!({"runtime": ""}), json!(["runtime"])),
        (json!({"system": 1}), json!(["system"])),
        (json!({"description": {}}), json!(["description"])),
        (json!({"environment_id": 1}), json!(["environment_id"])),
        (json!({"metadata": []}), json!(["metadata"])),
        (json!({"metadata": {"a": {}}}), json!(["metadata", "a"])),
        (json!({"skills": skills(21)}), json!(["skills"])),
        (json!({"skills": {}}), json!(["skills"])),
        (json!({"skills": [1]}), json!(["skills", 0])),
        (
            json!({"skills": [skill(json!({"name": "../x"}))]}),
            json!(["skills", 0, "name"]),
        ),
        (
            json!({"skills": [skill(json!({"name": "-x"}))]}),
            json!(["skills", 0, "name"]),
        ),
        (
            json!({"skills": [skill(json!({"name": long(65)}))]}),
            json!(["skills", 0, "name"]),
        ),
        (
            json!({"skills": [skill(json!({"content": long((256 << 10) + 1)}))]}),
            json!(["skills", 0, "content"]),
        ),
        (
            json!({"skills": [{"type": "github", "source": "owner", "description": ""}]}),
            json!(["skills", 0, "source"]),
        ),
        (
            json!({"skills": [{"type": "github", "source": "a/../b", "description": ""}]}),
            json!(["skills", 0, "source"]),
        ),
        (
            json!({"skills": [{"type": "web"}]}),
            json!(["skills", 0, "type"]),
        ),
        (
            // One folder for both.
            json!({"skills": [
                skill(json!({"name": "pdf"})),
                {"type": "github", "source": "owner/PDF"},
            ]}),
            json!(["skills"]),
        ),
        (json!({"mcp_servers": servers(21)}), json!(["mcp_servers"])),
        (
            json!({"mcp_servers": [mcp(json!({})), mcp(json!({}))]}),
            json!(["mcp_servers"]),
        ),
        (
            json!({"mcp_servers": [mcp(json!({"args": "x"}))]}),
            json!(["mcp_servers", 0, "args"]),
        ),
        (
            json!({"mcp_servers": [mcp(json!({"env": {"A-B": "x"}}))]}),
            json!(["mcp_servers", 0, "env", "A-B"]),
        ),
        (
            json!({"mcp_servers": [{"name": "m", "type": "url", "url": "ftp://x"}]}),
            json!(["mcp_servers", 0, "url"]),
        ),
        (
            json!({"mcp_servers": [{"name": "m", "type": "url"}]}),
            json!(["mcp_servers", 0, "url"]),
        ),
    ] {
        let mut full = vec![json!("body")];
        full.extend(loc.as_array().unwrap().clone());
        refuses(client, "/agents", with(agent(), more), json!(full)).await;
    }
    // A gateway keeps headers out of the sandbox, for which its URL has to be one.
    let headers = json!({"Authorization": "Bearer secret-value"});
    for url in [
        "https://",
        "http://a b/",
        "http://[::1/mcp",
        "https://x:99999/",
        "https://user:password@x/mcp",
    ] {
        let server = json!({"name": "m", "type": "url", "url": url, "headers": headers});
        let body = with(agent(), json!({"mcp_servers": [server]}));
        let refusal = client.post("/agents", &body).await.refusal(422);
        assert!(refusal.starts_with("mcp_servers[0].url"), "{refusal}");
        assert!(!refusal.contains("secret"), "{refusal}");
    }
    for more in [
        json!({"name": long(200)}),
        json!({"name": "\u{1F34A}".repeat(200)}),
        json!({"skills": skills(20), "mcp_servers": servers(20)}),
        json!({"skills": [skill(json!({"content": long(256 << 10)}))]}),
        json!({"description": null, "environment_id": null, "skills": null}),
    ] {
        client
            .post("/agents", &with(agent(), more))
            .await
            .expect(201);
    }
}

#[tokio::test]
async fn rules_of_environments() {
    let server = server().await;
    let client = server.client();
    let limited = |hosts: Value| json!({"type": "limited", "allowed_hosts": hosts});
    for (more, loc) in [
        (json!({"name": ""}), json!(["name"])),
        (json!({"name": long(201)}), json!(["name"])),
        (
            json!({"packages": {"brew": ["x"]}}),
            json!(["packages", "brew"]),
        ),
        (
            json!({"packages": {"apt": "x"}}),
            json!(["packages", "apt"]),
        ),
        (
            json!({"packages": {"apt": [1]}}),
            json!(["packages", "apt", 0]),
        ),
        (
            json!({"packages": {"apt": ["-o x"]}}),
            json!(["packages", "apt", 0]),
        ),
        (json!({"packages": []}), json!(["packages"])),
        (json!({"setup_script": 1}), json!(["setup_script"])),
        (
            json!({"env_vars": {"HOME": "/x"}}),
            json!(["env_vars", "HOME"]),
        ),
        (json!({"vars": {"HOME": "/x"}}), json!(["vars", "HOME"])),
        (json!({"networking": "limited"}), json!(["networking"])),
        (json!({"networking": {}}), json!(["networking", "type"])),
        (
            json!({"networking": {"type": "none"}}),
            json!(["networking", "type"]),
        ),
        (
            json!({"networking": limited(json!("x"))}),
            json!(["networking", "allowed_hosts"]),
        ),
        (
            json!({"networking": limited(json!(["https://x"]))}),
            json!(["networking", "allowed_hosts", 0]),
        ),
        (
            json!({"networking": limited(json!(["a.*.b"]))}),
            json!(["networking", "allowed_hosts", 0]),
        ),
        (
            json!({"networking": limited(json!(["*"]))}),
            json!(["networking", "allowed_hosts", 0]),
        ),
        (json!({"env_vars": {"1A": "x"}}), json!(["env_vars", "1A"])),
        (json!({"env_vars": {"": "x"}}), json!(["env_vars", ""])),
        (json!({"env_vars": {"A": null}}), json!(["env_vars", "A"])),
        (json!({"env_vars": ["A"]}), json!(["env_vars"])),
        (
            json!({"env_vars": {"A": "x\u{0}y"}}),
            json!(["env_vars", "A"]),
        ),
        (json!({"vars": {"1A": "x"}}), json!(["vars", "1A"])),
        (json!({"vars": {"A": 1}}), json!(["vars", "A"])),
        (json!({"vars": ["A"]}), json!(["vars"])),
        (
            json!({"vars": {"A": "x"}, "env_vars": {"A": "y"}}),
            json!(["vars", "A"]),
        ),
    ] {
        let mut full = vec![json!("body")];
        full.extend(loc.as_array().unwrap().clone());
        let body = with(json!({"name": "e"}), more);
        refuses(client, "/environments", body, json!(full)).await;
    }
    let good = json!({"name": "e", "env_vars": {"_a1": "", "B": "x"}, "packages": {"pip": []}});
    client.post("/environments", &good).await.expect(201);
}

#[tokio::test]
async fn rules_of_sessions() {
    let server = server().await;
    let client = server.client();
    let agent = client.demo_agent().await;
    let repository = |more: Value| {
        with(
            json!({"type": "github_repository", "url": "https://github.com/o/r"}),
            more,
        )
    };
    let many: Vec<Value> = (0..11)
        .map(|n| repository(json!({"mount_path": format!("m{n}")})))
        .collect();
    for (more, loc) in [
        (json!({"agent_id": "x"}), json!(["agent_id"])),
        (json!({"agent_id": null}), json!(["agent_id"])),
        (json!({"prompt": ""}), json!(["prompt"])),
        (json!({"prompt": 1}), json!(["prompt"])),
        (json!({"prompt": long((1 << 20) + 1)}), json!(["prompt"])),
        // A megabyte is a matter of bytes.
        (
            json!({"prompt": "ä".repeat((1 << 19) + 1)}),
            json!(["prompt"]),
        ),
        // File systems count a name's bytes.
        (
            json!({"prompt": [{"type": "file", "name": "日".repeat(86), "data": "aGk="}]}),
            json!(["prompt", 0, "name"]),
        ),
        (json!({"timeout": 9}), json!(["timeout"])),
        (json!({"timeout": 3601}), json!(["timeout"])),
        (json!({"timeout": "60"}), json!(["timeout"])),
        (json!({"timeout": 60.5}), json!(["timeout"])),
        (json!({"environment_id": "x"}), json!(["environment_id"])),
        (
            json!({"secret_env_vars": {"a b": "x"}}),
            json!(["secret_env_vars", "a b"]),
        ),
        (json!({"vars": {"a b": "x"}}), json!(["vars", "a b"])),
        (
            json!({"vars": {"A": "x"}, "secret_env_vars": {"A": "y"}}),
            json!(["vars", "A"]),
        ),
        (json!({"resources": many}), json!(["resources"])),
        (
            json!({"resources": [{"type": "zip", "url": "https://x/y"}]}),
            json!(["resources", 0, "type"]),
        ),
        (
            json!({"resources": [repository(json!({"url": "git@github.com:o/r"}))]}),
            json!(["resources", 0, "url"]),
        ),
        (
            json!({"resources": [repository(json!({"url": "ftp://github.com/o/r"}))]}),
            json!(["resources", 0, "url"]),
        ),
        (
            json!({"resources": [repository(json!({"mount_path": "../x"}))]}),
            json!(["resources", 0, "mount_path"]),
        ),
        (
            json!({"resources": [repository(json!({"mount_path": "/etc"}))]}),
            json!(["resources", 0, "mount_path"]),
        ),
        (
            json!({"resources": [repository(json!({})), repository(json!({}))]}),
            json!(["resources"]),
        ),
    ] {
        let mut full = vec![json!("body")];
        full.extend(loc.as_array().unwrap().clone());
        let body = with(json!({"agent_id": agent, "prompt": "x"}), more);
        refuses(client, "/sessions", body, json!(full)).await;
    }
    let body = json!({"agent_id": uuid::Uuid::new_v4(), "prompt": "x"});
    assert!(
        client
            .post("/sessions", &body)
            .await
            .refusal(404)
            .contains("Agent")
    );
    let nowhere = uuid::Uuid::new_v4();
    let body = json!({"agent_id": agent, "prompt": "x", "environment_id": nowhere});
    assert!(
        client
            .post("/sessions", &body)
            .await
            .refusal(404)
            .contains("Environment")
    );
    assert_eq!(
        client.get("/sessions").await.expect(200)["data"],
        json!([]),
        "one was made"
    );

    let secret = "a-token-of-a-repository";
    let resource = repository(json!({"url": "bad", "authorization_token": secret}));
    let body = json!({"agent_id": agent, "prompt": "x", "resources": [resource]});
    let reply = client.post("/sessions", &body).await;
    reply.refused(422);
    assert!(!reply.text.contains(secret), "{}", reply.text);

    let session = client.demo_session("x").await;
    session.ended().await.completed();
    let path = format!("/sessions/{}/prompt", session.id);
    refuses(client, &path, json!({}), json!(["body", "prompt"])).await;
    refuses(
        client,
        &path,
        json!({"prompt": ""}),
        json!(["body", "prompt"]),
    )
    .await;
    refuses(
        client,
        &path,
        json!({"prompt": "x", "timeout": 5}),
        json!(["body", "timeout"]),
    )
    .await;
}

#[tokio::test]
async fn an_acknowledgement_is_as_documented() {
    let server = server().await;
    let client = server.client();
    let agent = client.demo_agent().await;
    let environment = client.create_environment(&json!({"name": "e"})).await;
    let body = json!({
        "agent_id": agent, "prompt": "x".repeat(1 << 20), "environment_id": environment,
        "timeout": 3600,
    });
    let ack = client.post("/sessions", &body).await.expect(202);
    let id = ack["id"].as_str().unwrap();
    let expected = json!({
        "id": id, "status": "pending", "stream_url": format!("/sessions/{id}/stream"),
        "environment_id": environment, "resources": [], "current_turn": 1,
    });
    assert_eq!(ack, expected);
    let session = aod_e2e::Session {
        client: client.clone(),
        id: id.to_owned(),
    };
    let ended = session.ended().await.completed();
    let read = ended.session;
    for (field, value) in [
        ("id", json!(id)),
        ("agent_id", json!(agent)),
        ("environment_id", json!(environment)),
        ("runtime", json!("demo")),
        ("model", json!("demo/echo")),
        ("status", json!("completed")),
        ("exit_code", json!(0)),
        ("resources", json!([])),
        ("turn_count", json!(1)),
        ("current_turn", json!(1)),
        ("error", Value::Null),
        ("resumable", json!(true)),
        ("agent_version", json!(1)),
        ("environment_version", json!(1)),
    ] {
        assert_eq!(read[field], value, "{field}: {read}");
    }
    assert!(read["usage"]["input_tokens"].is_u64(), "{read}");
}

#[tokio::test]
async fn a_field_that_is_not_known_is_refused_with_the_nearest_one() {
    let server = server().await;
    let client = server.client();
    let id = client.demo_agent().await;
    for (path, body, loc, near) in [
        (
            "/agents",
            with(agent(), json!({"sistem": "x"})),
            json!(["sistem"]),
            "system",
        ),
        (
            "/environments",
            json!({"name": "e", "env_var": {"A": "b"}}),
            json!(["env_var"]),
            "env_vars",
        ),
        (
            "/environments",
            json!({"name": "e", "networking": {"type": "limited", "allow_hosts": []}}),
            json!(["networking", "allow_hosts"]),
            "allowed_hosts",
        ),
        (
            "/sessions",
            json!({"agent_id": id, "prompt": "x", "timeouts": 20}),
            json!(["timeouts"]),
            "timeout",
        ),
        (
            "/tokens",
            json!({"name": "t", "expires": null}),
            json!(["expires"]),
            "expires_at",
        ),
    ] {
        let problems = client.post(path, &body).await.refused(422);
        let mut whole = vec![json!("body")];
        whole.extend(loc.as_array().unwrap().clone());
        assert_eq!(problems[0]["loc"], json!(whole), "{problems}");
        assert_eq!(
            problems[0]["msg"],
            format!("Extra field: did you mean {near}?")
        );
        assert_eq!(problems.as_array().unwrap().len(), 1, "{problems}");
    }
    assert_eq!(client.get("/sessions").await.expect(200)["data"], json!([]));
}

#[tokio::test]
async fn an_id_has_one_form() {
    let server = server().await;
    let client = server.client();
    let id = client.demo_agent().await;
    client.get(&format!("/agents/{id}")).await.expect(200);
    for form in [
        id.to_uppercase(),
        format!("urn:uuid:{id}"),
        format!("%7B{id}%7D"),
        id.replace('-', ""),
    ] {
        client.get(&format!("/agents/{form}")).await.refused(404);
        client
            .get(&format!("/agents?after={form}"))
            .await
            .refused(422);
        let body = json!({"agent_id": form, "prompt": "x"});
        refuses(client, "/sessions", body, json!(["body", "agent_id"])).await;
    }
}
