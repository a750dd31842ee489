//! What the lines of a process mean that runs one prompt.

use aod_plugin_sdk::failure::failure;
use aod_plugin_sdk::json::Text;
use aod_plugin_sdk::mcp::ToolPrefixes;
use aod_plugin_sdk::{
    Context, Conversation, Ending, Exit, Failure, FailureKind, Level, Out, OutputSource, StopKind,
    TurnResult, completed, failed,
};

use crate::outcome::{is_lost, told, untold};
use crate::steps::{Finished, Steps, used};
use crate::wire::{Error, Line, Part, PluginEvent};
use crate::{logs, tools};

/// A process that runs one prompt.
#[derive(Debug)]
pub struct PrintConversation {
    session: Option<String>,
    servers: ToolPrefixes,
    /// A text of which it is not known yet whether its reply comes to an end.
    saying: Option<String>,
    last_message: Option<String>,
    /// Why the turn fails, as a line told. The exit that follows makes it final.
    failure: Option<Failure>,
    steps: Steps,
    ending: Ending,
}

impl PrintConversation {
    pub(crate) fn new(context: &Context) -> Self {
        Self {
            session: None,
            servers: ToolPrefixes::new(&context.mcp_servers, tools::prefix),
            saying: None,
            last_message: None,
            failure: None,
            steps: Steps::default(),
            ending: Ending::default(),
        }
    }

    /// Every line names the session, which lies in a database before the first is written.
    fn session(&mut self, session: Option<Text<'_>>, out: &mut Out) {
        let Some(session) = session else { return };
        if self.session.as_deref() != Some(&*session) {
            self.session = Some(session.to_string());
            out.session_started(&*session);
            out.remember(session);
        }
    }

    fn stdout(&mut self, text: &str, out: &mut Out) {
        let Ok(line) = serde_json::from_str::<Line<'_>>(text) else {
            return;
        };
        if line.method.is_some() {
            return self.plugin(&line, out);
        }
        if &*line.kind != "step_finish" {
            self.said(false, out);
        }
        match &*line.kind {
            "step_start" => {
                self.session(line.session, out);
                out.absorb();
                if let Some(failure) = self.steps.start() {
                    self.fail(failure, out);
                }
            }
            "text" => {
                self.session(line.session, out);
                self.text(line.part.text.unwrap_or_default(), out);
            }
            "reasoning" => {
                self.session(line.session, out);
                out.reasoning(line.part.text.unwrap_or_default());
            }
            "tool_use" => {
                if let Some(state) = &line.part.state {
                    self.session(line.session, out);
                    self.steps.called();
                    let part = &line.part;
                    tools::tell(&self.servers, &part.call, &part.tool, state, out);
                }
            }
            "step_finish" => {
                self.session(line.session, out);
                self.step_finish(&line.part, out);
            }
            "error" => {
                self.session(line.session, out);
                self.error(&line.error.unwrap_or_default(), out);
            }
            _ => return,
        }
        self.steps.well();
    }

    /// The plugin tells here when a request is made once more, and nothing else.
    fn plugin(&mut self, line: &Line<'_>, out: &mut Out) {
        let Some(Ok(told)) = line
            .params
            .map(|it| serde_json::from_str::<PluginEvent<'_>>(it.get()))
        else {
            return;
        };
        out.absorb();
        if let (Some(retry), false) = (told.retry, self.ending.is_told())
            && let Some(failure) = self.steps.retried(&retry, &mut self.ending, out)
        {
            self.fail(failure, out);
        }
    }

    /// Of a reply without an end, the text comes before that is said or after it.
    fn text(&mut self, text: Text<'_>, out: &mut Out) {
        if self.steps.is_broken() {
            out.aborted_message(None, text);
        } else {
            self.saying = Some(text.into());
            out.absorb();
        }
    }

    /// The text is whole, or it breaks off.
    fn said(&mut self, breaks_off: bool, out: &mut Out) {
        let Some(text) = self.saying.take() else {
            return;
        };
        if breaks_off {
            out.aborted_message(None, text);
        } else {
            self.last_message = Some(text.clone());
            out.message(text);
        }
    }

    fn step_finish(&mut self, part: &Part<'_>, out: &mut Out) {
        let reason = part.reason.as_deref();
        let finished = self.steps.finish(reason, &mut self.ending, out);
        self.said(matches!(finished, Finished::Broken), out);
        out.usage(used(part));
        // The CLI says no more of its end than this.
        let Finished::Ends(stop) = finished else {
            return;
        };
        if self.ending.is_told() {
            return;
        }
        let refusal = || failure(FailureKind::Refused, "the provider blocked the reply");
        let result = match (self.failure.take(), stop) {
            (Some(failure), _) => failed(failure),
            (None, StopKind::Refused) => failed(refusal()),
            (None, _) => {
                if self.last_message.is_none() {
                    out.no_text();
                }
                completed(None)
            }
        };
        if reason == Some("length") {
            let text = "the reply is cut: it reached the length that the model may write";
            out.coded_notice(Level::Warning, "max_tokens", text);
        }
        self.tell(
            TurnResult {
                native_reason: reason.map(str::to_owned),
                ..result
            },
            out,
        );
    }

    fn tell(&mut self, result: TurnResult, out: &mut Out) {
        let text = self.last_message.take();
        self.ending.tell(out, TurnResult { text, ..result });
    }

    fn fail(&mut self, failure: Failure, out: &mut Out) {
        if !self.ending.is_told() {
            self.tell(failed(failure), out);
        }
    }

    fn error(&mut self, error: &Error<'_>, out: &mut Out) {
        match told(error) {
            Some(failure) => {
                out.notice(Level::Error, &*failure.message);
                self.failure = Some(failure);
            }
            None => out.notice(Level::Info, &*error.name),
        }
    }

    /// Tried again without a word in the stream.
    fn stderr(&mut self, line: &str, out: &mut Out) {
        if let Some(error) = logs::tell(line, out)
            && let Some(failure) = self.steps.failed(&error, &mut self.ending, out)
        {
            self.fail(failure, out);
        }
    }
}

impl Conversation for PrintConversation {
    fn line(&mut self, source: OutputSource, line: &str, out: &mut Out) {
        match source {
            OutputSource::Stdout => self.stdout(line, out),
            OutputSource::Stderr | OutputSource::LogFile => self.stderr(line, out),
        }
    }

    /// The CLI was silent for as long as it may be after a request that failed.
    fn tick(&mut self, _: u64, out: &mut Out) {
        if let Some(trouble) = self.steps.take_trouble() {
            self.fail(trouble, out);
        }
    }

    fn finish(&mut self, exit: Exit, out: &mut Out) {
        self.said(!self.ending.is_told(), out);
        let (failure, text) = (self.failure.take(), self.last_message.take());
        let failure = failure.or(self.steps.take_trouble());
        self.ending.conclude(&exit, out, |exit| {
            let result = failure.map_or_else(|| untold(exit), failed);
            TurnResult { text, ..result }
        });
        if is_lost(&exit) {
            out.forget();
        }
    }
}
