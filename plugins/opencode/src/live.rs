//! What a CLI tells that is spoken to: by the plugin, which says more than the Agent Client
//! Protocol does, and sooner.

use std::collections::HashMap;

use aod_acp::{Dialect, Turn};
use aod_plugin_sdk::failure::failure;
use aod_plugin_sdk::mcp::ToolPrefixes;
use aod_plugin_sdk::{
    Block, Context, Failure, FailureKind, Level, Out, Prompt, StopKind, TurnResult, failed,
    text_of, tool_update,
};
use serde_json::value::RawValue;

use crate::steps::{Finished, Steps, used};
use crate::wire::{Part, PluginEvent, State};
use crate::{logs, tools};

/// What a CLI tells that is spoken to.
#[derive(Debug)]
pub struct Live {
    servers: ToolPrefixes,
    /// Whether the plugin is there.
    is_ready: bool,
    steps: Steps,
    calls: HashMap<String, Call>,
    /// The calls that subagents work for, by their sessions.
    subagents: HashMap<String, String>,
    /// Why the prompt fails, as an event told.
    failure: Option<Failure>,
    /// Why the last step ended.
    reason: Option<String>,
    /// Whether stderr tells an error of the protocol's, which the reply tells, too.
    in_report: bool,
}

/// A call that was told.
#[derive(Debug, Default)]
struct Call {
    title: Option<String>,
    /// How much of its output was told.
    output: usize,
}

impl Live {
    pub(crate) fn new(context: &Context) -> Self {
        Self {
            servers: ToolPrefixes::new(&context.mcp_servers, tools::prefix),
            is_ready: false,
            steps: Steps::default(),
            calls: HashMap::new(),
            subagents: HashMap::new(),
            failure: None,
            reason: None,
            in_report: false,
        }
    }

    fn told(&mut self, told: &PluginEvent<'_>, turn: &mut Turn, out: &mut Out) {
        if &*told.kind == "ready" {
            self.is_ready = true;
        }
        let session = told.session.as_deref().unwrap_or_default();
        let is_main = turn.session() == Some(session);
        let inside = self.subagents.get(session).cloned();
        // Of other sessions, such as a copy, only those of subagents are told.
        if !turn.is_asked() || (!is_main && inside.is_none()) {
            return;
        }
        turn.works();
        let inside = inside.as_deref();
        match &*told.kind {
            "step_start" if is_main => {
                turn.texts.end(out);
                if let Some(failure) = self.steps.start() {
                    turn.fail(failure, out);
                }
            }
            "delta" => match &*told.of {
                "reasoning" => turn.texts.thought(&told.text, inside, out),
                _ => turn.texts.message(&told.text, inside, out),
            },
            // Whether a text has come to its end, the step says.
            "text" | "reasoning" => {}
            "tool_use" => {
                turn.texts.end(out);
                if let Some(state) = &told.part.state {
                    self.tool(&told.part, state, is_main, inside, out);
                }
            }
            "step_finish" => self.step_finish(&told.part, is_main, turn, out),
            "error" => {
                self.failure = told.error.as_ref().and_then(crate::outcome::told);
            }
            "retry" => {
                let retry = told.retry.as_ref();
                let failure = retry.and_then(|it| self.steps.retried(it, &mut turn.ending, out));
                if let Some(failure) = failure {
                    turn.fail(failure, out);
                }
                return;
            }
            _ => return,
        }
        self.steps.well();
        turn.ending.well();
    }

    fn tool(
        &mut self,
        part: &Part<'_>,
        state: &State<'_>,
        is_main: bool,
        inside: Option<&str>,
        out: &mut Out,
    ) {
        if is_main {
            self.steps.called();
        }
        let metadata = state.metadata.as_ref();
        if let Some(session) = metadata.and_then(|it| it.session.0.as_deref()) {
            let call = part.call.to_string();
            self.subagents.insert(session.to_owned(), call);
        }
        out.inside(inside);
        let id = &*part.call;
        let call = self.calls.entry(id.to_owned()).or_insert_with(|| {
            tools::call(&self.servers, id, &part.tool, state, out);
            Call {
                title: tools::title(state).map(str::to_owned),
                output: 0,
            }
        });
        let ends = &*state.status != "running";
        let mut update = tool_update(id);
        if let Some(title) = tools::title(state)
            && call.title.as_deref() != Some(title)
        {
            call.title = Some(title.to_owned());
            update.title = Some(title.to_owned());
        }
        // Each event has all of it; a long one is cut at its beginning, and is told at the end.
        let output = metadata.and_then(|it| it.output.0.as_deref());
        if let (Some(new), false) = (output.and_then(|all| all.get(call.output..)), ends)
            && !new.is_empty()
        {
            call.output += new.len();
            update.output = Some(new.to_owned());
        }
        if update.title.is_some() || update.output.is_some() {
            out.tool_update(update);
        }
        if ends {
            self.calls.remove(id);
            tools::answer(id, &part.tool, state, out);
        }
        out.inside(None::<String>);
    }

