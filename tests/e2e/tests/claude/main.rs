//! The real Claude Code against the stand-in for its model's API.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod background;
mod crashes;
mod credentials;
mod example;
mod failures;
mod install;
mod live;
mod words;

use aod_e2e::{Client, MODEL_HOST, Runtimes, Server, ServerOptions, Session, extend};
use aod_standin::{Options, Standin};
use serde_json::{Value, json};

const MODEL: &str = "anthropic/claude-sonnet-4-6";

/// A server with Claude Code, a stand-in for its model, and the objects to start sessions with.
struct Lab {
    server: Server,
    model: Standin,
    agent: String,
    environment: String,
}

impl Lab {
    async fn new() -> Self {
        Self::with(json!({}), json!({})).await
    }

    /// With more fields of the agent and of the environment.
    async fn with(agent: Value, environment: Value) -> Self {
        Self::start("60s", agent, environment).await
    }

    /// With a process for each turn.
    async fn with_a_process_a_turn() -> Self {
        Self::start("0s", json!({}), json!({})).await
    }

    /// With the key registered, and not in the environment.
    async fn registered() -> Self {
        let without = json!({"env_vars": {"OTHER": "x"}});
        let lab = Self::start("60s", json!({}), without).await;
        lab.register("provider_key:anthropic", &secret()).await;
        lab.register("env:ANTHROPIC_BASE_URL", &lab.model.url_at(MODEL_HOST))
            .await;
        lab
    }

    async fn start(idle: &str, agent: Value, environment: Value) -> Self {
        let options = ServerOptions::new(Runtimes::vendor("claude"));
        let server = Server::start(options.set("AOD_LIVE__IDLE", idle)).await;
        let model = Standin::start(Options::default()).await.unwrap();
        let mut body = json!({
            "name": "with-key",
            "env_vars": {"ANTHROPIC_API_KEY": secret(), "ANTHROPIC_BASE_URL": model.url_at(MODEL_HOST)},
        });
        extend(&mut body, environment);
        let environment = server.client().create_environment(&body).await;
        let mut lab = Self {
            server,
            model,
            agent: String::new(),
            environment,
        };
        lab.agent = lab.agent(agent).await;
        lab
    }

    /// An agent, with more fields.
    async fn agent(&self, more: Value) -> String {
        let mut body = json!({"name": "hello", "runtime": "claude", "model": MODEL});
        extend(&mut body, more);
        self.client().create_agent(&body).await
    }

    async fn register(&self, credential: &str, value: &str) {
        let path = format!("/credentials/{credential}");
        let set = self.client().put(&path, &json!({"value": value})).await;
        set.expect(200);
    }

    fn client(&self) -> &Client {
        self.server.client()
    }

    async fn session(&self, prompt: &str) -> Session {
        self.session_with(json!({"prompt": prompt})).await
    }

    /// Starts a session with more fields.
    async fn session_with(&self, more: Value) -> Session {
        let mut body = json!({"agent_id": self.agent, "environment_id": self.environment});
        extend(&mut body, more);
        self.client().create_session(&body).await
    }
}

/// A key that stands nowhere else, in the form of the vendor's.
fn secret() -> String {
    format!("sk-ant-api03-{}", uuid::Uuid::new_v4().simple())
}

/// The lines of Claude Code's own format.
fn lines(stdout: &str) -> Vec<Value> {
    stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

/// The text of the last result.
fn result(stdout: &str) -> String {
    let last = lines(stdout)
        .into_iter()
        .rfind(|line| line["type"] == "result")
        .expect("a result");
    last["result"].as_str().unwrap_or_default().to_owned()
}

/// The session's normalized events.
async fn events(session: &Session) -> Vec<Value> {
    let path = format!("/sessions/{}/events?limit=200", session.id);
    let mut all: Vec<Value> = Vec::new();
    let mut after = String::new();
    loop {
        let page = session.client.get(&format!("{path}{after}")).await;
        let page = page.expect(200);
        all.extend(page["data"].as_array().unwrap().iter().cloned());
        match page.get("next").and_then(Value::as_str) {
            Some(next) => after = format!("&after={next}"),
            None => return all,
        }
    }
}

fn of_type<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    let of_type = events.iter().filter(|event| event["type"] == kind);
    of_type.collect()
}

/// How the last turn ended.
fn last_result(events: &[Value]) -> Value {
    let results = of_type(events, "turn.result");
    let last = results.last().expect("a result");
    Value::clone(last)
}
