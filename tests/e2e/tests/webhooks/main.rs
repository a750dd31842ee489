//! Webhooks: what is told, to whom, and for how long it is tried; verified by the published library.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod command;
mod expiry;
mod management;
mod outage;
mod targets;
mod told;

use aod_e2e::{DEADLINE, Runtimes, Server, ServerOptions, eventually};
use serde_json::{Value, json};

/// What the tests sign with where they need to know it beforehand.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A server that may tell receivers on this machine, and tries again soon.
fn options() -> ServerOptions {
    ServerOptions::new(Runtimes::demo())
        .set("AOD_WEBHOOKS__ALLOW_PRIVATE", "true")
        .set("AOD_WEBHOOKS__FIRST_RETRY", "200ms")
        .set("AOD_WEBHOOKS__LONGEST_RETRY", "1s")
}

/// Creates a webhook of the tests' secret and returns its id.
async fn webhook(server: &Server, url: &str) -> String {
    let body = json!({"url": url, "secret": SECRET});
    let made = server.client().post("/webhooks", &body).await.expect(201);
    made["id"].as_str().unwrap().to_owned()
}

/// What became of a webhook's messages, newest first.
async fn deliveries(server: &Server, hook: &str) -> Vec<Value> {
    let path = format!("/webhooks/{hook}/deliveries");
    let list = server.client().get(&path).await.expect(200);
    list["data"].as_array().unwrap().clone()
}

/// Waits until a webhook has so many deliveries that stand so, and returns them.
async fn in_state(server: &Server, hook: &str, state: &str, count: usize) -> Vec<Value> {
    eventually(
        &format!("{count} deliveries are {state}"),
        DEADLINE,
        async || {
            let all = deliveries(server, hook).await;
            let found: Vec<Value> = all
                .into_iter()
                .filter(|delivery| delivery["state"] == state)
                .collect();
            (found.len() >= count).then_some(found)
        },
    )
    .await
}
