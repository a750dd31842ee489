//! Tests of the crate as its users see it, with real components only.

#![allow(clippy::unwrap_used, reason = "what fails here is told by its panic")]

mod cache;
mod frozen;
mod hostile;
mod laws;
mod manifest;
mod plugins;
mod registry;
mod trial;
mod wasi;

use std::path::PathBuf;
use std::sync::OnceLock;

use aod_runtime::Engine;
use aod_runtime::types::{Block, Context, Input, Prompt};
use aod_runtime::{Adapter, AdapterError, Conversation};

/// One engine for all tests: each reserves a good part of the address space.
pub fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::new().unwrap())
}

/// A built adapter. `cargo xtask plugins` makes them.
pub fn plugin(name: &str) -> PathBuf {
    let folder = std::env::var_os("AOD_TEST_PLUGINS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../plugins"),
        PathBuf::from,
    );
    let path = folder.join(format!("{name}.wasm"));
    assert!(
        path.exists(),
        "{} is missing: run `cargo xtask plugins` first",
        path.display()
    );
    path
}

const SESSION: &str = "0b5f6b9e-5a55-4d1c-9a3e-9d6f0b6f3b1a";

/// The facts of a conversation's first process.
pub fn context(model: &str) -> Context {
    Context {
        session_id: SESSION.into(),
        model: model.into(),
        secrets: vec!["ANTHROPIC_API_KEY".into()],
        ..laws::context()
    }
}

/// A first prompt.
pub fn prompt() -> Prompt {
    Prompt {
        turn: 1,
        turn_id: SESSION.into(),
        blocks: vec![Block::Text("Say hello.".into())],
        settings: Vec::new(),
        limits: Vec::new(),
        output_schema: None,
    }
}

/// A conversation that has its prompt.
pub fn converse(adapter: &Adapter, model: &str) -> Result<Conversation, AdapterError> {
    let mut conversation = adapter.converse(&context(model), None)?;
    conversation.receive(&Input::Prompt(prompt()))?;
    Ok(conversation)
}
