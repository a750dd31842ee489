//! A runtime adapter that uses all of the interface, for an agent that does not exist.
//!
//! The agent is told and tells JSON objects, one a line. What it is told has the key `do`, what it
//! tells has the key `say`.

use aod_plugin_sdk::failure::failure;
use aod_plugin_sdk::json::Text;
use aod_plugin_sdk::{
    Adapter, Answer, Block, Capability, Choice, ChoiceMeaning, Context, Conversation, Description,
    Ending, Exit, FailureKind, Fork, ForkPoint, Fragment, InjectMode, Injection, InjectionState,
    Launch, McpOwner, McpState, McpTransport, Model, NoOptions, OptionDeclaration, OptionScope,
    Origin, Out, OutputSource, Prompt, Provider, Question, QuestionKind, Refusal, ResumeStrategy,
    Stdin, StopKind, StopMethod, Task, TaskKind, TaskState, Template, ToolCall, ToolKind,
    TurnCause, TurnResult, Usage, completed, crashed, description, failed, file, known_settings,
    launch, stopped, text, tool_call, tool_result, usage,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The adapter.
#[derive(Debug)]
pub struct Conversant;

const AGENT: &str = include_str!("agent.sh");
const EFFORT: &str = "effort";
const STYLE: &str = "style";

impl Adapter for Conversant {
    type Options = NoOptions;
    type Conversation = Process;

    fn describe(_: &NoOptions) -> Result<Description, String> {
        let mut described = description("conversant", env!("CARGO_PKG_VERSION"), "sh");
        described.cli.version_args = vec!["-c".to_owned(), "echo 9.1.0".to_owned()];
        described.cli.tested = "<9".to_owned();
        Ok(Description {
            providers: vec![Provider {
                id: "test".to_owned(),
                endpoint_variable: None,
                default_endpoint: None,
                whole_catalog: false,
            }],
            models: vec![Model {
                id: "test/conversant".to_owned(),
                label: None,
            }],
            options: vec![
                option(EFFORT, r#"{"enum":["low","high"]}"#, OptionScope::Turn),
                option(STYLE, r#"{"type":"string"}"#, OptionScope::Process),
            ],
            resume: ResumeStrategy::FromStream,
            stop: StopMethod::Dialogue,
            capabilities: vec![
                Capability::Deltas,
                Capability::Usage,
                Capability::UsageByModel,
                Capability::Permissions,
                Capability::Interrupt,
                Capability::McpUrl,
                Capability::McpStates,
                Capability::Subagents,
                Capability::BackgroundWork,
                Capability::Images(vec!["image/png".to_owned()]),
                Capability::Live,
                Capability::Inject(vec![InjectMode::Steer, InjectMode::Queue]),
                Capability::StructuredOutput(OptionScope::Turn),
                Capability::Fork(ForkPoint::AnyTurn),
            ],
            ..described
        })
    }

    fn prepare(_: &NoOptions, context: &Context, prompt: &Prompt) -> Result<Launch, Refusal> {
        known_settings(prompt, &[EFFORT, STYLE])?;
        let path = format!("{}/conversant.sh", context.paths.private);
        let mut launch = launch(["sh", path.as_str()], context.continuity(prompt));
        launch.files = vec![file(path, text(AGENT))];
        let mut hello = Template::default();
        hello.text("{\"do\":\"hello\"");
        match &context.origin {
            Origin::New => {}
            Origin::Resume(token) => {
                hello.text(",\"resume\":").json_text(token);
            }
            Origin::Fork(fork) => {
                hello.text(",\"fork\":").json_text(&fork.token);
            }
        }
        if let Some(style) = prompt.setting(STYLE) {
            hello.text(",\"style\":").text(style);
        }
        let servers = context.mcp_servers.iter();
        let hosts = servers.filter(|server| server.owner == McpOwner::Host);
        for server in hosts {
            if let McpTransport::Url(remote) = &server.transport {
                hello.text(",\"tools\":").json_text(&remote.url);
            }
        }
        hello.text("}\n");
        launch.stdin = Stdin::Open(hello.finish());
        Ok(launch)
    }

    fn conversation(_: &NoOptions, context: Context, state: Option<Vec<u8>>) -> Process {
        let kept: Option<Kept> = state.and_then(|state| serde_json::from_slice(&state).ok());
        Process {
            ending: match (context.live, &kept) {
                (true, Some(_)) => Ending::resting(),
                (true, None) => Ending::live(),
                (false, _) => Ending::default(),
            },
            host_servers: context
                .mcp_servers
                .into_iter()
                .filter(|server| server.owner == McpOwner::Host)
                .map(|server| server.name)
                .collect(),
            kept: kept.unwrap_or_default(),
        }
    }
}

fn option(id: &str, schema: &str, scope: OptionScope) -> OptionDeclaration {
    OptionDeclaration {
        id: id.to_owned(),
        label: id.to_owned(),
        description: format!("The {id} of an answer."),
        schema: schema.to_owned(),
        default: "null".to_owned(),
        scope,
    }
}

/// A process of the agent.
#[derive(Debug)]
pub struct Process {
    ending: Ending,
    host_servers: Vec<String>,
    kept: Kept,
}

/// What a new instance needs to go on between turns.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    session: String,
    questions: u32,
}

/// A line of the agent.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Line<'a> {
    say: Text<'a>,
    id: Text<'a>,
    item: u32,
    text: Text<'a>,
    name: Text<'a>,
    server: Option<Text<'a>>,
    inside: Option<Text<'a>>,
    state: Text<'a>,
    model: Option<Text<'a>>,
    read: u64,
    written: u64,
    #[serde(borrow)]
    json: Option<&'a RawValue>,
    error: Option<Text<'a>>,
}

impl Conversation for Process {
    fn prompt(&mut self, prompt: Prompt, out: &mut Out) {
        self.ending.begin();
        let mut told = Template::default();
        told.text("{\"do\":\"prompt\"");
        for block in &prompt.blocks {
            if let Block::Image(image) = block {
                told.text(",\"image\":\"").attachment(&image.id).text("\"");
            }
        }
        if let Some(effort) = prompt.setting(EFFORT) {
            told.text(",\"effort\":").text(effort);
        }
        if let Some(schema) = &prompt.output_schema {
            told.text(",\"schema\":").text(schema);
        }
        // Last: the agent of tests takes what stands behind it for its end.
        told.text(",\"text\":").json_text(&words(&prompt.blocks));
        told.text("}\n");
        out.write_stdin(told.finish());
    }

    fn inject(&mut self, injection: Injection, out: &mut Out) {
        let how = match injection.mode {
            InjectMode::Steer => "steer",
            InjectMode::Queue => "queue",
            InjectMode::Now => {
                let why = "it cannot be broken off for another prompt";
                return out.injected(injection.id, InjectionState::Refused, Some(why));
            }
        };
        out.write_stdin(order(
            how,
            &[("id", &injection.id), ("text", &words(&injection.blocks))],
        ));
    }

    fn interrupt(&mut self, out: &mut Out) {
        out.write_stdin(order("interrupt", &[]));
    }

    fn answer(&mut self, answer: Answer, out: &mut Out) {
        out.write_stdin(order(
            "answer",
            &[("id", &answer.question), ("text", &answer.value)],
        ));
    }

    fn stop_task(&mut self, task_id: &str, out: &mut Out) {
        out.write_stdin(order("stop", &[("id", task_id)]));
    }

    fn fork(&mut self, fork: Fork, out: &mut Out) {
        let after = fork
            .after_turn
            .map_or_else(String::new, |turn| turn.to_string());
        out.write_stdin(order("fork", &[("id", &fork.id), ("after", &after)]));
    }

    fn line(&mut self, source: OutputSource, line: &str, out: &mut Out) {
        if source != OutputSource::Stdout {
            return out.stderr(line);
        }
        let Ok(line) = serde_json::from_str::<Line<'_>>(line) else {
            return;
        };
        out.inside(line.inside);
        let id = || line.id.to_string();
        let json = line.json.map_or("null", RawValue::get);
        match &*line.say {
            "hello" => {
                self.kept.session = id();
                out.session_started(id());
                out.remember(id());
            }
            "delta" => out.delta(line.item, line.text),
            "message" => out.message_item(line.item, line.text),
            "discarded" => out.discard(line.item, line.text),
            "tool" => {
                let server = line.server.map(String::from);
                let of_host = server
                    .as_ref()
                    .is_some_and(|it| self.host_servers.contains(it));
                out.tool_call(ToolCall {
                    kind: match (&*line.name, &server) {
                        ("agent", None) => ToolKind::Agent,
                        (_, None) => ToolKind::Execute,
                        _ => ToolKind::Mcp,
                    },
                    canonical_name: of_host.then(|| line.name.to_string()),
                    server,
                    ..tool_call(id(), &*line.name, ToolKind::Other, json)
                });
            }
            "tool-done" => out.tool_result(tool_result(id(), line.text, line.error.is_some())),
            "task" => out.task(Task {
                task_id: id(),
                state: match &*line.state {
                    "opened" => TaskState::Opened,
                    "failed" => TaskState::Failed,
                    "stopped" => TaskState::Stopped,
                    "completed" => TaskState::Completed,
                    _ => TaskState::Progressed,
                },
                kind: TaskKind::Command,
                call_id: None,
                title: Some(line.text.into()),
            }),
            "server" => {
                let state = match line.error {
                    Some(_) => McpState::Failed,
                    None => McpState::Ready,
                };
                out.mcp_server(id(), state, line.error.map(Into::into));
            }
            "usage" => out.usage(Usage {
                model: line.model.map(Into::into),
                ..usage(line.read, line.written)
            }),
            "ask" => {
                out.absorb();
                self.kept.questions += 1;
                out.ask(question(id(), line.text.into(), json));
            }
            "withdraw" => {
                out.absorb();
                out.withdraw(id());
            }
            "steered" | "queued" => {
                out.absorb();
                let state = match &*line.say {
                    "steered" => InjectionState::Delivered,
                    _ => InjectionState::Queued,
                };
                out.injected(id(), state, None);
            }
            "forked" => {
                out.absorb();
                let token = match line.error {
                    Some(error) => Err(failure(FailureKind::Resume, error)),
                    None => Ok(line.text.into()),
                };
                out.forked(id(), token);
            }
            "unasked" => {
                out.absorb();
                self.ending.begin();
                out.open_turn(TurnCause::Background);
            }
            "done" => {
                let text = Some(line.text.to_string());
                let structured = line.json.map(|json| json.get().to_owned());
                let ended = match (&*line.state, line.error) {
                    (_, Some(error)) => failed(failure(FailureKind::Provider, error)),
                    ("interrupted", None) => stopped(StopKind::Interrupted, "interrupted"),
                    ("unasked", None) => stopped(StopKind::Unasked, "unasked"),
                    _ => completed(None),
                };
                let result = TurnResult {
                    text,
                    structured,
                    ..ended
                };
                if !self.ending.tell(out, result) {
                    out.absorb();
                }
            }
            _ => {}
        }
    }

    fn state(&self) -> Option<Vec<u8>> {
        serde_json::to_vec(&self.kept).ok()
    }

    fn finish(&mut self, exit: Exit, out: &mut Out) {
        self.ending.conclude(&exit, out, crashed);
    }
}

