//! What sandboxes reach, tried from inside, and what they hold of their users' credentials.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bound;
mod limited;
mod oauth;
mod registry;
mod tools;
mod web;
