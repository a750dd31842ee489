//! The agent's own tools, called over HTTP.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use aod_egress::{Permission, Policy, Service, Tool, ToolServer};
use aod_launch::{CallAnswer, CallReport, HeldKind};
use serde_json::{Value, json};

use crate::support::{Egress, ask, config};

fn tool(name: &str, permission: Permission) -> Tool {
    let schema = json!({
        "type": "object",
        "properties": { "text": { "type": "string" } },
        "required": ["text"],
    });
    Tool {
        name: name.to_owned(),
        description: format!("What {name} does."),
        input_schema: schema.as_object().unwrap().clone(),
        permission,
        timeout_ms: 60_000,
        default: CallAnswer {
            content: "nobody".to_owned(),
            is_error: true,
        },
    }
}

fn start() -> Egress {
    let server = ToolServer {
        tools: vec![
            tool("free", Permission::Allow),
            tool("asked", Permission::Ask),
            tool("closed", Permission::Deny),
        ],
    };
    Egress::start(&config(vec![Service::Tools(server)], Policy::default()))
}

/// A request to an MCP server, which wants the connection closed behind its answer.
pub(crate) fn post(message: &Value) -> String {
    let body = message.to_string();
    format!(
        "POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\
         content-type: application/json\r\naccept: application/json, text/event-stream\r\n\
         mcp-protocol-version: 2025-06-18\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub(crate) fn message(method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params })
}

fn call(tool: &str, arguments: &Value) -> Value {
    message(
        "tools/call",
        &json!({ "name": tool, "arguments": arguments }),
    )
}

/// The message in an answer, which comes as an event or as it is.
pub(crate) fn answered(answer: &str) -> Value {
    let lines = answer.lines();
    let mut data = lines.filter_map(|line| {
        let line = line.trim_end_matches('\r');
        serde_json::from_str(line.strip_prefix("data:").unwrap_or(line).trim()).ok()
    });
    data.find(Value::is_object)
        .unwrap_or_else(|| panic!("no message in {answer}"))
}

fn exchange(at: SocketAddr, message: &Value) -> Value {
    answered(&ask(at, &post(message)))
}

/// Sends a call, whose answer the thread gives.
pub(crate) fn calling(at: SocketAddr, message: &Value) -> std::thread::JoinHandle<Value> {
    let message = message.clone();
    std::thread::spawn(move || exchange(at, &message))
}

#[test]
fn tools_are_offered_and_called() {
    let mut egress = start();
    let at = egress.at[0];
    let params = json!({
        "protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": { "name": "t", "version": "1" },
    });
    let reply = exchange(at, &message("initialize", &params));
    assert_eq!(reply["result"]["serverInfo"]["name"], "aod", "{reply}");
    let reply = exchange(at, &message("tools/list", &json!({})));
    let tools = reply["result"]["tools"].as_array().unwrap();
    let names: Vec<&str> = tools
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["free", "asked"],
        "what may not be called is not offered"
    );
    assert_eq!(tools[0]["inputSchema"]["required"], json!(["text"]));

    let calls = calling(at, &call("free", &json!({ "text": "a" })));
    let held = egress.held();
    assert_eq!((held.kind, held.tool.as_str()), (HeldKind::Result, "free"));
    assert_eq!((held.server, held.input.get()), (None, r#"{"text":"a"}"#));
    egress.reply(held.id, Some(("done", false)));
    let reply = calls.join().unwrap();
    let text = json!([{ "type": "text", "text": "done" }]);
    assert_eq!(reply["result"]["content"], text, "{reply}");
    assert_eq!(reply["result"]["isError"], false);
    assert_eq!(reply["id"], 7);

    // Two at once, answered in another order; one of them in failure.
    let first = calling(at, &call("free", &json!({ "text": "1" })));
    let one = egress.held();
    let second = calling(at, &call("free", &json!({ "text": "2" })));
    let two = egress.held();
    assert_ne!(one.id, two.id);
    egress.reply(two.id, Some(("second", true)));
    egress.reply(one.id, None);
    let reply = second.join().unwrap();
    assert_eq!(reply["result"]["content"][0]["text"], "second");
    assert_eq!(reply["result"]["isError"], true);
    assert_eq!(first.join().unwrap()["result"]["isError"], true);
}

#[test]
fn what_does_not_fit_is_told_to_the_model_and_nobody_is_asked() {
    let egress = start();
    let at = egress.at[0];
    for (tool, arguments, why) in [
        ("free", json!({}), "\"text\" is a required property"),
        ("free", json!({ "text": 1 }), "at /text"),
        ("closed", json!({ "text": "a" }), "may not be called"),
        (
            "free",
            json!({ "text": "x".repeat(300 << 10) }),
            "longer than",
        ),
    ] {
        let reply = exchange(at, &call(tool, &arguments));
        assert_eq!(reply["result"]["isError"], true, "{reply}");
        let text = reply["result"]["content"][0]["text"].as_str().unwrap();
        assert!(text.contains(why), "{text}");
    }
    let reply = exchange(at, &call("unknown", &json!({})));
    assert_eq!(reply["error"]["code"], -32602, "{reply}");
    let elsewhere = post(&call("free", &json!({}))).replace("/mcp", "/other");
    assert!(ask(at, &elsewhere).starts_with("HTTP/1.1 404"));
    // A page in a browser of the sandbox is not asked for.
    let of_page = post(&call("free", &json!({ "text": "a" })))
        .replace("host: ", "origin: https://evil.example\r\nhost: ");
    assert!(ask(at, &of_page).starts_with("HTTP/1.1 403"));
    let rebound = post(&call("free", &json!({ "text": "a" })))
        .replace("host: 127.0.0.1", "host: evil.example");
    assert!(ask(at, &rebound).starts_with("HTTP/1.1 403"));
    assert_eq!(egress.last_reports(), []);
}

#[test]
fn a_permission_comes_before_the_call() {
    let mut egress = start();
    let at = egress.at[0];
    let calls = calling(at, &call("asked", &json!({ "text": "a" })));
    let held = egress.held();
    assert_eq!(held.kind, HeldKind::Permission);
    assert_eq!(held.default.content, "deny");
    egress.reply(held.id, Some(("deny", false)));
    let reply = calls.join().unwrap();
    assert_eq!(reply["result"]["isError"], true, "{reply}");

    let calls = calling(at, &call("asked", &json!({ "text": "a" })));
    let held = egress.held();
    egress.reply(held.id, Some(("allow", false)));
    let held = egress.held();
    assert_eq!(held.kind, HeldKind::Result);
    egress.reply(held.id, Some(("done", false)));
    assert_eq!(calls.join().unwrap()["result"]["isError"], false);
}

#[test]
fn a_caller_that_goes_away_is_told_of() {
    let mut egress = start();
    let mut stream = TcpStream::connect(egress.at[0]).unwrap();
    let request = post(&call("free", &json!({ "text": "a" })));
    stream.write_all(request.as_bytes()).unwrap();
    let held = egress.held();
    // The answer has begun, so that clients wait.
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    drop(stream);
    let report = egress.call_report();
    assert!(
        matches!(report, CallReport::CallDropped(id) if id == held.id),
        "{report:?}"
    );
    // The next one is served all the same.
    let calls = calling(egress.at[0], &call("free", &json!({ "text": "b" })));
    let held = egress.held();
    egress.reply(held.id, Some(("done", false)));
    assert_eq!(calls.join().unwrap()["result"]["isError"], false);
}

#[test]
fn it_stays_small_while_calls_wait() {
    let mut egress = start();
    let calls: Vec<_> = (0..20)
        .map(|_| calling(egress.at[0], &call("free", &json!({ "text": "a" }))))
        .collect();
    let held: Vec<u64> = calls.iter().map(|_| egress.held().id).collect();
    let private = egress.private_kib();
    assert!(private < 6 << 10, "{private} KiB");
    println!("{private} KiB are private while 20 calls wait");
    for id in held {
        egress.reply(id, Some(("done", false)));
    }
    for call in calls {
        assert_eq!(call.join().unwrap()["result"]["isError"], false);
    }
}
