//! An MCP server behind a gateway whose tools may not all be called.

use std::io::Write as _;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use aod_egress::{Gateway, Permission, Policy, Service, ToolPolicy};
use aod_launch::HeldKind;
use serde_json::{Value, json};

use crate::support::{Egress, ask, config, get, open, read_body, read_head, upstream};
use crate::tools::{answered, calling, message, post};

/// An MCP server that records what it is asked, and answers as JSON or in a stream.
struct Mcp {
    port: u16,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Mcp {
    fn start(streams: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let head = read_head(&mut stream);
                let body = read_body(&head, &mut stream);
                let asked: Value = serde_json::from_slice(&body).unwrap();
                let result = match asked["method"].as_str() {
                    Some("tools/list") => json!({"tools": [
                        {"name": "read"}, {"name": "write"}, {"name": "delete"},
                    ]}),
                    _ => json!({"content": [{"type": "text", "text": "called"}]}),
                };
                let id = &asked["id"];
                let reply = json!({"jsonrpc": "2.0", "id": id, "result": result});
                seen.lock().unwrap().push(asked);
                let (kind, text) = match streams {
                    true => (
                        "text/event-stream",
                        format!("event: message\ndata: {reply}\n\n"),
                    ),
                    false => ("application/json", reply.to_string()),
                };
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\
                     content-length: {}\r\n\r\n{text}",
                    text.len()
                );
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Self { port, asked }
    }

    fn calls(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let calls = asked.iter().filter(|it| it["method"] == "tools/call");
        let names = calls.map(|it| it["params"]["name"].as_str().unwrap().to_owned());
        names.collect()
    }
}

fn start(server: &Mcp) -> Egress {
    let gateway = Gateway {
        upstream: upstream("mcp.test", server.port),
        credentials: Vec::new(),
        authorization: None,
        usage: None,
        tools: Some(ToolPolicy {
            server: "notes".to_owned(),
            default: Permission::Allow,
            tools: [
                ("write".to_owned(), Permission::Ask),
                ("delete".to_owned(), Permission::Deny),
            ]
            .into(),
            timeout_ms: 60_000,
        }),
    };
    let mut policy: Policy = open(&["mcp.test"]);
    policy.guarded = vec![("mcp.test".to_owned(), server.port)];
    Egress::start(&config(
        vec![Service::Gateway(gateway), Service::Proxy],
        policy,
    ))
}

fn call(tool: &str) -> Value {
    message(
        "tools/call",
        &json!({ "name": tool, "arguments": { "n": 1 } }),
    )
}

#[test]
fn calls_are_allowed_denied_and_asked_for() {
    for streams in [false, true] {
        let server = Mcp::start(streams);
        let mut egress = start(&server);
        let at = egress.at[0];
        let reply = answered(&ask(at, &post(&message("tools/list", &json!({})))));
        let names = json!([{ "name": "read" }, { "name": "write" }]);
        assert_eq!(reply["result"]["tools"], names, "{reply}");
        let reply = answered(&ask(at, &post(&call("read"))));
        assert_eq!(reply["result"]["content"][0]["text"], "called");
        let reply = answered(&ask(at, &post(&call("delete"))));
        assert_eq!(reply["result"]["isError"], true, "{reply}");
        assert_eq!(reply["id"], 7);
        for (answer, is_called) in [(Some("allow"), true), (Some("deny"), false), (None, false)] {
            let asking = calling(at, &call("write"));
            let held = egress.held();
            assert_eq!(held.kind, HeldKind::Permission);
            assert_eq!(held.server.as_deref(), Some("notes"));
            assert_eq!(
                (held.tool.as_str(), held.input.get()),
                ("write", r#"{"n":1}"#)
            );
            egress.reply(held.id, answer.map(|answer| (answer, false)));
            let reply = asking.join().unwrap();
            assert_eq!(reply["id"], 7, "{reply}");
            let is_error = reply["result"]["isError"] == true;
            assert_eq!(is_error, !is_called, "{reply}");
        }
        assert_eq!(server.calls(), ["read", "write"]);
    }
}

#[test]
fn there_is_no_way_around() {
    let server = Mcp::start(false);
    let egress = start(&server);
    let at = egress.at[0];
    let denied = call("delete").to_string();
    let twice = denied.replace(r#""name":"delete""#, r#""name":"read","name":"delete""#);
    let other_case = denied.replace(r#""params""#, r#""Params":{"name":"read"},"params""#);
    for body in [
        format!("[{denied}]"),
        twice,
        other_case,
        format!("{denied}{denied}"),
    ] {
        let request = post(&json!(0)).replace("content-length: 1\r\n\r\n0", "");
        let request = format!("{request}content-length: {}\r\n\r\n{body}", body.len());
        assert!(ask(at, &request).starts_with("HTTP/1.1 400"), "{body}");
    }
    let plain = post(&call("delete"));
    for (front, put, status) in [
        ("POST", "PUT", "405"),
        ("POST", "PATCH", "405"),
        ("host:", "content-encoding: gzip\r\nhost:", "415"),
        ("host:", "mcp-name: read\r\nhost:", "400"),
        ("host:", "mcp-method: ping\r\nhost:", "400"),
    ] {
        let answer = ask(at, &plain.replacen(front, put, 1));
        let wanted = format!("HTTP/1.1 {status}");
        assert!(answer.starts_with(&wanted), "{put}: {answer}");
    }
    // The server itself, by the proxy.
    let url = format!("http://mcp.test:{}/mcp", server.port);
    let answer = ask(egress.at[1], &get(&url, ""));
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(answer.contains("tools are restricted"), "{answer}");
    assert_eq!(server.asked.lock().unwrap().len(), 0);
}
