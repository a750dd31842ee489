//! Repositories of sessions, from real git servers.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod attacks;
mod clones;
mod diffs;
mod failures;
mod lfs;
mod private;
mod skills;

use aod_e2e::{Client, GitServer, Runtimes, Server, ServerOptions, Session};
use serde_json::{Value, json};

/// A server that trusts a git server's authority.
async fn server(git: &GitServer) -> Server {
    Server::start(options(git)).await
}

fn options(git: &GitServer) -> ServerOptions {
    ServerOptions::new(Runtimes::demo()).set("AOD_EGRESS__CA_FILE", git.authority().display())
}

/// Starts a session with resources.
async fn start(client: &Client, resources: Value, prompt: &str) -> Session {
    let agent = client.demo_agent().await;
    let body = json!({"agent_id": agent, "prompt": prompt, "resources": resources});
    client.create_session(&body).await
}

/// A session's diffs.
async fn diffs(session: &Session) -> Vec<Value> {
    let path = format!("/sessions/{}/diff", session.id);
    let reply = session.client.get(&path).await.expect(200);
    reply["data"].as_array().unwrap().clone()
}

/// What a session's provisioning printed.
async fn printed(session: &Session) -> String {
    let path = format!("/sessions/{}/provisioning", session.id);
    session.client.get(&path).await.text
}
