//! For authors of runtime adapters: the `aod:runtime` interface and what every adapter needs.
//!
//! An adapter teaches the host one coding-agent CLI. It is three functions and a fold:
//! [`Adapter::describe`] says what the CLI is, [`Adapter::prepare`] says how to start it for a
//! prompt, and a [`Conversation`] makes events of the lines that it writes. None of them does any
//! I/O.
//!
//! ```
//! use aod_plugin_sdk::{Adapter, Context, Conversation, Description, Ending, Exit, Launch};
//! use aod_plugin_sdk::{Out, OutputSource, Prompt, Refusal, Stdin, completed, crashed};
//!
//! struct Parrot;
//!
//! impl Adapter for Parrot {
//!     type Options = aod_plugin_sdk::NoOptions;
//!     type Conversation = ParrotConversation;
//!
//!     fn describe(_: &Self::Options) -> Result<Description, String> {
//!         Ok(aod_plugin_sdk::description("parrot", env!("CARGO_PKG_VERSION"), "cat"))
//!     }
//!
//!     fn prepare(
//!         _: &Self::Options,
//!         context: &Context,
//!         prompt: &Prompt,
//!     ) -> Result<Launch, Refusal> {
//!         let mut launch = aod_plugin_sdk::launch(["cat"], context.continuity(prompt));
//!         launch.stdin = Stdin::Text(aod_plugin_sdk::text(prompt.text()));
//!         Ok(launch)
//!     }
//!
//!     fn conversation(
//!         _: &Self::Options,
//!         _: Context,
//!         _: Option<Vec<u8>>,
//!     ) -> ParrotConversation {
//!         ParrotConversation::default()
//!     }
//! }
//!
//! #[derive(Default)]
//! struct ParrotConversation {
//!     ending: Ending,
//! }
//!
//! impl Conversation for ParrotConversation {
//!     fn line(&mut self, source: OutputSource, line: &str, out: &mut Out) {
//!         if source == OutputSource::Stdout {
//!             out.message(line);
//!         }
//!     }
//!
//!     fn finish(&mut self, exit: Exit, out: &mut Out) {
//!         self.ending.conclude(&exit, out, |exit| match exit.code {
//!             Some(0) => completed(None),
//!             _ => crashed(exit),
//!         });
//!     }
//! }
//!
//! aod_plugin_sdk::export_adapter!(Parrot);
//! ```
//!
//! Two rules are kept for the author. Every line has an event or is said to be understood: one
//! for which [`Conversation::line`] does neither becomes `unparsed`. And what comes out does not
//! depend on how lines were batched, because a [`Conversation`] sees one line at a time.

mod adapter;
#[allow(missing_docs, clippy::all, reason = "generated from wit/")]
#[doc(hidden)]
pub mod bindings;
mod context;
mod defaults;
mod driver;
mod ending;
mod export;
pub mod failure;
mod fragments;
pub mod json;
pub mod mcp;
mod out;
mod plain;
mod policies;
#[cfg(feature = "testing")]
pub mod testing;
mod title;

pub use adapter::{Adapter, Conversation, NoOptions, known_settings};
pub use bindings::exports::aod::runtime::content::{
    Attachment, Block, Extension, Failure, FailureKind, Fragment, Limit, LimitName, SecretEncoding,
    SecretReference, Setting,
};
pub use bindings::exports::aod::runtime::conversations::{
    Action, Choice, ChoiceMeaning, Exit, ExitCause, ForkOutcome, InjectionOutcome, InjectionState,
    OutputSource, Question, QuestionKind, Reaction, TurnCause,
};
pub use bindings::exports::aod::runtime::description::{
    AuthHeader, AuthStyle, Capability, Cli, Credential, Description, ForkPoint, InjectMode,
    InstallStep, Model, OptionDeclaration, OptionScope, Policy, Provider, ResumeStrategy,
    StopMethod,
};
pub use bindings::exports::aod::runtime::events::{
    ChangeKind, Compaction, Delta, Diff, Event, EventBody, FileChange, Image, Level, Link,
    Location, McpServerState, McpState, Message, MessageDiscarded, Notice, Part, Reasoning, Role,
    SessionStarted, StopKind, Task, TaskKind, TaskState, TodoItem, TodoStatus, ToolCall, ToolKind,
    ToolResult, ToolUpdate, TurnReference, TurnResult, Usage, UsageCounts,
};
pub use bindings::exports::aod::runtime::input::{Answer, Fork, Injection, Input, Prompt};
pub use bindings::exports::aod::runtime::launching::{
    Context, Continuity, Endpoint, EndpointSource, File, ForkOrigin, Launch, LaunchExtra, McpOwner,
    McpServer, McpStdio, McpTransport, McpUrl, McpValue, Origin, Paths, ReadBack, Refusal, Skill,
    Stdin, ToolPolicy, Variable, WorkspaceConfig,
};
pub use context::text_of;
pub use defaults::{description, file, launch, variable};
pub use driver::{Driver, describe, prepare};
pub use ending::{Ending, completed, crashed, failed, stopped};
#[doc(hidden)]
pub use export::Component;
pub use fragments::{Template, attachment, secret, text};
pub use out::{Out, dollars_between, tool_call, tool_result, tool_update, usage};
pub use plain::plain;
pub use policies::OwnPolicies;
pub use title::title;
