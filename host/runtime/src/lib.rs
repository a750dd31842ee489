//! Runtime adapters: WASM components, `runtimes.toml`, the model catalog.
//!
//! An adapter is a WASM component that knows one coding-agent CLI and can do nothing but compute.
//! [`Registry`] holds those that `runtimes.toml` declares; an [`Adapter`] says how the CLI is
//! started, and a [`Conversation`] reads what it writes. Nothing here does I/O for an adapter, and no secret's value
//! ever passes through: adapters name secrets, and the host fills them in elsewhere.
//!
//! Everything here is synchronous. Loading compiles, and calls compute up to their deadline: run
//! both off the threads that drive async tasks.

mod adapter;
mod cache;
mod catalog;
mod check;
mod compiler;
mod component;
mod conversation;
mod digest;
mod engine;
mod error;
mod installation;
mod limits;
pub mod manifest;
pub mod pack;
mod precompiled;
mod registry;
mod settings;
mod state;
mod ticker;
pub mod trial;
pub mod types;
mod v1;
mod wasi;

pub use adapter::Adapter;
pub use cache::CacheError;
pub use catalog::{Catalog, CatalogModel, ModelError};
pub use check::Invalid;
pub use compiler::{Compiler, compile_component};
pub use component::INTERFACE_VERSIONS;
pub use conversation::Conversation;
pub use digest::{Digest, DigestSyntax};
pub use engine::Engine;
pub use error::{AdapterError, ComponentError, EngineError};
pub use installation::Cli;
pub use limits::{
    Limits, MAX_CALL_DEADLINE, MAX_CODE_BYTES, MAX_COMPILE_DEADLINE, MAX_COMPILE_MEMORY,
    MAX_COMPONENT_BYTES, MAX_FEED_BYTES, MAX_JSON_DEPTH, MAX_MEMORY, MAX_REPLY_BYTES,
    MAX_REPLY_ITEMS, MAX_STATE_BYTES,
};
pub use precompiled::{PrecompileError, precompile};
pub use registry::{Change, Health, KeptError, Registry, Report, Runtime, RuntimeError, Snapshot};
pub use settings::{OauthEndpoint, Settings, UsagePaths};
