//! The steps of a scenario, as they stand in its file.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::trial::transcript::Cause;
use crate::types::{
    Answer, Attachment, Block, Context, Exit, Fork, ForkOrigin, InjectMode, Injection, Input,
    Limit, McpOwner, McpServer, McpStdio, McpTransport, McpUrl, Origin, Prompt, Setting,
};

/// A step: what is told, or what is expected.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Step {
    /// How the process is started; only as the first step.
    Start(Start),
    /// A prompt; the first one is given to `prepare`, too.
    Prompt(GivenPrompt),
    Inject(GivenInjection),
    Cancel(String),
    Interrupt {},
    Answer(GivenAnswer),
    StopTask(String),
    CleanUp {},
    Configure(Map<String, Value>),
    Fork(GivenFork),
    Close {},
    /// A line of the CLI: text, or a JSON value.
    Stdout(Value),
    Stderr(Value),
    /// So many milliseconds have passed since the start.
    Tick(u64),
    Exit(GivenExit),
    /// An event that has these fields, at least, has come since the last expected one.
    Event(Map<String, Value>),
    /// This line was written to stdin: text, or a JSON object that has these fields, at least.
    Stdin(Value),
    /// An action of this name and with these fields was asked for.
    Action(Map<String, Value>),
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Start {
    live: bool,
    model: Option<String>,
    system: Option<String>,
    resume: Option<String>,
    fork: Option<String>,
    fork_after_turn: Option<u32>,
    /// Names and URLs or command lines of MCP servers.
    mcp_servers: Vec<GivenServer>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenServer {
    name: String,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    command: Vec<String>,
    /// Whether it is one that the host runs.
    #[serde(default)]
    of_host: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GivenPrompt {
    #[serde(default)]
    turn: Option<u32>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    images: Vec<GivenFile>,
    #[serde(default)]
    files: Vec<GivenFile>,
    #[serde(default)]
    settings: Map<String, Value>,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    output_schema: Option<Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenFile {
    id: String,
    path: String,
    media_type: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Limits {
    max_rounds: Option<u32>,
    max_output_tokens: Option<u64>,
    max_cost_usd: Option<f64>,
    background_wait_ms: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GivenInjection {
    id: String,
    text: String,
    mode: Mode,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Steer,
    Queue,
    Now,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GivenAnswer {
    question: String,
    value: String,
    #[serde(default)]
    edited_input: Option<Value>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    by_default: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GivenFork {
    id: String,
    #[serde(default)]
    after_turn: Option<u32>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GivenExit {
    #[serde(default)]
    code: Option<i32>,
    #[serde(default)]
    signal: Option<i32>,
    #[serde(default)]
    cause: Option<Cause>,
    #[serde(default)]
    stderr_tail: String,
}

impl Step {
    pub(super) fn is_prompt(&self) -> bool {
        matches!(self, Self::Prompt(_))
    }

    /// The input that the step is, if it is one. Prompts are counted from `turn`.
    pub(super) fn input(&self, turn: u32) -> Option<Input> {
        Some(match self {
            Self::Prompt(given) => Input::Prompt(given.prompt(turn)),
            Self::Inject(given) => Input::Inject(Injection {
                id: given.id.clone(),
                blocks: vec![Block::Text(given.text.clone())],
                mode: match given.mode {
                    Mode::Steer => InjectMode::Steer,
                    Mode::Queue => InjectMode::Queue,
                    Mode::Now => InjectMode::Now,
                },
            }),
            Self::Cancel(id) => Input::Cancel(id.clone()),
            Self::Interrupt {} => Input::Interrupt,
            Self::Answer(given) => Input::Answer(Answer {
                question: given.question.clone(),
                value: given.value.clone(),
                edited_input: given.edited_input.as_ref().map(Value::to_string),
                message: given.message.clone(),
                by_default: given.by_default,
            }),
            Self::StopTask(id) => Input::StopTask(id.clone()),
            Self::CleanUp {} => Input::CleanUp,
            Self::Configure(given) => Input::Configure(settings(given)),
            Self::Fork(given) => Input::Fork(Fork {
                id: given.id.clone(),
                after_turn: given.after_turn,
            }),
            Self::Close {} => Input::Close,
            _ => return None,
        })
    }
}

impl GivenPrompt {
    fn prompt(&self, turn: u32) -> Prompt {
        let turn = self.turn.unwrap_or(turn);
        let mut blocks: Vec<Block> = self.text.iter().cloned().map(Block::Text).collect();
        blocks.extend(self.images.iter().map(|it| Block::Image(it.attachment())));
        blocks.extend(self.files.iter().map(|it| Block::File(it.attachment())));
        let limits = &self.limits;
        let limits = [
            limits.max_rounds.map(Limit::MaxRounds),
            limits.max_output_tokens.map(Limit::MaxOutputTokens),
            limits.max_cost_usd.map(Limit::MaxCostUsd),
            limits.background_wait_ms.map(Limit::BackgroundWaitMs),
        ];
        Prompt {
            turn,
            turn_id: format!("5e551011-0000-4000-8000-{:012}", turn - turn.min(1)),
            blocks,
            settings: settings(&self.settings),
            limits: limits.into_iter().flatten().collect(),
            output_schema: self.output_schema.as_ref().map(Value::to_string),
        }
    }
}

impl GivenFile {
    fn attachment(&self) -> Attachment {
        Attachment {
            id: self.id.clone(),
            name: self.path.rsplit('/').next().unwrap_or_default().to_owned(),
            media_type: self.media_type.clone(),
            path: self.path.clone(),
            size: 1,
        }
    }
}

fn settings(given: &Map<String, Value>) -> Vec<Setting> {
    let each = given.iter().map(|(id, value)| Setting {
        id: id.clone(),
        value: value.to_string(),
    });
    each.collect()
}

impl Start {
    /// Changes the facts that every process has.
    pub(super) fn apply(&self, context: &mut Context) {
        context.live = self.live;
        context.system.clone_from(&self.system);
        if let Some(model) = &self.model {
            context.model.clone_from(model);
        }
        context.origin = match (&self.resume, &self.fork) {
            (_, Some(token)) => Origin::Fork(ForkOrigin {
                token: token.clone(),
                after_turn: self.fork_after_turn,
            }),
            (Some(token), None) => Origin::Resume(token.clone()),
            (None, None) => Origin::New,
        };
        context.mcp_servers = self.mcp_servers.iter().map(GivenServer::server).collect();
    }
}

impl GivenServer {
    fn server(&self) -> McpServer {
        McpServer {
            name: self.name.clone(),
            transport: match (&self.url, self.command.split_first()) {
                (None, Some((command, args))) => McpTransport::Stdio(McpStdio {
                    command: command.clone(),
                    args: args.to_vec(),
                    env: Vec::new(),
                }),
                (url, _) => McpTransport::Url(McpUrl {
                    url: url.clone().unwrap_or_default(),
                    headers: Vec::new(),
                }),
            },
            owner: match self.of_host {
                true => McpOwner::Host,
                false => McpOwner::Agent,
            },
            call_timeout_ms: None,
        }
    }
}

impl GivenExit {
    pub(super) fn exit(&self) -> Exit {
        Exit {
            code: self.code,
            signal: self.signal,
            cause: self.cause.unwrap_or(Cause::Own).into(),
            stderr_tail: self.stderr_tail.clone(),
        }
    }
}
