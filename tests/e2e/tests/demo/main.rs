//! The life of sessions, with the demo runtime: quick, and without a vendor's CLI.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod crashes;
mod limits;
mod provisioning;
mod secrets;
mod states;
mod stops;
mod stream;
mod turns;
