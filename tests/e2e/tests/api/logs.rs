//! What the server logs, in both forms.

use aod_e2e::{Client, DEADLINE, Reply, Runtimes, Server, ServerOptions, eventually, plugin};
use reqwest::Method;
use serde_json::{Value, json};

/// A word that must be in the log: with it come line ends, escapes and a line that looks real.
const MARK: &str = "plumstone";
const HOSTILE: &str = "plumstone\n{\"level\":\"ERROR\",\"message\":\"forged\"}\r\n2026-01-01T00:00:00Z ERROR forged\u{1b}[31m\u{1b}]0;title\u{7}\u{9b}2J\u{85}\u{2028}\u{202e}\0end";
const SECRET: &str = "s3cret-0123456789-of-the-logs";

/// Does what a user, a stranger and an operator do, with hostile texts wherever there is room for
/// them. Returns the request ids that the server gave.
async fn provoke(server: &mut Server) -> Vec<String> {
    let client = server.client().clone();
    let mut ids = Vec::new();
    let mut note = |reply: &Reply| {
        let id = reply.headers["x-request-id"].to_str().unwrap();
        ids.push(id.to_owned());
    };
    let name = HOSTILE.replace('\0', "");
    let agent = json!({"name": name, "runtime": "raw", "model": "demo/echo", "system": name});
    let made = client.post("/agents", &agent).await;
    note(&made);
    let put = client
        .put("/credentials/env:PLUM", &json!({"value": SECRET}))
        .await;
    note(&put);
    // The CLI says it to the log of its session, and the prompt is a command that fails.
    let prompt = format!("printf %s \"$PLUM\"; echo '{name}' >&2; exit 3");
    let body = json!({"agent_id": made.json()["id"], "prompt": prompt, "title": name});
    let session = client.post("/sessions", &body).await;
    note(&session);
    let path = format!("/sessions/{}", session.json()["id"].as_str().unwrap());
    eventually("the turn fails", DEADLINE, async || {
        (client.get(&path).await.json()["status"] == "failed").then_some(())
    })
    .await;
    let nowhere = client
        .send(
            client
                .request(
                    Method::GET,
                    &format!("/{MARK}%0a%0d%1b%5b31m%00?token={SECRET}"),
                )
                .header("x-request-id", format!("chosen-{SECRET}"))
                .header("user-agent", SECRET),
        )
        .await;
    note(&nowhere);
    let stranger = Client::new(client.base(), Some(SECRET));
    note(&stranger.get("/agents").await);
    // The name of a key is in what is said of it.
    let key = "\"plumstone\\nforged\\u001b[31m\" = 1\n";
    let broken = Runtimes::demo().with("broken", &plugin("demo"), key);
    server.write_runtimes(broken);
    eventually("the broken file is told of", DEADLINE, async || {
        server.log().contains("forged").then_some(())
    })
    .await;
    ids
}

async fn server(format: &str, level: &str) -> Server {
    let runtimes = Runtimes::demo().with_raw();
    let options = ServerOptions::new(runtimes)
        .set("AOD_LOG__FORMAT", format)
        .set("AOD_LOG__LEVEL", level);
    Server::start(options).await
}

#[tokio::test]
async fn each_line_of_a_json_log_is_an_object_whatever_others_write() {
    let mut server = server("json", "trace").await;
    let ids = provoke(&mut server).await;
    server.stop().await;
    let log = server.log();
    assert!(log.ends_with('\n') && log.contains(MARK));
    let lines: Vec<Value> = log
        .split_terminator('\n')
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line:?}")))
        .collect();
    for line in &lines {
        for field in ["level", "target", "message"] {
            assert!(line[field].is_string(), "no {field}: {line}");
        }
        let time = line["timestamp"].as_str().unwrap();
        assert!(
            time.len() == 27 && time.contains('T') && time.ends_with('Z'),
            "{line}"
        );
        assert_ne!(line["message"], "forged");
        if line["target"] == "aod_api::layers" {
            let span = &line["span"];
            assert!(span["request_id"].as_str().is_some_and(|id| id.len() == 36));
            assert!(span["method"].is_string() && span["path"].is_string());
        }
    }
    for id in &ids {
        let answered = |line: &&Value| {
            line["span"]["request_id"] == id.as_str() && line["message"] == "answered"
        };
        let line = lines.iter().find(answered);
        let line = line.unwrap_or_else(|| panic!("no answer under {id}"));
        assert!(line["status"].is_u64(), "{line}");
    }
    for secret in [SECRET, server.token()] {
        assert!(!log.contains(secret), "a secret is in the log");
    }
}

#[tokio::test]
async fn no_text_begins_a_line_of_a_plain_log_or_steers_a_terminal() {
    let mut server = server("pretty", "debug").await;
    provoke(&mut server).await;
    server.stop().await;
    let log = server.log();
    for line in log.lines() {
        let of_ours = line.len() > 28 && line.as_bytes()[26] == b'Z' && line.contains("aod");
        let of_a_crate = line.len() > 28 && line.as_bytes()[26] == b'Z';
        assert!(
            of_ours || of_a_crate || line.starts_with("    "),
            "{line:?}"
        );
    }
    let control = |c: &char| c.is_control() && !matches!(c, '\n' | '\t');
    assert_eq!(log.chars().find(control), None);
    assert!(!log.contains(SECRET) && !log.contains(server.token()));
}
