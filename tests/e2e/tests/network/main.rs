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
mod web;
