//! Agents that speak the Agent Client Protocol: the real Gemini CLI and the real opencode, each a
//! row in `runtimes.toml`, against the stand-in for their models' APIs.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod claude;
mod crashes;
mod forks;
mod permissions;
mod stops;
mod told;
mod turns;

use std::time::SystemTime;

use aod_e2e::{
    AcpAgent as Agent, CLAUDE_ACP as CLAUDE, Client, DEADLINE, Ended, GEMINI_ACP as GEMINI,
    MODEL_HOST, OPENCODE_ACP as OPENCODE, Server, ServerOptions, Session, eventually, extend,
};
use aod_standin::{Options, Standin};
use serde_json::{Value, json};

/// Declares a test for each agent.
macro_rules! with_each_agent {
    ($($test:ident),* $(,)?) => {
        mod gemini {
            $(#[tokio::test] async fn $test() { super::$test(crate::GEMINI).await; })*
        }
        mod opencode {
            $(#[tokio::test] async fn $test() { super::$test(crate::OPENCODE).await; })*
        }
    };
}
use with_each_agent;

/// A server with one agent, a stand-in for its model, and the objects to start sessions with.
struct Lab {
    server: Server,
    /// Ends when it is dropped.
    _model: Standin,
    agent: String,
    environment: String,
}

impl Lab {
    /// With further options, as lines such as `permissions = "allow"`.
    async fn new(agent: Agent, options: &str) -> Self {
        Self::with(agent, options, json!({}), json!({})).await
    }

    /// With more fields of the agent and of the environment.
    async fn with(agent: Agent, options: &str, of_agent: Value, of_environment: Value) -> Self {
        Self::where_processes_stay("60s", agent, options, of_agent, of_environment).await
    }

    /// With processes that stay for so long.
    async fn where_processes_stay(
        idle: &str,
        agent: Agent,
        options: &str,
        of_agent: Value,
        of_environment: Value,
    ) -> Self {
        let options = ServerOptions::new(agent.runtimes(options))
            .set("AOD_LIVE__IDLE", idle)
            .set("AOD_WEBHOOKS__ALLOW_PRIVATE", "true");
        let server = Server::start(options).await;
        let model = Standin::start(Options::default()).await.unwrap();
        let client = server.client();
        let mut body = json!({"name": "a", "runtime": agent.runtime, "model": agent.model});
        extend(&mut body, of_agent);
        let id = client.create_agent(&body).await;
        let mut body = json!({
            "name": "with-key",
            "env_vars": {(agent.key): secret(), (agent.endpoint): model.url_at(MODEL_HOST)},
        });
        extend(&mut body, of_environment);
        let environment = client.create_environment(&body).await;
        Self {
            server,
            _model: model,
            agent: id,
            environment,
        }
    }

    fn client(&self) -> &Client {
        self.server.client()
    }

    async fn session(&self, prompt: &str) -> Session {
        let body = json!({
            "agent_id": self.agent,
            "environment_id": self.environment,
            "prompt": prompt,
        });
        self.client().create_session(&body).await
    }
}

/// Waits until a session that has just ended can be loaded. The Gemini CLI 0.61.0 names a session's
/// file by the minute, and overwrites it where it loads the session within that minute.
async fn can_be_loaded(agent: Agent) {
    if agent.runtime != GEMINI.runtime {
        return;
    }
    let minute = || SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() / 60;
    let now = minute();
    eventually("the next minute", DEADLINE * 2, async || {
        (minute() > now).then_some(())
    })
    .await;
}

/// A value that stands nowhere else.
fn secret() -> String {
    format!("AIza{}", uuid::Uuid::new_v4().simple())
}

/// The session's normalized events, up to now.
async fn events(session: &Session) -> Vec<Value> {
    let path = format!("/sessions/{}/events?limit=200", session.id);
    let mut all: Vec<Value> = Vec::new();
    let mut after = String::new();
    loop {
        let page = session
            .client
            .get(&format!("{path}{after}"))
            .await
            .expect(200);
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

/// Waits until the running turn has asked so many questions in all, and returns the last.
async fn question(session: &Session, count: usize) -> Value {
    eventually("a question is asked", DEADLINE, async || {
        let now = session.read().await["status"].clone();
        let all = events(session).await;
        assert!(now == "pending" || now == "running", "{now}: {all:#?}");
        let asked = of_type(&all, "permission.request");
        (asked.len() >= count).then(|| asked[count - 1].clone())
    })
    .await
}

/// The id of a question's choice to allow it once.
fn allow_once(question: &Value) -> &str {
    let choices = question["choices"].as_array().unwrap();
    let found = choices.iter().find(|choice| {
        let id = choice["id"].as_str().unwrap();
        id == "once" || id == "proceed_once"
    });
    found.unwrap()["id"].as_str().unwrap()
}

/// The text of the last turn's result.
async fn result(ended: &Ended, session: &Session) -> String {
    let turn = &ended.turn["turn_number"];
    let all = events(session).await;
    let mut results = of_type(&all, "turn.result");
    results.retain(|event| event["turn"] == *turn);
    assert_eq!(results.len(), 1, "{all:#?}");
    results[0]["text"].as_str().unwrap_or_default().to_owned()
}
