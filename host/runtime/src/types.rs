//! What an adapter and the host say to each other, in the newest form the host knows.
//!
//! These are the types of the newest version of the interface as `wit/` documents them; a version
//! that is older is translated to and from them by a module of its own. What becomes an event is
//! not among them: it is translated straight into [`aod_resources::event`].

use aod_resources::event::{EventBody, PermissionRequest, TurnCause};

use crate::v1::bindings::exports::aod::runtime as wit;

pub use wit::content::{
    Attachment, Block, Failure, FailureKind, Fragment, Limit, LimitName, SecretEncoding,
    SecretReference, Setting,
};
pub use wit::conversations::{Exit, ExitCause, InjectionOutcome, InjectionState, OutputSource};
pub use wit::description::{
    AuthHeader, AuthStyle, Capability, Cli, Credential, Description, ForkPoint, InjectMode,
    InstallStep, Model, OptionDeclaration, OptionScope, Policy, Provider, ResumeStrategy,
    StopMethod,
};
pub use wit::events::TurnReference;
pub use wit::input::{Answer, Fork, Injection, Input, Prompt};
pub use wit::launching::{
    Context, Continuity, Endpoint, EndpointSource, File, ForkOrigin, Launch, LaunchExtra, McpOwner,
    McpServer, McpStdio, McpTransport, McpUrl, McpValue, Origin, Paths, ReadBack, Refusal, Skill,
    Stdin, ToolPolicy, Variable, WorkspaceConfig,
};

/// What an adapter makes of what it was told.
#[derive(Clone, Debug)]
pub struct Reaction {
    /// In the order in which they are to happen.
    pub actions: Vec<Action>,
    /// Lines, by their index in the batch, that were understood and have no event of their own.
    pub absorbed: Vec<u32>,
}

/// Something for the host to do.
#[derive(Clone, Debug)]
pub enum Action {
    /// Tell the session's readers.
    Emit(Emitted),
    /// Keep this for the conversation's next process.
    Remember(String),
    /// Keep nothing: the next process begins afresh.
    Forget,
    /// Write to the CLI's stdin.
    WriteStdin(Vec<Fragment>),
    /// Close it.
    CloseStdin,
    /// Ask the user.
    Ask(PermissionRequest),
    /// The question of this id needs no answer any more.
    Withdraw(String),
    /// Call `tick` once, after so many milliseconds, unless output comes first.
    WakeAfter(u32),
    /// A turn begins that no prompt asked for.
    OpenTurn(TurnCause),
    /// The open turn is over; the process stays.
    EndTurn,
    /// The process is to exit.
    Close,
    /// What became of an injection.
    Injected(InjectionOutcome),
    /// What became of a wish to copy the conversation.
    Forked(ForkOutcome),
}

/// What became of a wish to copy the conversation.
#[derive(Clone, Debug)]
pub struct ForkOutcome {
    /// The wish's id.
    pub id: String,
    /// What the copy's first process is given, or why there is none.
    pub token: Result<String, aod_resources::event::Failure>,
}

/// An event and where it came from.
#[derive(Clone, Debug)]
pub struct Emitted {
    /// The line's index in the batch; 0 outside of `feed`.
    pub line: u32,
    /// The turn that it belongs to.
    pub turn: TurnReference,
    /// The call that it happened inside of.
    pub inside: Option<String>,
    /// What it counts or names: see [`Item`].
    pub item: Item,
    /// What it tells. A message that it names has no ordinal here yet.
    pub body: EventBody,
}

/// What the adapter's own numbers and figures in an event mean. The host replaces them by its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// There are none.
    None,
    /// The whole text of the item of this number: a message or a thought.
    Whole(u32),
    /// It speaks of the item of this number.
    About(u32),
    /// The figures are all that the turn used until now, instead of what it used since the last.
    TurnTotal,
}
