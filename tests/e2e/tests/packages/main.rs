//! Packages of environments: installed once, shared, seen by sessions alone.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod builds;
mod crashes;
mod install;
mod sight;

use aod_e2e::{Client, Registry, Runtimes, Server, ServerOptions, Session};
use serde_json::{Value, json};

/// A server whose packages are from this registry.
async fn server(registry: &Registry) -> Server {
    Server::start(registry.serve(ServerOptions::new(Runtimes::demo()))).await
}

/// An environment with these packages.
async fn environment(client: &Client, packages: Value) -> String {
    let body = json!({"name": "e", "packages": packages});
    client.create_environment(&body).await
}

async fn start(client: &Client, environment: &str, prompt: &str) -> Session {
    let agent = client.demo_agent().await;
    let body = json!({"agent_id": agent, "prompt": prompt, "environment_id": environment});
    client.create_session(&body).await
}

/// What the API says of an environment's packages.
async fn layer(client: &Client, environment: &str) -> Value {
    let path = format!("/environments/{environment}");
    client.get(&path).await.expect(200)["package_layer"].clone()
}

/// The names of what is in the folder of layers.
fn layers(server: &Server) -> Vec<String> {
    let entries = std::fs::read_dir(server.data().join("packages")).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// What a session's provisioning printed.
async fn printed(session: &Session) -> String {
    let path = format!("/sessions/{}/provisioning", session.id);
    session.client.get(&path).await.text
}
