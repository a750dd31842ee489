//! The program with its sockets, as a sandbox's starter runs it, between real clients and servers.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod conformance;
mod doors;
mod gateway;
mod guarded;
mod hostile;
mod intercept;
mod proxy;
mod renewal;
mod rounds;
mod support;
mod tools;
mod usage;
