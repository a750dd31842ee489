//! The real Codex, as a process that stays between turns, against the stand-in for its model's API.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod failures;
mod install;
mod kept;
mod servers;
mod stops;
mod turns;

use aod_e2e::{
    Client, Ended, MODEL_HOST, Process, Runtimes, Server, ServerOptions, Session, extend, plugin,
    program, repository,
};
use aod_standin::{Options, Standin};
use serde_json::{Value, json};

const MODEL: &str = "openai/gpt-4.1";

/// A server with Codex, and a stand-in for its model.
struct Lab {
    server: Server,
    model: Standin,
}

/// How a server is started whose processes stay for so long.
fn options(idle: &str) -> ServerOptions {
    ServerOptions::new(Runtimes::vendor("codex")).set("AOD_LIVE__IDLE", idle)
}

impl Lab {
    /// With a key and the model's address registered as credentials.
    async fn new() -> Self {
        let lab = Self {
            server: Server::start(options("60s")).await,
            model: Standin::start(Options::default()).await.unwrap(),
        };
        lab.register("env:OPENAI_BASE_URL", &lab.model.url_at(MODEL_HOST))
            .await;
        lab.register("provider_key:openai", &key()).await;
        lab
    }

    fn client(&self) -> &Client {
        self.server.client()
    }

    async fn register(&self, credential: &str, value: &str) {
        let path = format!("/credentials/{credential}");
        let set = self.client().put(&path, &json!({"value": value})).await;
        set.expect(200);
    }

    async fn session(&self, prompt: &str) -> Session {
        self.session_with(json!({}), json!({"prompt": prompt}))
            .await
    }

    /// A session with more fields of its agent and of its own.
    async fn session_with(&self, of_agent: Value, more: Value) -> Session {
        let mut agent = json!({"name": "hello", "runtime": "codex", "model": MODEL});
        extend(&mut agent, of_agent);
        let mut body = json!({"agent_id": self.client().create_agent(&agent).await});
        extend(&mut body, more);
        self.client().create_session(&body).await
    }

    /// The CLI's processes: its launcher and itself.
    fn processes(&self) -> Vec<Process> {
        let all = self.server.supervisors();
        let mut found: Vec<Process> = all.into_iter().flat_map(|tree| tree.below).collect();
        found.retain(|process| process.command().contains(" app-server"));
        found.sort_by_key(|process| process.pid);
        found
    }
}

/// A key that stands nowhere else, in the form of the vendor's.
fn key() -> String {
    format!("sk-{}", uuid::Uuid::new_v4().simple())
}

/// The session's normalized events, up to now.
async fn events(session: &Session) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("/sessions/{}/events?limit=200{after}", session.id);
        let page = session.client.get(&path).await.expect(200);
        all.extend(page["data"].as_array().unwrap().iter().cloned());
        match page.get("next").and_then(Value::as_str) {
            Some(next) => after = format!("&after={next}"),
            None => return all,
        }
    }
}

fn of_type<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events
        .iter()
        .filter(|event| event["type"] == kind)
        .collect()
}

/// The last turn's result.
async fn result(session: &Session, ended: &Ended) -> Value {
    let turn = &ended.turn["turn_number"];
    let all = events(session).await;
    let mut results = of_type(&all, "turn.result");
    results.retain(|event| event["turn"] == *turn);
    assert_eq!(results.len(), 1, "{all:#?}");
    results[0].clone()
}

/// The text of the last turn's result, which is a good one.
async fn answer(session: &Session) -> String {
    let ended = session.ended().await.completed();
    let result = result(session, &ended).await;
    result["text"].as_str().unwrap_or_default().to_owned()
}

/// What is said to the app server where this host does not offer it to its users yet: played, with
/// a new instance of the adapter between the turns, too.
#[test]
fn the_adapter_plays_its_scenario() {
    let scenario = repository().join("plugins/codex/tests/scenarios/live.scenario.jsonl");
    let mut check = std::process::Command::new(program("aod"));
    check
        .args(["runtime", "check", "--call-deadline", "30s", "--scenario"])
        .arg(scenario)
        .arg(plugin("codex"));
    let checked = check.output().unwrap();
    let report = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success(), "{report}");
    assert!(report.contains("2 prompts, as expected"), "{report}");
}
