//! What sandboxes reach, tried from inside, and what they hold of their users' credentials.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bound;
mod containers;
mod internet;
mod limited;
mod oauth;
mod raw;
mod registry;
mod table;
mod tools;
mod unused;
mod web;

use aod_e2e::{Ended, Server};

/// What was told of refused connections.
pub(crate) async fn refusals(server: &Server, ended: &Ended) -> Vec<String> {
    let id = ended.session["id"].as_str().unwrap();
    let path = format!("/sessions/{id}/events?limit=200");
    let events = server.client().get(&path).await.expect(200);
    let events = events["data"].as_array().unwrap().iter();
    events
        .filter(|event| event["code"] == "network.refused")
        .map(|event| event["text"].as_str().unwrap().to_owned())
        .collect()
}
