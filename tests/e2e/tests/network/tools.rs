//! The agent's own tools, and permissions for tools of MCP servers, as an agent finds them that
//! speaks to their endpoints itself.

use std::time::Duration;

use aod_e2e::{DEADLINE, MODEL_HOST, Runtimes, Server, ServerOptions, Session, eventually};
use aod_standin::{Options, Standin};
use serde_json::{Value, json};

/// What an agent's script may use: `call URL TOOL TEXT` calls a tool, `list URL` lists them.
const PRELUDE: &str = r#"
post() {
    curl -sN -m 100 -H 'content-type: application/json' \
        -H 'accept: application/json, text/event-stream' "$1" -d "$2" | sed -n 's/^data: //;/./p'
}
list() { post "$1" '{"jsonrpc":"2.0","id":1,"method":"tools/list"}'; }
call() {
    post "$1" '{"jsonrpc":"2.0","id":2,"method":"tools/call","params":
        {"name":"'"$2"'","arguments":{"text":"'"$3"'"}}}'
}
own=http://127.0.0.1:61079/mcp
"#;

fn lookup(more: Value) -> Value {
    let mut tool = json!({
        "name": "lookup",
        "description": "Looks something up.",
        "input_schema": {
            "type": "object",
            "properties": {"text": {"type": "string"}},
            "required": ["text"],
        },
    });
    aod_e2e::extend(&mut tool, more);
    tool
}

async fn server(settings: &[(&str, &str)]) -> Server {
    let options = ServerOptions::new(Runtimes::demo().with_raw());
    let options = settings
        .iter()
        .fold(options, |options, (name, value)| options.set(name, value));
    Server::start(options).await
}

async fn session(server: &Server, agent: Value, script: &str) -> Session {
    let client = server.client();
    let mut body = json!({"name": "raw", "runtime": "raw", "model": "demo/echo"});
    aod_e2e::extend(&mut body, agent);
    let agent = client.create_agent(&body).await;
    let prompt = format!("{PRELUDE}{script}");
    client
        .create_session(&json!({"agent_id": agent, "prompt": prompt}))
        .await
}

async fn events(session: &Session, kind: &str) -> Vec<Value> {
    let path = format!("/sessions/{}/events?limit=200", session.id);
    let page = session.client.get(&path).await.expect(200);
    let all = page["data"].as_array().unwrap().iter();
    all.filter(|it| it["type"] == kind).cloned().collect()
}

/// The event of this type with this number, from 1.
async fn event(session: &Session, kind: &str, count: usize) -> Value {
    eventually(&format!("{kind} is told"), DEADLINE, async || {
        let told = events(session, kind).await;
        let status = session.read().await["status"].clone();
        assert!(
            told.len() >= count || status == "pending" || status == "running",
            "{status}"
        );
        told.get(count - 1).cloned()
    })
    .await
}

fn answers(session: &Session) -> String {
    format!("/sessions/{}/answers", session.id)
}

#[tokio::test]
async fn a_call_waits_for_its_answer_while_the_host_is_gone_and_the_clock_stands() {
    // A turn that is silent for so long is stopped, unless it waits for somebody.
    let mut server = server(&[("AOD_TURN__IDLE", "8s")]).await;
    let agent = json!({"tools": [lookup(json!({})), lookup(json!({
        "name": "closed", "permission": "deny",
    }))]});
    let script = "list $own; call $own closed x; call $own lookup plum; call $own lookup pear";
    let mut session = session(&server, agent, script).await;
    let asked = event(&session, "tool.request", 1).await;
    assert_eq!(asked["name"], "lookup");
    assert_eq!(asked["input"], json!({"text": "plum"}));
    assert_eq!(asked["deadline_ms"], 3_600_000);
    assert_eq!(asked["default"]["is_error"], true);

    server.kill();
    // Longer than the turn may be silent.
    tokio::time::sleep(Duration::from_secs(9)).await;
    server.start_again().await;
    session = session.at(server.client());
    let client = server.client();
    let stream = client.get("/sessions/stream?follow=false").await.text;
    let first = stream.lines().find_map(|it| it.strip_prefix("data: "));
    let first: Value = serde_json::from_str(first.unwrap()).unwrap();
    let waits = json!([{
        "request_id": asked["request_id"], "kind": "tool", "title": "lookup",
    }]);
    assert_eq!(first["questions"], waits);
    let id = &asked["request_id"];
    let path = answers(&session);
    for (body, at) in [
        (json!({"request_id": id, "answer": "x"}), "content"),
        (json!({"request_id": id}), "answer"),
        (json!({"request_id": id, "is_error": true}), "content"),
        (
            json!({"request_id": id, "answer": "x", "content": "y"}),
            "content",
        ),
        (json!({"request_id": id, "content": 1}), "content"),
    ] {
        let problems = client.post(&path, &body).await.refused(422);
        assert_eq!(problems[0]["loc"], json!(["body", at]), "{problems}");
    }
    let unknown = json!({"request_id": "no-such", "content": "x"});
    client.post(&path, &unknown).await.refused(404);
    let answer = json!({"request_id": id, "content": "a \"fruit\""});
    let ack = client.post(&path, &answer).await.expect(202);
    assert_eq!(ack["request_id"], *id);
    let next = event(&session, "tool.request", 2).await;
    client.post(&path, &answer).await.refused(409);
    // As a person answers.
    let id = next["request_id"].as_str().unwrap();
    let command = [
        "session",
        "answer",
        &session.id,
        id,
        "--content",
        "",
        "--is-error",
    ];
    let said = server.command(&command).output().unwrap();
    assert!(said.status.success(), "{said:#?}");

    let ended = session.ended().await.completed();
    let output = ended.stdout();
    let replies: Vec<Value> = output
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|reply: &Value| reply.get("jsonrpc").is_some())
        .collect();
    assert_eq!(replies.len(), 4, "{output}");
    let tools = &replies[0]["result"]["tools"];
    assert_eq!(tools.as_array().unwrap().len(), 1, "{tools}");
    assert_eq!(tools[0]["name"], "lookup");
    assert_eq!(replies[1]["result"]["isError"], true);
    assert_eq!(replies[2]["result"]["content"][0]["text"], "a \"fruit\"");
    assert_eq!(replies[2]["result"]["isError"], false);
    assert_eq!(replies[3]["result"]["isError"], true);
    let told = events(&session, "tool.answer").await;
    assert_eq!(told.len(), 2);
    assert_eq!(told[0]["content"], "a \"fruit\"");
    assert_eq!(told[0]["by_default"], false);
    client.post(&path, &answer).await.refused(409);
}

