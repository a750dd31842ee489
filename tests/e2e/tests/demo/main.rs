//! The life of sessions, with the demo runtime: quick, and without a vendor's CLI.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod admission;
mod crashes;
mod hostile;
mod limits;
mod provisioning;
mod races;
mod readers;
mod retention;
mod secrets;
mod setup;
mod silent;
mod states;
mod stops;
mod stream;
mod turns;
