//! The store against real files.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod checkpoints;
mod concurrency;
mod crash;
mod files;
mod life;
mod records;
mod support;
mod transitions;
mod webhooks;
mod wiping;
