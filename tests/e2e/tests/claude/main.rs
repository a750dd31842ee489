//! The real Claude Code against the stand-in for its model's API.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod crashes;
mod credentials;
mod example;
mod failures;
mod install;
mod words;

use aod_e2e::{Client, Runtimes, Server, ServerOptions, Session, extend};
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
        let server = Server::start(ServerOptions::new(Runtimes::vendor("claude"))).await;
        let model = Standin::start(Options::default()).await.unwrap();
        let key = secret();
        let client = server.client();
        let mut body = json!({"name": "hello", "runtime": "claude", "model": MODEL});
        extend(&mut body, agent);
        let agent = client.create_agent(&body).await;
        let mut body = json!({
            "name": "with-key",
            "env_vars": {"ANTHROPIC_API_KEY": key, "ANTHROPIC_BASE_URL": model.url()},
        });
        extend(&mut body, environment);
        let environment = client.create_environment(&body).await;
        Self {
            server,
            model,
            agent,
            environment,
        }
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
