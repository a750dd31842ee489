//! Guests that were built with WASI get all of it, and nothing behind it.

use std::time::{Duration, Instant};

use aod_runtime::types::OutputSource;
use aod_runtime::{Adapter, Conversation, Settings};

use crate::{context, engine};
use aod_guests::Guest;

const IMPORTS: &str = r#"
    (import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $now (result i64)))
    (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $after (param i64) (result i32)))
    (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))"#;

fn load(feed: &'static str) -> Adapter {
    let folder = tempfile::tempdir().unwrap();
    let guest = Guest {
        extra: IMPORTS,
        feed,
        ..Guest::default()
    };
    let path = guest.write(folder.path(), "guest");
    Adapter::from_file(engine(), "guest", &path, Settings::default()).unwrap()
}

fn converse(adapter: &Adapter) -> Conversation {
    adapter.converse(&context("a/b"), None).unwrap()
}

#[test]
fn clocks_stand_still() {
    let feed = "(if (i64.ne (call $now) (i64.const 0)) (then unreachable)) i32.const 2048";
    let adapter = load(feed);
    let mut conversation = converse(&adapter);
    assert!(conversation.feed(OutputSource::Stdout, "x\n").is_ok());
    assert!(conversation.feed(OutputSource::Stdout, "x\n").is_ok());
}

/// An hour's sleep.
const SLEEP: &str = "(call $block (call $after (i64.const 3600000000000))) i32.const 2048";

#[test]
fn nothing_waits() {
    let adapter = load(SLEEP);
    let begun = Instant::now();
    assert!(converse(&adapter).feed(OutputSource::Stdout, "x\n").is_ok());
    assert!(begun.elapsed() < Duration::from_secs(60));
}

#[test]
fn calls_work_on_a_blocking_thread_of_an_async_runtime() {
    let adapter = load(SLEEP);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let call = move || converse(&adapter).feed(OutputSource::Stdout, "x\n");
    assert!(
        runtime
            .block_on(async { tokio::task::spawn_blocking(call).await.unwrap() })
            .is_ok()
    );
}

#[test]
fn handles_are_limited() {
    // Pollables are never dropped: a leak ends in a trap, not in the host's memory.
    let adapter = load("(loop $l (drop (call $after (i64.const 1))) (br $l)) unreachable");
    let error = converse(&adapter)
        .feed(OutputSource::Stdout, "x\n")
        .unwrap_err();
    assert!(
        matches!(error, aod_runtime::AdapterError::Trap { .. }),
        "{error}"
    );
}

#[test]
fn adapters_and_conversations_may_move_between_threads() {
    fn shared<T: Send + Sync>() {}
    fn moved<T: Send>() {}
    shared::<Adapter>();
    shared::<aod_runtime::Registry>();
    moved::<Conversation>();
}
