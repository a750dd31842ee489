//! Runtimes as files: dropped in, changed, broken, hostile, and the commands about them.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod commands;
mod first_start;
mod hostile;
mod reload;
mod table;
mod template;
