//! Bodies that no client should send never break the server.

use aod_e2e::{Client, Server};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::{agent, server};

/// The fields that the API knows, so that rubbish gets past the first check.
const FIELDS: [&str; 27] = [
    "name",
    "runtime",
    "model",
    "system",
    "description",
    "environment_id",
    "skills",
    "mcp_servers",
    "metadata",
    "version",
    "packages",
    "setup_script",
    "networking",
    "env_vars",
    "agent_id",
    "prompt",
    "timeout",
    "resources",
    "secret_env_vars",
    "type",
    "url",
    "command",
    "args",
    "env",
    "allowed_hosts",
    "apt",
    "expires_at",
];

/// Values that are nearly right, or that break what is written carelessly.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("claude".to_owned()),
        Just("anthropic/claude-sonnet-4-6".to_owned()),
        Just("/".to_owned()),
        Just("\u{0}".to_owned()),
        Just("\u{202e}\u{1F34A}\u{fffd}".to_owned()),
        Just("../../etc/passwd".to_owned()),
        Just("'; DROP TABLE agents; --".to_owned()),
        Just("00000000-0000-0000-0000-000000000000".to_owned()),
        Just("stdio".to_owned()),
        Just("github".to_owned()),
        Just("limited".to_owned()),
        Just("9999-99-99T99:99:99Z".to_owned()),
        "[a-z]{1,300}",
        any::<String>(),
    ]
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(json!(1)),
        word().prop_map(Value::from),
    ]
}

fn rubbish() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(5, 64, 8, |inner| {
        let key = prop_oneof![
            prop::sample::select(&FIELDS[..]).prop_map(str::to_owned),
            word()
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..8)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// A body in which one or more fields of a good one were replaced.
fn spoilt(good: Value) -> impl Strategy<Value = Value> {
    let change = (prop::sample::select(&FIELDS[..]), rubbish());
    prop::collection::vec(change, 1..4).prop_map(move |changes| {
        let mut body = good.as_object().cloned().unwrap_or_else(Map::new);
        body.extend(
            changes
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value)),
        );
        Value::Object(body)
    })
}

struct Target {
    method: Method,
    path: String,
    good: Value,
}

async fn targets(server: &Server) -> Vec<Target> {
    let client = server.client();
    let agent_id = client.create_agent(&agent()).await;
    let environment = client.create_environment(&json!({"name": "e"})).await;
    let session = client.demo_session("hello").await;
    session.ended().await.completed();
    client
        .post_empty(&format!("/agents/{}/archive", client.demo_agent().await))
        .await
        .expect(200);
    // Terminated, so that no rubbish is run.
    let target = |method: Method, path: String, good: Value| Target { method, path, good };
    vec![
        target(Method::POST, "/agents".to_owned(), agent()),
        target(
            Method::PUT,
            format!("/agents/{agent_id}"),
            json!({"version": 1}),
        ),
        target(
            Method::POST,
            format!("/agents/{agent_id}/versions"),
            json!({}),
        ),
        target(
            Method::POST,
            "/environments".to_owned(),
            json!({"name": "e"}),
        ),
        target(
            Method::PUT,
            format!("/environments/{environment}"),
            json!({"version": 1}),
        ),
        // The agent's runtime has no CLI here: sessions would be made, and fail.
        target(
            Method::POST,
            "/sessions".to_owned(),
            json!({"agent_id": uuid::Uuid::nil(), "prompt": "x"}),
        ),
        target(
            Method::POST,
            format!("/sessions/{}/prompt", session.id),
            json!({"prompt": ""}),
        ),
        target(Method::POST, "/tokens".to_owned(), json!({"name": "t"})),
    ]
}

async fn send(client: &Client, target: &Target, body: Vec<u8>) -> Result<(), TestCaseError> {
    let request = client
        .request(target.method.clone(), &target.path)
        .header("content-type", "application/json")
        .body(body);
    let reply = client
        .try_send(request)
        .await
        .map_err(|error| fail(format!("{error:#}")))?;
    if reply.status.as_u16() >= 500 {
        return Err(fail(format!(
            "{}: {} {}",
            reply.request, reply.status, reply.text
        )));
    }
    if reply.status.as_u16() >= 400 {
        reply.check_envelope();
    }
    Ok(())
}

fn fail(why: String) -> TestCaseError {
    TestCaseError::fail(why)
}

#[test]
fn no_body_gives_a_server_error() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(server());
    let targets = runtime.block_on(targets(&server));
    for target in &targets {
        let config = Config {
            cases: 150,
            failure_persistence: None,
            ..Config::default()
        };
        let bodies = prop_oneof![
            3 => spoilt(target.good.clone()).prop_map(|body| body.to_string().into_bytes()),
            1 => rubbish().prop_map(|body| body.to_string().into_bytes()),
            1 => prop::collection::vec(any::<u8>(), 0..200),
        ];
        let done = TestRunner::new(config).run(&bodies, |body| {
            runtime.block_on(send(server.client(), target, body))
        });
        if let Err(error) = done {
            panic!("{} {}: {error}", target.method, target.path);
        }
    }
    runtime.block_on(async {
        server.client().get("/health").await.expect(200);
        for list in ["/agents", "/environments", "/sessions", "/tokens"] {
            server.client().get(list).await.expect(200);
        }
    });
    assert!(!server.log().contains("a handler panicked"));
}

#[test]
fn no_query_or_path_gives_a_server_error() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(server());
    let paths = prop::sample::select(vec![
        "/agents",
        "/agents/{}",
        "/environments/{}/versions",
        "/sessions",
        "/sessions/{}/stream",
        "/sessions/{}/turns",
        "/runtimes/{}",
        "/{}",
    ]);
    let queries = prop::collection::vec(
        (
            prop::sample::select(vec![
                "limit", "after", "since", "follow", "status", "agent_id",
            ]),
            word(),
        ),
        0..3,
    );
    let config = Config {
        cases: 300,
        failure_persistence: None,
        ..Config::default()
    };
    let done = TestRunner::new(config).run(&(paths, word(), queries), |(path, part, queries)| {
        let path = path.replace("{}", &escape(&part));
        let query: Vec<_> = queries
            .iter()
            .map(|(key, value)| format!("{key}={}", escape(value)))
            .collect();
        let target = Target {
            method: Method::GET,
            path: format!("{path}?{}", query.join("&")),
            good: Value::Null,
        };
        runtime.block_on(send(server.client(), &target, Vec::new()))
    });
    if let Err(error) = done {
        panic!("{error}");
    }
}

/// Percent-encodes everything.
fn escape(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