#[tokio::test]
async fn what_nobody_answers_is_answered_by_the_default() {
    let server = server(&[]).await;
    let default = json!({"content": "nobody is there"});
    let agent = json!({"tools": [
        lookup(json!({"timeout": 1, "default": default})),
        lookup(json!({"name": "asked", "timeout": 1, "permission": "ask"})),
    ]});
    let script = "call $own lookup plum; call $own asked plum";
    let session = session(&server, agent, script).await;
    let output = session.ended().await.completed().stdout();
    assert!(output.contains("nobody is there"), "{output}");
    assert!(output.contains("did not allow the tool"), "{output}");
    let told = events(&session, "tool.answer").await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["by_default"], true);
    assert_eq!(told[0]["is_error"], false);
    let told = events(&session, "permission.answer").await;
    assert_eq!(
        (&told[0]["answer"], &told[0]["by_default"]),
        (&json!("deny"), &json!(true))
    );
}

#[tokio::test]
async fn who_stops_a_turn_withdraws_its_calls() {
    let server = server(&[]).await;
    let agent = json!({"tools": [lookup(json!({}))]});
    // The first caller goes away by itself.
    let script = "timeout 1 curl -s $own -H 'content-type: application/json' \
        -H 'accept: application/json, text/event-stream' -d '{\"jsonrpc\":\"2.0\",\"id\":1,\
        \"method\":\"tools/call\",\"params\":{\"name\":\"lookup\",\"arguments\":{\"text\":\"a\"}}}'
        call $own lookup plum";
    let session = session(&server, agent, script).await;
    let client = server.client();
    let gone = event(&session, "tool.withdrawn", 1).await;
    let asked = event(&session, "tool.request", 2).await;
    assert_ne!(gone["request_id"], asked["request_id"]);
    let path = answers(&session);
    let late = json!({"request_id": gone["request_id"], "content": "x"});
    client.post(&path, &late).await.refused(409);
    let path = format!("/sessions/{}/interrupt", session.id);
    client.post_empty(&path).await.expect(202);
    let ended = session.ended().await;
    assert_eq!(ended.turn["outcome"], "interrupted", "{}", ended.turn);
    let told = events(&session, "tool.withdrawn").await;
    assert_eq!(told.len(), 2);
    assert_eq!(told[1]["request_id"], asked["request_id"]);
    let late = json!({"request_id": asked["request_id"], "content": "x"});
    client.post(&answers(&session), &late).await.refused(409);
}

