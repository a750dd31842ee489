//! Streams: a session's log as its readers see it, and its normalized events.
//!
//! Turns write a log and derive events from it; this crate wakes those who follow either, encodes
//! the native stream, and stores and reads the events. It knows nothing of how a turn is run.

pub mod events;
pub mod follow;
pub mod provisioning;
mod waiters;
mod watch;

pub use waiters::Waiter;
pub use watch::{LogWatch, Subscription, WatchedFolder};
