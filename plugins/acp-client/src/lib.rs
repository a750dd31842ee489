//! The Agent Client Protocol over stdio, JSON-RPC 2.0 with one message a line, for runtime adapters
//! whose CLI speaks it.
//!
//! [`AcpConversation`] is a [`Conversation`](aod_plugin_sdk::Conversation): from the first request,
//! which [`initialize`] gives to the launch, to the last reply. What is known of the agent before
//! it is spoken to is its [`Profile`]; what it tells beside the protocol, its [`Dialect`].

mod call;
mod conversation;
mod dialect;
mod diff;
mod expected;
mod names;
mod open;
mod permission;
mod pieces;
mod process;
mod profile;
mod prompts;
mod request;
#[cfg(feature = "testing")]
pub mod testing;
mod texts;
mod tools;
mod turn;
mod updates;
mod usage;
mod wire;

pub use conversation::AcpConversation;
pub use dialect::{Dialect, Plain};
pub use names::Servers;
pub use open::COPY;
pub use process::{Modes, Process};
pub use profile::{Choice, ConfigOption, Method, Permissions, Profile};
pub use request::initialize;
pub use texts::Texts;
pub use tools::Tools;
pub use turn::Turn;