#[tokio::test]
async fn permissions_hold_for_whoever_speaks_to_an_mcp_server_itself() {
    let server = server(&[]).await;
    let standin = Standin::start(Options::default()).await.unwrap();
    let url = format!("{}/mcp", standin.url_at(MODEL_HOST));
    let agent = |permissions: Value| {
        json!({"mcp_servers": [{
            "name": "notes", "type": "url", "url": url,
            "permissions": permissions,
        }]})
    };
    let script = format!(
        "at=http://127.0.0.1:61081/mcp; list $at; call $at echo plum; \
         call {url} echo pear; curl -s {url}; curl -s --noproxy '*' {url} || echo no way"
    );
    let calls = || {
        let requests = standin.requests().into_iter();
        let calls = requests.filter(|it| it.body["method"] == "tools/call");
        calls.collect::<Vec<_>>()
    };
    let permissions = json!({"default": "allow", "tools": {"echo": "deny"}});
    let denied = session(&server, agent(permissions), &script).await;
    let output = denied.ended().await.completed().stdout();
    assert!(output.contains(r#""tools":[]"#), "{output}");
    assert!(output.contains("may not be called here"), "{output}");
    assert!(output.contains("tools are restricted"), "{output}");
    assert!(output.contains("no way"), "{output}");
    assert_eq!(calls().len(), 0);

    let asking = session(&server, agent(json!({"default": "ask"})), &script).await;
    let asked = event(&asking, "permission.request", 1).await;
    let detail = json!({"server": "notes", "tool": "echo", "input": {"text": "plum"}});
    assert_eq!(asked["detail"], detail);
    assert_eq!(asked["kind"], "permission");
    assert_eq!(asked["default"], "deny");
    let answer = json!({"request_id": asked["request_id"], "content": "allow"});
    let client = server.client();
    let problems = client.post(&answers(&asking), &answer).await.refused(422);
    assert_eq!(problems[0]["loc"], json!(["body", "answer"]));
    let answer = json!({"request_id": asked["request_id"], "answer": "allow"});
    client.post(&answers(&asking), &answer).await.expect(202);
    let output = asking.ended().await.completed().stdout();
    assert!(output.contains("echo: plum"), "{output}");
    let calls = calls();
    assert_eq!(calls.len(), 1);
    assert!(!output.contains("pear\""), "{output}");
}

#[tokio::test]
async fn tools_that_cannot_be_offered_are_refused() {
    let server = server(&[]).await;
    let client = server.client();
    let refused = async |more: Value| {
        let mut body = json!({"name": "raw", "runtime": "raw", "model": "demo/echo"});
        aod_e2e::extend(&mut body, more);
        client.post("/agents", &body).await.refused(422).to_string()
    };
    for (tool, place) in [
        (lookup(json!({"name": "a b"})), "name"),
        (lookup(json!({"name": "x".repeat(49)})), "name"),
        (
            lookup(json!({"input_schema": {"type": "string"}})),
            "tools[0].input_schema",
        ),
        (
            lookup(json!({"input_schema": {"type": "object", "properties": 1}})),
            "tools[0].input_schema",
        ),
        (
            lookup(json!({"input_schema": {"type": "object", "$ref": "http://x.example/"}})),
            "tools[0].input_schema",
        ),
        (lookup(json!({"permission": "perhaps"})), "permission"),
        (lookup(json!({"timeout": 0})), "timeout"),
        (lookup(json!({"default": "x"})), "default"),
        (lookup(json!({"defualt": {}})), "default"),
    ] {
        let problem = refused(json!({"tools": [tool]})).await;
        assert!(problem.contains(place), "{place}: {problem}");
    }
    let twice = refused(json!({"tools": [lookup(json!({})), lookup(json!({}))]})).await;
    assert!(twice.contains("Two tools are named"), "{twice}");
    let url = |more: Value| {
        let mut server = json!({"name": "m", "type": "url", "url": "https://x.example/"});
        aod_e2e::extend(&mut server, more);
        json!({"mcp_servers": [server]})
    };
    for (body, place) in [
        (url(json!({"name": "aod"})), "name"),
        (url(json!({"permissions": {"default": "x"}})), "default"),
        (url(json!({"permissions": {"tools": {"a": 1}}})), "tools"),
        (
            url(json!({"permissions": {}, "url": "https://u:p@x.example/"})),
            "mcp_servers[0].url",
        ),
        (
            json!({"mcp_servers": [{"name": "m", "type": "stdio", "command": "c", "permissions": {}}]}),
            "permissions",
        ),
    ] {
        let problem = refused(body).await;
        assert!(problem.contains(place), "{place}: {problem}");
    }
    // They are a part of the agent's versions, and come out as they went in.
    let tool = lookup(json!({"timeout": 5, "permission": "ask", "default": null}));
    let mut body = json!({"name": "raw", "runtime": "raw", "model": "demo/echo"});
    aod_e2e::extend(
        &mut body,
        url(json!({"permissions": {"default": "ask", "tools": {"b": "deny", "a": "allow"}}})),
    );
    body["tools"] = json!([tool]);
    let agent = client.post("/agents", &body).await.expect(201);
    let mut tool = tool;
    tool.as_object_mut().unwrap().remove("default");
    assert_eq!(agent["tools"], json!([tool]));
    assert_eq!(agent["mcp_servers"], body["mcp_servers"]);
    let path = format!("/agents/{}", agent["id"].as_str().unwrap());
    let changes = json!({"version": 1, "tools": []});
    let agent = client.put(&path, &changes).await.expect(200);
    assert_eq!((&agent["version"], agent.get("tools")), (&json!(2), None));
    let wrong = json!({"version": 2, "tools": [lookup(json!({"input_schema": {}}))]});
    client.put(&path, &wrong).await.refused(422);
}
