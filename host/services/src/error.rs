//! What the services answer when they do not do what they were asked to.

use std::fmt;
use std::path::PathBuf;

use aod_resources::{IllegalTransition, Status};
use aod_runtime::ModelError;
use aod_turns::Cause;
use thiserror::Error;

/// The services' result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An agent.
    Agent,
    /// An environment.
    Environment,
    /// A session.
    Session,
    /// A registered credential.
    Credential,
    /// A prompt that waits in a session's queue.
    QueuedPrompt,
    /// A question that a turn asked.
    Question,
    /// A user.
    User,
    /// An API token.
    Token,
    /// A webhook.
    Webhook,
    /// A message to a webhook.
    Delivery,
    /// An event of a session.
    Event,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Agent => "Agent",
            Self::Environment => "Environment",
            Self::Session => "Session",
            Self::Credential => "Credential",
            Self::QueuedPrompt => "Queued prompt",
            Self::Question => "Question",
            Self::User => "User",
            Self::Token => "Token",
            Self::Webhook => "Webhook",
            Self::Delivery => "Delivery",
            Self::Event => "Event",
        })
    }
}

impl Kind {
    /// What the store calls by a table's name; none for what no user names.
    fn of_store(what: &str) -> Option<Self> {
        Some(match what {
            "agent" => Self::Agent,
            "environment" => Self::Environment,
            "session" => Self::Session,
            "credential" => Self::Credential,
            "queued prompt" => Self::QueuedPrompt,
            "user" => Self::User,
            "token" => Self::Token,
            "webhook" => Self::Webhook,
            "delivery" => Self::Delivery,
            _ => return None,
        })
    }
}