    fn step_finish(&mut self, part: &Part<'_>, is_main: bool, turn: &mut Turn, out: &mut Out) {
        let reason = part.reason.as_deref();
        if is_main {
            self.reason = reason.map(str::to_owned);
            match self.steps.finish(reason, &mut turn.ending, out) {
                Finished::Broken => turn.texts.break_off(out),
                Finished::GoesOn | Finished::Ends(_) => turn.texts.end(out),
            }
        } else {
            turn.texts.end(out);
        }
        out.usage(used(part));
    }
}

impl Dialect for Live {
    fn notified(
        &mut self,
        method: &str,
        params: &RawValue,
        turn: &mut Turn,
        out: &mut Out,
    ) -> bool {
        let read = serde_json::from_str::<PluginEvent<'_>>(params.get());
        let (Ok(told), "_aod/event") = (read, method) else {
            return false;
        };
        self.told(&told, turn, out);
        true
    }

    fn stderr(&mut self, line: &str, turn: &mut Turn, out: &mut Out) {
        if line == "Error handling request {" {
            self.in_report = true;
        }
        if self.in_report {
            self.in_report = line != "}";
            out.absorb();
            return;
        }
        if let Some(error) = logs::tell(line, out)
            && let Some(failure) = self.steps.failed(&error, &mut turn.ending, out)
        {
            turn.fail(failure, out);
        }
    }

    fn tells_all(&self) -> bool {
        self.is_ready
    }

    fn begin(&mut self, _: &Prompt) {
        self.steps = Steps::default();
        self.failure = None;
        self.reason = None;
    }

    /// What begins with a slash would be taken for a command, and an unknown one for nothing.
    fn before(&mut self, blocks: &[Block]) -> Option<String> {
        let first = blocks
            .iter()
            .find(|block| matches!(block, Block::Text(_)))?;
        let text = text_of(std::slice::from_ref(first));
        // What only the user is to see is not sent to the model.
        text.trim_start().starts_with('/').then(|| {
            r#"{"type":"text","text":"prompt","annotations":{"audience":["user"]}}"#.to_owned()
        })
    }

    fn failure(&mut self, failure: Failure) -> Failure {
        let own = self.failure.take().or_else(|| self.steps.take_trouble());
        own.unwrap_or(failure)
    }

    fn ends(&mut self, turn: &mut Turn, out: &mut Out) -> Option<TurnResult> {
        if turn.is_stopping() {
            return None;
        }
        match self.reason.as_deref() {
            Some("content-filter") => {
                let message = "the provider blocked the reply";
                return Some(failed(failure(FailureKind::Refused, message)));
            }
            Some("length") => {
                let text = "the reply is cut: it reached the length that the model may write";
                out.coded_notice(Level::Warning, "max_tokens", text);
            }
            _ => {}
        }
        self.failure.take().map(failed)
    }

    fn ended(&mut self, result: TurnResult) -> TurnResult {
        match result.stop {
            // The protocol knows fewer words.
            StopKind::Completed | StopKind::Refused => TurnResult {
                native_reason: self.reason.take().or(result.native_reason),
                ..result
            },
            _ => result,
        }
    }

    fn tick(&mut self, turn: &mut Turn, out: &mut Out) {
        if let Some(trouble) = self.steps.take_trouble() {
            turn.fail(trouble, out);
        }
    }

    fn state(&self) -> Option<String> {
        self.is_ready.then(|| "ready".to_owned())
    }

    fn restore(&mut self, _: &str, _: &mut Turn) {
        self.is_ready = true;
    }
}