/// What blocks say in words; images go beside them.
fn words(blocks: &[Block]) -> String {
    let each = blocks.iter().filter_map(|block| match block {
        Block::Text(text) => Some(text.clone()),
        Block::File(file) => Some(format!("[file {}]", file.path)),
        Block::Image(_) => None,
    });
    each.collect::<Vec<_>>().join("\n")
}

fn order(what: &str, fields: &[(&str, &str)]) -> Vec<Fragment> {
    let mut told = Template::default();
    told.text("{\"do\":").json_text(what);
    for (name, value) in fields {
        told.text(",").json_text(name).text(":").json_text(value);
    }
    told.text("}\n");
    told.finish()
}

fn question(id: String, title: String, detail: &str) -> Question {
    let choice = |id: &str, meaning| Choice {
        id: id.to_owned(),
        label: id.to_owned(),
        meaning: Some(meaning),
    };
    Question {
        id,
        kind: QuestionKind::Permission,
        title,
        detail: detail.to_owned(),
        call_id: None,
        choices: vec![
            choice("yes", ChoiceMeaning::AllowOnce),
            choice("no", ChoiceMeaning::RejectOnce),
        ],
        editable: false,
        default: "no".to_owned(),
        deadline_ms: 60_000,
    }
}

aod_plugin_sdk::export_adapter!(Conversant);
