//! Runtime adapter for the demo agent, a shell script that the adapter brings along.
//!
//! It is also the smallest complete adapter to learn from.

use aod_plugin_sdk::failure::failure;
use aod_plugin_sdk::json::Text;
use aod_plugin_sdk::{
    Adapter, Capability, ChangeKind, Context, Continuity, Conversation, Description, Ending, Exit,
    FailureKind, Launch, Model, Out, OutputSource, Prompt, Provider, Refusal, ResumeStrategy,
    Stdin, StopKind, StopMethod, ToolKind, TurnResult, completed, crashed, description, failed,
    file, known_settings, launch, stopped, text, tool_call, tool_result, usage, variable,
};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The adapter.
#[derive(Debug)]
pub struct Demo;

/// The `options` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The pause after each piece of an answer, in milliseconds.
    pub delay_ms: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { delay_ms: 20 }
    }
}

const AGENT: &str = include_str!("agent.sh");

impl Adapter for Demo {
    type Options = Options;
    type Conversation = DemoConversation;

    fn describe(_: &Options) -> Result<Description, String> {
        let mut description = description("demo", env!("CARGO_PKG_VERSION"), "sh");
        // Not every shell has a version to tell; that it runs at all is enough.
        description.cli.version_args = vec!["-c".to_owned(), "echo 1.0.0".to_owned()];
        Ok(Description {
            providers: vec![Provider {
                id: "demo".to_owned(),
                endpoint_variable: None,
                default_endpoint: None,
                whole_catalog: false,
            }],
            models: vec![Model {
                id: "demo/echo".to_owned(),
                label: Some("Echo".to_owned()),
            }],
            resume: ResumeStrategy::Latest,
            stop: StopMethod::Sigint,
            capabilities: vec![
                Capability::Deltas,
                Capability::Reasoning,
                Capability::Usage,
                Capability::Interrupt,
            ],
            ..description
        })
    }

    fn prepare(options: &Options, context: &Context, prompt: &Prompt) -> Result<Launch, Refusal> {
        known_settings(prompt, &[])?;
        let path = format!("{}/demo-agent.sh", context.paths.private);
        // The agent keeps its memory in the home, whatever it is called by.
        let continuity = match prompt.turn {
            ..=1 => Continuity::First,
            _ => Continuity::Native,
        };
        let mut launch = launch(["sh", path.as_str()], continuity);
        let seconds = f64::from(options.delay_ms) / 1000.0;
        launch.env = vec![
            variable("DEMO_DELAY", &seconds.to_string()),
            variable("DEMO_SESSION", &context.session_id),
        ];
        launch.files = vec![file(path, text(AGENT))];
        launch.stdin = Stdin::Text(text(prompt.text()));
        Ok(launch)
    }

    fn conversation(_: &Options, _: Context, _: Option<Vec<u8>>) -> DemoConversation {
        DemoConversation::default()
    }
}

/// A process of the agent.
#[derive(Debug, Default)]
pub struct DemoConversation {
    /// The message that is being told, counted from 0.
    message: u32,
    /// Whether pieces of it were told.
    in_pieces: bool,
    ending: Ending,
}

/// A line of the agent, of whatever kind; see `README.md`.
///
/// One structure with all keys, and not an enumeration by kind: serde would copy each line to
/// find its tag first.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Line<'a> {
    demo: Text<'a>,
    session: Text<'a>,
    text: Text<'a>,
    id: Text<'a>,
    name: Text<'a>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    output: Text<'a>,
    code: i64,
    read: u64,
    written: u64,
    path: Text<'a>,
    kind: Text<'a>,
    failure: Option<FailureLine<'a>>,
    stop: Option<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct FailureLine<'a> {
    kind: Text<'a>,
    message: Text<'a>,
}

impl Conversation for DemoConversation {
    fn line(&mut self, source: OutputSource, line: &str, out: &mut Out) {
        if source != OutputSource::Stdout {
            out.stderr(line);
            return;
        }
        // Whatever is not matched becomes `unparsed`.
        let Ok(line) = serde_json::from_str::<Line<'_>>(line) else {
            return;
        };
        match &*line.demo {
            "started" => out.session_started(line.session),
            "delta" => {
                self.in_pieces = true;
                out.delta(self.message, line.text);
            }
            "message" if std::mem::take(&mut self.in_pieces) => {
                out.message_item(self.message, line.text);
                self.message += 1;
            }
            "message" => out.message(line.text),
            "thinking" => out.reasoning(line.text),
            "tool" => {
                let input = line.input.map_or("null", |input| input.get());
                out.tool_call(tool_call(line.id, line.name, ToolKind::Execute, input));
            }
            "tool-result" => out.tool_result(tool_result(line.id, line.output, line.code != 0)),
            "file" => {
                let kind = match &*line.kind {
                    "created" => ChangeKind::Created,
                    "deleted" => ChangeKind::Deleted,
                    _ => ChangeKind::Modified,
                };
                out.file_change(line.path, kind, None);
            }
            "usage" => out.usage(usage(line.read, line.written)),
            "result" => {
                let is_stopped = line.stop.as_deref() == Some("interrupted");
                let result = TurnResult {
                    text: Some(line.text.into()),
                    native_reason: line.stop.map(Into::into),
                    ..match line.failure {
                        Some(told) => failed(failure(kind(&told.kind), told.message)),
                        None if is_stopped => stopped(StopKind::Interrupted, ""),
                        None => completed(None),
                    }
                };
                if !self.ending.tell(out, result) {
                    out.absorb();
                }
            }
            _ => {}
        }
    }

    fn finish(&mut self, exit: Exit, out: &mut Out) {
        self.ending.conclude(&exit, out, crashed);
    }
}

fn kind(word: &str) -> FailureKind {
    match word {
        "auth" => FailureKind::Auth,
        "quota" => FailureKind::Quota,
        "provider" => FailureKind::Provider,
        "tool" => FailureKind::Tool,
        _ => FailureKind::Crash,
    }
}

aod_plugin_sdk::export_adapter!(Demo);
