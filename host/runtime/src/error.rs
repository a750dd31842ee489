//! What can go wrong with an engine, a component, or a call.

use std::path::PathBuf;
use std::time::Duration;

use crate::check::Invalid;
use crate::digest::Digest;
use crate::limits::{MAX_COMPILE_MEMORY, MAX_COMPONENT_BYTES, MAX_REPLY_BYTES};
use crate::types::Refusal;

/// The engine cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The compiler does not know this machine, or refuses the configuration.
    #[error("the WASM engine cannot be configured on this machine: {0:#}")]
    Configuration(#[source] wasmtime::Error),
    /// No thread for the clock.
    #[error("the WASM engine's clock cannot be started: {0}")]
    Thread(#[source] std::io::Error),
}

/// A call of an adapter failed.
///
/// `call` is the name of the function in the interface.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AdapterError {
    /// The adapter crashed.
    #[error("the adapter crashed in {call}: {message}")]
    Trap {
        /// The function that was called.
        call: &'static str,
        /// What the engine says.
        message: String,
    },
    /// It computed for too long.
    #[error(
        "the adapter was stopped in {call} after {} ms: raise limits.call_deadline if it needs \
         longer",
        limit.as_millis()
    )]
    Deadline {
        /// The function that was called.
        call: &'static str,
        /// What it was granted.
        limit: Duration,
    },
    /// It asked for more memory than it may have, and failed.
    #[error(
        "the adapter ran out of memory in {call}: it may use {} KiB; raise limits.memory if it \
         needs more",
        limit / 1024
    )]
    Memory {
        /// The function that was called.
        call: &'static str,
        /// What it was granted, in bytes.
        limit: usize,
    },
    /// It replied more than the host takes.
    #[error("the adapter's reply to {call} is larger than {} MiB", MAX_REPLY_BYTES >> 20)]
    ReplyTooLarge {
        /// The function that was called.
        call: &'static str,
    },
    /// Its reply breaks a rule of the interface.
    #[error("the adapter's reply to {call} is not valid: {source}")]
    Invalid {
        /// The function that was called.
        call: &'static str,
        /// The rule.
        source: Invalid,
    },
    /// The adapter says what is wrong with the runtime's options, for the operator.
    #[error("{0}")]
    Options(String),
    /// The adapter says why the CLI cannot be started as asked, for the user.
    #[error("{}", refused(.0))]
    Refused(Refusal),
    /// More was to be fed at once than an adapter takes. The adapter was not called, and the
    /// conversation goes on.
    #[error("a batch of {bytes} bytes is more than an adapter is fed at once ({limit})")]
    BatchTooLarge {
        /// The batch's size.
        bytes: usize,
        /// The most that is fed.
        limit: usize,
    },
    /// An earlier call of this conversation failed; begin another.
    #[error("the adapter failed earlier in this conversation: its instance is gone")]
    Gone,
    /// As many turns run as there are instances.
    #[error("no room for another instance of the adapter: too many turns are running")]
    Exhausted,
}

/// A refusal in the user's words, with the field that is to blame.
fn refused(refusal: &Refusal) -> String {
    match &refusal.field {
        Some(field) => format!("{field}: {}", refusal.message),
        None => refusal.message.clone(),
    }
}

/// A component cannot be used as an adapter.
#[derive(Debug, thiserror::Error)]
pub enum ComponentError {
    /// It cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is larger than what is compiled.
    #[error(
        "{path}: {bytes} bytes are too many for an adapter: at most {} MiB are compiled",
        MAX_COMPONENT_BYTES >> 20,
        path = path.display()
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// Its digest is not the one it is pinned to.
    #[error("the component's SHA-256 is {actual}, but sha256 pins {pinned}")]
    Digest {
        /// What `runtimes.toml` or the caller says.
        pinned: Digest,
        /// What the file has.
        actual: Digest,
    },
    /// It is a core module.
    #[error(
        "this is a core WASM module, not a component: turn it into one with `aod runtime pack`"
    )]
    CoreModule,
    /// It is no WASM at all.
    #[error("this is not a WASM component")]
    NotWasm,
    /// The compiler refuses it.
    #[error("the component does not compile: {0}")]
    Compile(String),
    /// The compiler takes too long over it.
    #[error(
        "the component does not compile within {} s: raise limits.compile_deadline if it is \
         meant to be so large",
        limit.as_secs_f64()
    )]
    SlowCompile {
        /// What it was granted.
        limit: Duration,
    },
    /// The compiler needs more memory for it than it may have.
    #[error(
        "the component does not compile within {} MiB of memory",
        MAX_COMPILE_MEMORY >> 20
    )]
    LargeCompile,
    /// It wants something from the host that adapters do not get.
    #[error(
        "the component imports {0:?}, which no adapter gets: adapters import nothing, or WASI at \
         most"
    )]
    Import(String),
    /// It speaks a version that the host does not know.
    #[error("the component speaks aod:runtime@{found}; this host knows {known}")]
    Version {
        /// The component's version, or "none".
        found: String,
        /// The host's versions.
        known: String,
    },
    /// It exports no adapter.
    #[error(
        "the component does not export aod:runtime/conversations@{known}, so it is no runtime adapter"
    )]
    NotAnAdapter {
        /// The host's versions.
        known: String,
    },
    /// It exports something else under the adapter's name.
    #[error(
        "the component exports aod:runtime/conversations@{version} in another shape: {problem}"
    )]
    Shape {
        /// The version that it claims.
        version: String,
        /// What differs.
        problem: String,
    },
    /// It cannot say what it is.
    #[error(transparent)]
    Describe(AdapterError),
}
