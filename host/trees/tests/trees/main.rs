//! Trees as hostile agents make them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod adversary;
mod copies;
mod deep;
mod differences;
mod files;
mod generated;
mod support;
