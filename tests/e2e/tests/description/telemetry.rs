//! What an OpenTelemetry collector is told, decoded by OpenTelemetry's own types.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aod_e2e::{DEADLINE, Runtimes, Server, ServerOptions, eventually, repository};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::json;
use tokio::net::TcpListener;

/// A collector that keeps what it is sent.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    metrics: Arc<Mutex<Vec<String>>>,
}

impl Collector {
    /// Its address, and itself.
    async fn start() -> (String, Self) {
        let collector = Self::default();
        let router = Router::new()
            .route("/v1/traces", post(traces))
            .route("/v1/metrics", post(metrics))
            .with_state(collector.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        (format!("http://{address}"), collector)
    }

    fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }

    async fn has(&self, name: &str) -> Span {
        eventually(&format!("the span {name}"), DEADLINE, async || {
            self.spans().into_iter().find(|span| span.name == name)
        })
        .await
    }
}

async fn traces(State(collector): State<Collector>, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let scopes = request
        .resource_spans
        .into_iter()
        .flat_map(|it| it.scope_spans);
    let mut spans = collector.spans.lock().unwrap();
    spans.extend(scopes.flat_map(|scope| scope.spans));
}

async fn metrics(State(collector): State<Collector>, body: Bytes) {
    let request = ExportMetricsServiceRequest::decode(body).unwrap();
    let scopes = request
        .resource_metrics
        .into_iter()
        .flat_map(|it| it.scope_metrics);
    let mut metrics = collector.metrics.lock().unwrap();
    metrics.extend(
        scopes
            .flat_map(|scope| scope.metrics)
            .map(|metric| metric.name),
    );
}

/// A span's attributes as text.
fn attributes(span: &Span) -> HashMap<String, String> {
    let text = |value: Any| match value {
        Any::StringValue(text) => text,
        Any::IntValue(number) => number.to_string(),
        Any::DoubleValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let pairs = span.attributes.iter().cloned();
    let pairs = pairs.filter_map(|pair| Some((pair.key, text(pair.value?.value?))));
    pairs.collect()
}

/// A server that tells this collector, with an agent that says what it is told to.
fn options(endpoint: &str) -> ServerOptions {
    let component = repository().join("tests/conversant/conversant.wasm");
    let runtimes = Runtimes::default()
        .with("conversant", &component, "")
        .with_demo();
    ServerOptions::new(runtimes)
        .set("AOD_TELEMETRY__ENDPOINT", endpoint)
        .set("AOD_TELEMETRY__INTERVAL", "200ms")
}

/// Runs a turn with a call of a tool and a request to the model; gives the session's id.
async fn turn(server: &Server) -> String {
    let client = server.client();
    let agent = json!({"name": "teller", "runtime": "conversant", "model": "test/conversant"});
    let agent = client.create_agent(&agent).await;
    let prompt = [
        json!({"say": "tool", "id": "c1", "name": "ls", "json": {"path": "secret-input"}}),
        json!({"say": "tool-done", "id": "c1", "text": "secret-output"}),
        json!({"say": "message", "item": 1, "text": "secret-answer"}),
        json!({"say": "usage", "read": 11, "written": 7, "model": "m"}),
        json!({"say": "done", "text": "secret-answer"}),
    ]
    .map(|line| line.to_string())
    .join("\n");
    let body = json!({"agent_id": agent, "prompt": prompt});
    let session = client.create_session(&body).await;
    session.ended().await.completed();
    session.id.clone()
}

#[tokio::test]
async fn a_collector_is_told_of_a_turn_and_of_nothing_that_was_said() {
    let (endpoint, collector) = Collector::start().await;
    let server = Server::start(options(&endpoint)).await;
    let session = turn(&server).await;
    let turn = collector.has("invoke_agent teller").await;
    let root = collector.has("session").await;
    let tool = collector.has("execute_tool ls").await;
    let chat = collector.has("chat m").await;
    collector.has("provision").await;
    let spans = collector.spans();
    for span in &spans {
        let trace: String = span
            .trace_id
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(trace, session.replace('-', ""));
        assert_eq!(attributes(span)["gen_ai.conversation.id"], session);
        assert!(
            span.start_time_unix_nano <= span.end_time_unix_nano,
            "{span:?}"
        );
        assert!(!format!("{span:?}").contains("secret-"), "{span:?}");
    }
    assert!(root.parent_span_id.is_empty());
    assert_eq!(turn.parent_span_id, root.span_id);
    assert_eq!(tool.parent_span_id, turn.span_id);
    assert_eq!(chat.parent_span_id, turn.span_id);
    let told = attributes(&turn);
    for (name, value) in [
        ("gen_ai.operation.name", "invoke_agent"),
        ("gen_ai.provider.name", "test"),
        ("gen_ai.request.model", "conversant"),
        ("gen_ai.usage.input_tokens", "11"),
        ("gen_ai.usage.output_tokens", "7"),
        ("aod.turn.outcome", "completed"),
        ("aod.runtime", "conversant"),
    ] {
        assert_eq!(
            told.get(name).map(String::as_str),
            Some(value),
            "{name}: {told:?}"
        );
    }
    assert_eq!(attributes(&tool)["gen_ai.tool.name"], "ls");
    assert_eq!(attributes(&chat)["gen_ai.usage.output_tokens"], "7");
    for metric in [
        "gen_ai.client.token.usage",
        "gen_ai.client.operation.duration",
    ] {
        eventually(metric, DEADLINE, async || {
            let metrics = collector.metrics.lock().unwrap();
            metrics.iter().any(|name| name == metric).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn what_was_said_is_told_where_that_is_asked_for() {
    let (endpoint, collector) = Collector::start().await;
    let options = options(&endpoint).set("AOD_TELEMETRY__CONTENT", "true");
    let server = Server::start(options).await;
    turn(&server).await;
    let turn = attributes(&collector.has("invoke_agent teller").await);
    assert!(
        turn["gen_ai.input.messages"].contains("secret-input"),
        "{turn:?}"
    );
    assert!(
        turn["gen_ai.output.messages"].contains("secret-answer"),
        "{turn:?}"
    );
    let tool = attributes(&collector.has("execute_tool ls").await);
    assert!(
        tool["gen_ai.tool.call.arguments"].contains("secret-input"),
        "{tool:?}"
    );
    assert_eq!(tool["gen_ai.tool.call.result"], "secret-output");
}

#[tokio::test]
async fn a_collector_that_takes_nothing_stops_no_turn() {
    // It accepts connections, and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let options = options(&endpoint).set("AOD_TELEMETRY__TIMEOUT", "500ms");
    let mut server = Server::start(options).await;
    for _ in 0..3 {
        let session = server.client().demo_session("hello").await;
        session.ended().await.completed();
    }
    eventually("three turns that could not be told", DEADLINE, async || {
        let text = server.client().get("/metrics").await.text;
        let line = "aod_telemetry_turns_total{result=\"failed\"} 3";
        text.contains(line).then_some(())
    })
    .await;
    let log = server.log();
    let said = log
        .matches("could not be told to the telemetry collector")
        .count();
    assert_eq!(said, 1, "{log}");
    server.stop().await;
    drop(listener);
}
