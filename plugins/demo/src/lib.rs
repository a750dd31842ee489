//! Runtime adapter for the demo agent, a shell script that the adapter brings along.
//!
//! It is also the smallest complete adapter to learn from.

use aod_plugin_sdk::failure::failure;
use aod_plugin_sdk::json::Text;
use aod_plugin_sdk::{
    Adapter, Capabilities, ChangeKind, Conclusion, Continuity, Description, Ending, Exit,
    FailureKind, Interrupt, Model, Out, OutputStream, Plan, Provider, ResumeStrategy, Stdin, Turn,
    TurnContext, TurnResult, Usage, crashed, description, file, text, variable,
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
    type Turn = DemoTurn;

    fn describe(_: &Options) -> Result<Description, String> {
        let mut description = description("demo", env!("CARGO_PKG_VERSION"), "sh");
        // Not every shell has a version to tell; that it runs at all is enough.
        description.cli.version_args = vec!["-c".to_owned(), "echo 1.0.0".to_owned()];
        Ok(Description {
            providers: vec![Provider {
                id: "demo".to_owned(),
                endpoint_variable: None,
                whole_catalog: false,
            }],
            models: vec![Model {
                id: "demo/echo".to_owned(),
                label: Some("Echo".to_owned()),
            }],
            resume: ResumeStrategy::Latest,
            interrupt: Interrupt::Sigint,
            capabilities: Capabilities::DELTAS | Capabilities::USAGE | Capabilities::INTERRUPT,
            ..description
        })
    }

    fn plan(options: &Options, context: &TurnContext) -> Result<Plan, String> {
        let path = format!("{}/demo-agent.sh", context.paths.private);
        let continuity = match context.turn {
            ..=1 => Continuity::First,
            _ => Continuity::Native,
        };
        let mut plan = aod_plugin_sdk::plan(["sh", path.as_str()], continuity);
        let seconds = f64::from(options.delay_ms) / 1000.0;
        plan.env = vec![
            variable("DEMO_DELAY", &seconds.to_string()),
            variable("DEMO_SESSION", &context.session_id),
        ];
        plan.files = vec![file(path, text(AGENT))];
        plan.stdin = Stdin::Text(text(&context.prompt));
        Ok(plan)
    }

    fn turn(_: &Options, _: TurnContext) -> DemoTurn {
        DemoTurn::default()
    }
}

/// A running turn.
#[derive(Debug, Default)]
pub struct DemoTurn {
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
    failure: Option<Told<'a>>,
    stop: Option<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Told<'a> {
    kind: Text<'a>,
    message: Text<'a>,
}

impl Turn for DemoTurn {
    fn line(&mut self, source: OutputStream, line: &str, out: &mut Out) {
        if source == OutputStream::Stderr {
            out.stderr(line);
            return;
        }
        // Whatever is not matched becomes `unparsed`.
        let Ok(line) = serde_json::from_str::<Line<'_>>(line) else {
            return;
        };
        match &*line.demo {
            "started" => out.session_started(line.session),
            "delta" => out.delta(line.text),
            "message" => out.message(line.text),
            "thinking" => out.reasoning(line.text),
            "tool" => out.tool_call(
                line.id,
                line.name,
                line.input.map_or("null", |input| input.get()),
            ),
            "tool-result" => out.tool_result(line.id, line.output, line.code != 0),
            "file" => {
                let kind = match &*line.kind {
                    "created" => ChangeKind::Created,
                    "deleted" => ChangeKind::Deleted,
                    _ => ChangeKind::Modified,
                };
                out.file_change(line.path, kind);
            }
            "usage" => out.usage(Usage {
                input_tokens: line.read,
                output_tokens: line.written,
                cached_tokens: 0,
                cost_usd: None,
            }),
            "result" => {
                let result = TurnResult {
                    text: Some(line.text.into()),
                    failure: line
                        .failure
                        .map(|told| failure(kind(&told.kind), told.message)),
                    stop_reason: line.stop.map(Into::into),
                    duration_ms: None,
                };
                if !self.ending.tell(out, result) {
                    out.absorb();
                }
            }
            _ => {}
        }
    }

    fn finish(&mut self, exit: Exit) -> Conclusion {
        std::mem::take(&mut self.ending).conclude(&exit, crashed)
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