/// Why a service did not do what it was asked to. What it displays is for the user; causes that are
/// not are in its sources.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// Not there, or another user's.
    #[error("{0} not found")]
    NotFound(Kind),
    /// No such runtime is declared.
    #[error("runtime {runtime:?} is not known: there {}", match .known[..] {
        [] => "are none".to_owned(),
        _ => format!("are {}", .known.join(", ")),
    })]
    RuntimeUnknown {
        /// What was asked for.
        runtime: String,
        /// Those that can be used.
        known: Vec<String>,
    },
    /// The runtime is declared and cannot be used at the moment.
    #[error("runtime {runtime:?} cannot be used at the moment")]
    RuntimeUnusable {
        /// Its name.
        runtime: String,
    },
    /// The runtime does not take the model.
    #[error("{0}")]
    Model(ModelError),
    /// The runtime does not take the setting.
    #[error("settings.{id}: {problem}")]
    Setting {
        /// The option's id.
        id: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A block of a prompt is none.
    #[error("prompt.{index}: {problem}")]
    PromptBlock {
        /// Which block, from 0.
        index: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// A repository would be fetched without TLS.
    #[error(
        "resources.{index}.url: this server does not fetch by http: use https, or ask its operator \
         to set git.allow_http"
    )]
    PlainHttp {
        /// Which resource, from 0.
        index: usize,
    },
    /// A session has no such repository.
    #[error("the session has no repository at {path:?}: see its resources")]
    NoSuchRepository {
        /// The path that was given.
        path: String,
    },
    /// The schema of an answer cannot be used.
    #[error("output_schema: {problem}")]
    OutputSchema {
        /// What is wrong.
        problem: String,
    },
    /// More labels than a session may have.
    #[error("metadata: a session may have {most} labels, and this would be {count}")]
    TooManyLabels {
        /// How many it may have.
        most: usize,
        /// How many there would be.
        count: usize,
    },
    /// The form of an answer to nothing.
    #[error("output_schema: it is the form of the answer to a prompt, and there is no prompt")]
    SchemaWithoutPrompt,
    /// What goes to the turn that runs can have no settings of its own.
    #[error(
        "a turn runs, and what steers it is a text alone: leave out images, files, settings, \
         limits, output_schema and timeout, or wait for the turn's end"
    )]
    SteerWithMore,
    /// The turn has just ended, or its process does not take anything yet.
    #[error("no turn runs that could be steered: send the prompt without when_busy")]
    NothingToSteer,
    /// The runtime takes nothing while a turn runs.
    #[error(
        "a turn runs, and runtime {runtime:?} cannot be steered: wait for the turn's end, or \
         interrupt it"
    )]
    CannotSteer {
        /// Its name.
        runtime: String,
    },
    /// What runs the turn does not answer.
    #[error("the turn does not answer now: try again")]
    SteerSilent,
    /// `runtimes.toml` as a whole cannot be read.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Manifest(Vec<aod_runtime::manifest::ManifestError>),
    /// A mask stands for no value.
    #[error(
        "mcp_servers: {name:?} of {server:?} is \"***\", which keeps an earlier value, and there \
         is none: send the value"
    )]
    MaskWithoutValue {
        /// The server.
        server: String,
        /// The header or variable.
        name: String,
    },
    /// A tool cannot be offered, or not be guarded.
    #[error("{field}: {problem}")]
    Tool {
        /// The field that is wrong.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No loaded runtime declares such a credential.
    #[error("there is no credential {}: there are {}", match .name {
        Some(name) => format!("{name:?}"),
        None => "of this name".to_owned(),
    }, .valid.join(", "))]
    CredentialUnknown {
        /// What was given, where that cannot be a value by mistake.
        name: Option<String>,
        /// What is valid.
        valid: Vec<String>,
    },
    /// The credential would be a variable that the sandbox sets.
    #[error("{name:?} cannot be a credential: the sandbox sets this variable itself")]
    CredentialReserved {
        /// Its name.
        name: String,
    },
    /// A credential's host is none.
    #[error("hosts: {host:?} {problem}")]
    CredentialHost {
        /// What was given.
        host: String,
        /// What is wrong with it.
        problem: aod_turns::HostError,
    },
    /// The credential is one whose hosts are not for its user to name.
    #[error(
        "hosts: only credentials named env:<NAME> have hosts; where {name} is sent is for its \
         runtime to say"
    )]
    CredentialWithoutHosts {
        /// Its name.
        name: String,
    },
    /// The credential could not be put into a request.
    #[error(
        "value: a credential with hosts is sent in headers of requests, which hold neither ends of \
         lines nor other control characters"
    )]
    CredentialNoHeader,
    /// A user's name is none.
    #[error("a user's name should have 1 to 200 characters")]
    UserName,
    /// The idempotency key came with another request.
    #[error("this Idempotency-Key was used with another request: use a new key")]
    IdempotencyMismatch,
    /// It is archived and takes no change.
    #[error("{0} is archived")]
    Archived(Kind),
    /// It is archived and takes no new session.
    #[error("{0} is archived and starts no new session")]
    ArchivedForSessions(Kind),
    /// A session was made with it.
    #[error("{0} is referenced by a session and cannot be deleted: archive it instead")]
    InUse(Kind),
    /// One of that name is there already.
    #[error("{kind} {name} exists already")]
    AlreadyExists {
        /// What kind of thing.
        kind: Kind,
        /// Its name or id.
        name: String,
    },
    /// The change was meant for another version.
    #[error("Version mismatch: expected {expected}, got {got}")]
    VersionMismatch {
        /// The present version.
        expected: i64,
        /// The version that was named.
        got: i64,
    },
    /// The session does not take that in its present state.
    #[error("{}", refusal(.0))]
    NotInThisState(IllegalTransition),
    /// The session cannot be deleted while a turn waits or runs.
    #[error("Session is {}: terminate it or wait for its end before deleting it", .0.as_str())]
    SessionActive(Status),
    /// The user has as many active sessions as they may have.
    #[error("{active} of {limit} sessions are active")]
    ActiveLimit {
        /// How many are allowed.
        limit: u32,
        /// How many there are.
        active: u32,
    },
    /// The user's turns have used on this day what they may.
    #[error("the limit of this day is reached: {0}; it begins anew at midnight UTC")]
    DayLimit(aod_resources::ReachedLimit),
    /// Prompts wait for the session's turn to end, and come first.
    #[error(
        "prompts wait in the session's queue, and come first: send this one with when_busy \"queue\", \
         or take those out"
    )]
    PromptsQueued,
    /// As many prompts wait as may.
    #[error("{limit} prompts wait in the session's queue already: wait for one to be begun")]
    QueueFull {
        /// How many may wait.
        limit: u32,
    },
    /// The runtime is being compiled, and that takes longer than a request waits.
    #[error("runtime {runtime:?} is still being compiled: try again later")]
    StillCompiling {
        /// Its name.
        runtime: String,
    },
    /// Runtimes are being read, and that takes longer than a request waits.
    #[error(
        "the runtimes could not be read within {seconds} s; those that were loaded stay: see \
         whether the files that runtimes.toml names can be read, and try again"
    )]
    StillReloading {
        /// How long was waited.
        seconds: u64,
    },
    /// The session is being terminated, and that takes longer than it should.
    #[error(
        "the session is being terminated, and that takes longer than it should: look again later"
    )]
    StillTerminating,
    /// The session has no turn of that number.
    #[error("turn: there is no turn {turn}, the session has {count}")]
    NoSuchTurn {
        /// The number.
        turn: u32,
        /// How many there are.
        count: u32,
    },
    /// A turn has no checkpoint.
    #[error("turn: {}", no_checkpoint(*.turn, .reason.as_deref(), .there))]
    NoCheckpoint {
        /// The turn.
        turn: u32,
        /// Why it was not made, where it was to be.
        reason: Option<String>,
        /// The turns that have one.
        there: Vec<u32>,
    },
    /// The turn that is to be copied has not ended.
    #[error("turn {0} has not ended: wait for its end, or name an earlier turn")]
    TurnNotEnded(u32),
    /// The session cannot be taken back while a turn waits or runs.
    #[error(
        "Session is {}: wait for the turn's end, or interrupt it, before you take the session back",
        .0.as_str()
    )]
    RestoreWhileActive(Status),
    /// The session cannot be copied or taken back.
    #[error("the session {0}: create another")]
    NothingToCopy(&'static str),
    /// The session's files were removed.
    #[error(
        "the session's files were removed on {at}, since it had not been used for long, and it \
         takes no more prompts: create another"
    )]
    FilesRemoved {
        /// When.
        at: aod_resources::Timestamp,
    },
    /// A webhook's URL cannot be used.
    #[error("{field}: {problem}")]
    WebhookUrl {
        /// The field that has it.
        field: &'static str,
        /// What is wrong with it.
        problem: aod_webhooks::UrlError,
    },
    /// The webhook is disabled, and is sent nothing.
    #[error("the webhook is disabled: enable it first")]
    WebhookDisabled,
    /// The user has as many webhooks as they may have.
    #[error("there are {limit} webhooks already, which is the most: delete one")]
    TooManyWebhooks {
        /// How many are allowed.
        limit: u32,
    },
    /// A sealed value does not open.
    #[error("the sealed value {name:?} cannot be opened: {source}; set it again")]
    Sealed {
        /// Its name.
        name: String,
        /// Why.
        source: aod_vault::OpenError,
    },
    /// Something cannot be done with files of a workspace.
    #[error(transparent)]
    Files(#[from] crate::files::FilesError),
    /// The server's disk, or its quota, has no room left.
    #[error("the server's disk is full: make room, or ask its operator to, and try again")]
    FullDisk(#[source] Cause),
    /// Anything that is not the user's to mend.
    #[error("the server failed to do this; its log has the cause")]
    Internal(#[source] Cause),
}

impl Error {
    pub(crate) fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        aod_turns::Error::internal(error).into()
    }
}

impl From<aod_turns::Error> for Error {
    fn from(error: aod_turns::Error) -> Self {
        use aod_turns::Error as Turns;
        match error {
            Turns::RuntimeUnusable { runtime }
            | Turns::RuntimeUndeclared { runtime }
            | Turns::RuntimeUnreadable { runtime, .. } => Self::RuntimeUnusable { runtime },
            Turns::Model(error) => Self::Model(error),
            Turns::Sealed { name, source } => Self::Sealed { name, source },
            Turns::FullDisk(cause) => Self::FullDisk(cause),
            Turns::Internal(cause) => Self::Internal(cause),
            // What only a turn's own task meets.
            other => Self::internal(other),
        }
    }
}

impl From<aod_store::Error> for Error {
    fn from(error: aod_store::Error) -> Self {
        use aod_store::Error as Store;
        let kind = match &error {
            Store::NotFound { what, .. }
            | Store::Archived { what, .. }
            | Store::InUse { what, .. }
            | Store::AlreadyExists { what, .. } => Kind::of_store(what),
            _ => None,
        };
        match (error, kind) {
            (Store::NotFound { .. }, Some(kind)) => Self::NotFound(kind),
            (Store::Archived { .. }, Some(kind)) => Self::Archived(kind),
            (Store::InUse { .. }, Some(kind)) => Self::InUse(kind),
            (Store::AlreadyExists { name, .. }, Some(kind)) => Self::AlreadyExists { kind, name },
            (Store::VersionMismatch { expected, got }, _) => {
                Self::VersionMismatch { expected, got }
            }
            (Store::ActiveLimit { limit, active }, _) => Self::ActiveLimit { limit, active },
            (Store::TooMany { limit, .. }, _) => Self::TooManyWebhooks { limit },
            (Store::Disabled { .. }, _) => Self::WebhookDisabled,
            (Store::PromptsQueued, _) => Self::PromptsQueued,
            (
                Store::NoCheckpoint {
                    turn,
                    reason,
                    there,
                },
                _,
            ) => Self::NoCheckpoint {
                turn,
                reason,
                there,
            },
            (Store::FilesRemoved { at }, _) => Self::FilesRemoved { at },
            (Store::QueueFull { limit }, _) => Self::QueueFull { limit },
            (Store::IdempotencyMismatch, _) => Self::IdempotencyMismatch,
            (Store::IllegalTransition(illegal), _) => Self::NotInThisState(illegal),
            (Store::SessionActive { status, .. }, _) => Self::SessionActive(status),
            (other, _) => Self::internal(other),
        }
    }
}

fn no_checkpoint(turn: u32, reason: Option<&str>, there: &[u32]) -> String {
    let why = match reason {
        Some(reason) => format!(", since {reason}"),
        None => String::new(),
    };
    let numbers: Vec<String> = there.iter().map(ToString::to_string).collect();
    let there = match numbers.len() {
        0 => "there are none of this session".to_owned(),
        1 => format!("there is one of turn {}", numbers.join(", ")),
        _ => format!("there are those of turns {}", numbers.join(", ")),
    };
    format!("turn {turn} has no checkpoint{why}; {there}")
}

impl From<aod_turns::RestoreError> for Error {
    fn from(error: aod_turns::RestoreError) -> Self {
        match error {
            aod_turns::RestoreError::Store(error) => error.into(),
            aod_turns::RestoreError::Turns(error) => error.into(),
            other => Self::internal(other),
        }
    }
}

/// Each state refuses with a message of its own.
fn refusal(illegal: &IllegalTransition) -> String {
    use aod_resources::SessionEvent::{Break, End, Prompt, Provisioned, Start};
    match (illegal.state.status, illegal.event) {
        (Status::Pending, Prompt) => {
            "Session is pending: its turn has not started yet; wait for its end, or send the prompt \
             with when_busy \"queue\""
                .to_owned()
        }
        (Status::Running, Prompt) => {
            "Session is running: wait for the turn's end, interrupt it, or send the prompt with \
             when_busy \"queue\""
                .to_owned()
        }
        (Status::Terminated, Prompt) => {
            "Session is terminated and takes no more prompts: create another".to_owned()
        }
        (Status::Failed, Prompt) => {
            "Session failed before its sandbox was provisioned, or for good, as its error says: \
             create another"
                .to_owned()
        }
        (Status::Pending, End(_)) => {
            "Session is still being provisioned: wait for its turn to start, or terminate it"
                .to_owned()
        }
        (status, End(_)) => format!("Session is {}: no turn waits or runs", status.as_str()),
        (status, Start | Prompt | Provisioned | Break) => format!("Session is {}", status.as_str()),
    }
}

/// Why a data folder, or what a server needs besides, cannot be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no such folder.
    #[error("there is no data folder {}: name it with --data", .0.display())]
    NoDataFolder(PathBuf),
    /// The data folder cannot be made or used.
    #[error("cannot use the data folder {}: {source}", .path.display())]
    DataFolder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another server has it, or it cannot be locked.
    #[error(transparent)]
    Owner(#[from] crate::owner::OwnerError),
    /// What is on disk contradicts itself, and going on would lose what is missing for good.
    #[error(transparent)]
    Contradiction(#[from] crate::contradiction::Contradiction),
    /// The database.
    #[error(transparent)]
    Store(#[from] aod_store::Error),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] aod_vault::Error),
    /// The certificate authorities that webhooks are told with.
    #[error(transparent)]
    CertificateAuthorities(#[from] aod_webhooks::CaError),
    /// The telemetry collector.
    #[error(transparent)]
    Telemetry(#[from] aod_telemetry::StartError),
    /// The sandbox driver.
    #[error(transparent)]
    Sandbox(#[from] aod_sandbox::SandboxError),
    /// The engine that runs adapters.
    #[error(transparent)]
    Engine(#[from] aod_runtime::EngineError),
    /// The kernel gives no more inotify instances.
    #[error("cannot use inotify: raise fs.inotify.max_user_instances: {0}")]
    Inotify(#[source] std::io::Error),
    /// The folder of what is to be removed.
    #[error(transparent)]
    Trash(#[from] aod_trees::Error),
    /// A thread of the server's own cannot be started.
    #[error("cannot start a thread: raise the number of processes: {0}")]
    Thread(#[source] std::io::Error),
    /// What an earlier server left cannot be gone on with.
    #[error("cannot go on with the turns that were left: {}", .0.details())]
    Recovery(aod_turns::Error),
    /// A part of this program has panicked, which is a defect.
    #[error("a part of the server ended unexpectedly: {0}")]
    Panicked(#[from] tokio::task::JoinError),
}

impl OpenError {
    /// Whether only the vault's passphrase is missing.
    pub const fn wants_passphrase(&self) -> bool {
        matches!(self, Self::Vault(aod_vault::Error::PassphraseNeeded { .. }))
    }
}
