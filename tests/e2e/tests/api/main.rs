//! The HTTP API's contract, apart from what sessions do.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod agents;
mod connections;
mod doctor;
mod environments;
mod listening;
mod logs;
mod openapi;
mod operation;
mod ownership;
mod protocol;
mod rubbish;
mod validation;

use aod_e2e::{Runtimes, Server, ServerOptions, plugin};
use serde_json::{Value, json};

/// A server with two runtimes of different providers. No session of `claude` is started, so its
/// CLI need not be there.
async fn server() -> Server {
    Server::start(ServerOptions::new(runtimes())).await
}

fn runtimes() -> Runtimes {
    Runtimes::demo().with("claude", &plugin("claude"), "")
}

fn agent() -> Value {
    json!({"name": "hello", "runtime": "claude", "model": "anthropic/claude-sonnet-4-6"})
}

/// The body with some of its fields replaced.
fn with(mut body: Value, more: Value) -> Value {
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    body
}

fn ids(listing: &Value) -> Vec<String> {
    let listed = listing["data"].as_array().expect("a list");
    listed
        .iter()
        .map(|item| item["id"].as_str().expect("an id").to_owned())
        .collect()
}
