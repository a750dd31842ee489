//! What the lines of a process mean.

use aod_plugin_sdk::failure::{failure, from_api};
use aod_plugin_sdk::json::Text;
use aod_plugin_sdk::mcp::ToolPrefixes;
use aod_plugin_sdk::{
    Context, Conversation, Ending, Exit, Failure, FailureKind, Level, McpState, Out, OutputSource,
    StopKind, TurnResult, Usage, completed, failed, usage,
};

use crate::logs;
use crate::outcome::{is_lost, told, untold};
use crate::tools;
use crate::wire::{Error, Line, Part};

/// So many replies in a row may end without a reason. The CLI itself goes on asking for ever.
const BROKEN_REPLIES: u32 = 2;

/// So many requests for a reply may fail in a row, which takes some fifteen seconds. The CLI itself
/// never gives up.
const FAILED_REQUESTS: u32 = 4;

/// How long the CLI may be silent after a request that failed, in milliseconds: it waits as long as
/// the provider asks it to, and does not say how long that is.
const SILENCE_MS: u32 = 60_000;

/// A process of the CLI, which runs one prompt.
#[derive(Debug)]
pub struct OpencodeConversation {
    session: Option<String>,
    servers: ToolPrefixes,
    last_message: Option<String>,
    /// Why the turn fails, as a line told. The exit that follows makes it final.
    failure: Option<Failure>,
    /// Whether the step that runs has called tools.
    has_tools: bool,
    /// Whether its reply has ended without a reason.
    is_broken: bool,
    /// How many replies in a row have.
    broken_replies: u32,
    /// The requests that have failed since the CLI last got on, and why.
    failed_requests: u32,
    trouble: Option<Failure>,
    ending: Ending,
}

impl OpencodeConversation {
    pub(crate) fn new(context: &Context) -> Self {
        Self {
            session: None,
            servers: ToolPrefixes::new(&context.mcp_servers, tools::prefix),
            last_message: None,
            failure: None,
            has_tools: false,
            is_broken: false,
            broken_replies: 0,
            failed_requests: 0,
            trouble: None,
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
        match &*line.kind {
            "step_start" => {
                self.session(line.session, out);
                out.absorb();
                self.step_start(out);
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
                if let Some(state) = line.part.state {
                    self.session(line.session, out);
                    self.has_tools = true;
                    tools::tell(&self.servers, line.part.call, line.part.tool, state, out);
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
        self.failed_requests = 0;
        self.trouble = None;
    }

    fn step_start(&mut self, out: &mut Out) {
        if self.broken_replies >= BROKEN_REPLIES {
            self.fail(broken_reply(), out);
        }
        self.has_tools = false;
        self.is_broken = false;
    }

    /// Of a reply without an end, the text comes last.
    fn text(&mut self, text: Text<'_>, out: &mut Out) {
        if self.is_broken {
            out.aborted_message(None, text);
        } else {
            self.last_message = Some(text.to_string());
            out.message(text);
        }
    }

    fn step_finish(&mut self, part: &Part<'_>, out: &mut Out) {
        out.usage(used(part));
        // The CLI says no more of its end than this.
        let stop = match part.reason.as_deref() {
            Some("stop" | "length") => StopKind::Completed,
            Some("content-filter") => StopKind::Refused,
            Some("tool-calls") => {
                self.broken_replies = 0;
                return;
            }
            _ if self.has_tools => {
                self.broken_replies = 0;
                return;
            }
            _ => {
                self.is_broken = true;
                self.broken_replies += 1;
                let broken = broken_reply().message;
                self.ending.warn(&*broken);
                out.coded_notice(Level::Warning, "retry", broken);
                return;
            }
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
        if part.reason.as_deref() == Some("length") {
            let text = "the reply is cut: it reached the length that the model may write";
            out.coded_notice(Level::Warning, "max_tokens", text);
        }
        self.tell(
            TurnResult {
                native_reason: part.reason.as_deref().map(str::to_owned),
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

    fn stderr(&mut self, line: &str, out: &mut Out) {
        let Some(entry) = logs::read(line) else {
            out.stderr(line);
            return;
        };
        match &*entry.message {
            "stream error" if entry.small => out.notice(Level::Info, entry.error),
            "stream error" => self.request_failed(&entry.error, out),
            "server unavailable" => {
                let state = match &*entry.status {
                    "needs_auth" | "needs_client_registration" => McpState::NeedsAuth,
                    "disabled" => McpState::Disabled,
                    _ => McpState::Failed,
                };
                out.mcp_server(entry.key, state, None);
            }
            message => {
                let level = match &*entry.level {
                    "ERROR" => Level::Error,
                    "WARN" => Level::Warning,
                    _ => Level::Info,
                };
                let text = match &*entry.error {
                    "" => message.to_owned(),
                    error => format!("{message}: {error}"),
                };
                out.notice(level, text);
            }
        }
    }

    /// Tried again without a word in the stream.
    fn request_failed(&mut self, error: &str, out: &mut Out) {
        let error = error.strip_prefix("AI_APICallError: ").unwrap_or(error);
        out.coded_notice(Level::Warning, "retry", error);
        if self.ending.is_told() {
            return;
        }
        self.ending.warn(error);
        let failure = from_api(None, error, FailureKind::Provider);
        self.failed_requests += 1;
        if self.failed_requests >= FAILED_REQUESTS {
            self.fail(failure, out);
        } else {
            self.trouble = Some(failure);
            out.wake_after(SILENCE_MS);
        }
    }
}

fn broken_reply() -> Failure {
    let message = "the provider's reply ended without a reason";
    failure(FailureKind::Provider, message)
}

fn used(part: &Part<'_>) -> Usage {
    let tokens = part.tokens.unwrap_or_default();
    Usage {
        cache_write_tokens: tokens.cache.write,
        cache_read_tokens: tokens.cache.read,
        reasoning_tokens: tokens.reasoning,
        cost_usd: part.cost,
        ..usage(
            tokens.input.saturating_add(tokens.cache.write),
            tokens.output.saturating_add(tokens.reasoning),
        )
    }
}

impl Conversation for OpencodeConversation {
    fn line(&mut self, source: OutputSource, line: &str, out: &mut Out) {
        match source {
            OutputSource::Stdout => self.stdout(line, out),
            OutputSource::Stderr | OutputSource::LogFile => self.stderr(line, out),
        }
    }

    /// The CLI was silent for as long as it may be after a request that failed.
    fn tick(&mut self, _: u64, out: &mut Out) {
        if let Some(trouble) = self.trouble.take() {
            self.fail(trouble, out);
        }
    }

    fn finish(&mut self, exit: Exit, out: &mut Out) {
        let (failure, text) = (self.failure.take(), self.last_message.take());
        let failure = failure.or(self.trouble.take());
        self.ending.conclude(&exit, out, |exit| {
            let result = failure.map_or_else(|| untold(exit), failed);
            TurnResult { text, ..result }
        });
        if is_lost(&exit) {
            out.forget();
        }
    }
}
