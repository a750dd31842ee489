//! For authors of runtime adapters: the `aod:runtime` interface and what every adapter needs.
//!
//! An adapter teaches the host one coding-agent CLI. It is three functions and a fold:
//! [`Adapter::describe`] says what the CLI is, [`Adapter::plan`] says how to run one turn of it,
//! and a [`Turn`] makes events of the lines that it writes. None of them does any I/O.
//!
//! ```
//! use aod_plugin_sdk::{Adapter, Conclusion, Description, Exit, Out, OutputStream, Plan, Turn};
//! use aod_plugin_sdk::{Continuity, Interrupt, ResumeStrategy, Stdin, TurnContext};
//!
//! struct Parrot;
//!
//! impl Adapter for Parrot {
//!     type Options = aod_plugin_sdk::NoOptions;
//!     type Turn = ParrotTurn;
//!
//!     fn describe(_: &Self::Options) -> Result<Description, String> {
//!         Ok(aod_plugin_sdk::description("parrot", env!("CARGO_PKG_VERSION"), "cat"))
//!     }
//!
//!     fn plan(_: &Self::Options, turn: &TurnContext) -> Result<Plan, String> {
//!         let mut plan = aod_plugin_sdk::plan(["cat"], Continuity::First);
//!         plan.stdin = Stdin::Text(aod_plugin_sdk::text(&turn.prompt));
//!         Ok(plan)
//!     }
//!
//!     fn turn(_: &Self::Options, _: TurnContext) -> ParrotTurn {
//!         ParrotTurn
//!     }
//! }
//!
//! struct ParrotTurn;
//!
//! impl Turn for ParrotTurn {
//!     fn line(&mut self, source: OutputStream, line: &str, out: &mut Out) {
//!         if source == OutputStream::Stdout {
//!             out.message(line);
//!         }
//!     }
//!
//!     fn finish(&mut self, _: Exit) -> Conclusion {
//!         Conclusion { events: Vec::new(), failure: None, remember: None }
//!     }
//! }
//!
//! aod_plugin_sdk::export_adapter!(Parrot);
//! ```
//!
//! Two rules are kept for the author. Every line has an event or is said to be understood: one
//! for which [`Turn::line`] does neither becomes `unparsed`. And what comes out does not depend
//! on how lines were batched, because a [`Turn`] sees one line at a time.

mod adapter;
#[allow(missing_docs, clippy::all, reason = "generated from wit/")]
#[doc(hidden)]
pub mod bindings;
mod defaults;
mod driver;
mod ending;
mod export;
mod facts;
pub mod failure;
mod fragments;
pub mod json;
pub mod mcp;
mod out;
mod plain;
#[cfg(feature = "testing")]
pub mod testing;

pub use adapter::{Adapter, NoOptions, Turn};
pub use bindings::exports::aod::runtime::types::*;
pub use defaults::{description, file, plan, variable};
pub use driver::{Driver, describe, plan_turn};
pub use ending::{Ending, crashed};
#[doc(hidden)]
pub use export::Component;
pub use fragments::{Template, secret, text};
pub use out::Out;
pub use plain::plain;
