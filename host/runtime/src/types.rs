//! What an adapter and the host say to each other, in the newest form the host knows.
//!
//! These are plain Rust types. A WIT version is translated to and from them by one module of its
//! own, so that a new version changes these types and leaves every caller with one vocabulary.
//! Their meaning is that of `wit/1.0.0/runtime.wit`, which documents each in full.

mod context;
mod description;
mod plan;
mod text;
mod turn;

pub use context::{
    Endpoint, McpServer, McpStdio, McpTransport, McpUrl, McpValue, Paths, Skill, TurnContext,
};
pub use description::{
    Capabilities, Cli, Credential, Description, InstallStep, Interrupt, Model, Provider,
    ResumeStrategy,
};
pub use plan::{Continuity, File, Plan, Stdin, Variable};
pub use text::{Encoding, Fragment, SecretRef};
pub use turn::{
    Action, Answer, ChangeKind, Choice, Conclusion, Emitted, Event, Exit, ExitCause, Failure,
    FailureKind, FileChange, Level, Message, Notice, OutputStream, Question, QuestionKind,
    Reaction, Role, SessionStarted, TodoItem, TodoStatus, ToolCall, ToolResult, TurnResult, Usage,
};
