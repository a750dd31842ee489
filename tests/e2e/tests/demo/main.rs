//! The life of sessions, with the demo runtime: quick, and without a vendor's CLI.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod admission;
mod changes;
mod checkpoints;
mod crashes;
mod forks;
mod hostile;
mod labels;
mod limits;
mod pages;
mod provisioning;
mod queue;
mod races;
mod readers;
mod retention;
mod secrets;
mod setup;
mod silent;
mod states;
mod stops;
mod stream;
mod turn_changes;
mod turns;
