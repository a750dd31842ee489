//! What a turn's lines mean.

use aod_plugin_sdk::failure::failure;
use aod_plugin_sdk::{
    Conclusion, Ending, Exit, FailureKind, Level, Out, OutputStream, Role, Turn, TurnContext,
    TurnResult, Usage, crashed,
};

use crate::outcome::{Omens, outcome};
use crate::resume::Resume;
use crate::tools::Tools;
use crate::wire::{Block, Content, Line, StreamEvent};

/// A running turn.
#[derive(Debug)]
pub struct ClaudeTurn {
    resume: Resume,
    started: bool,
    remembered: bool,
    tools: Tools,
    omens: Omens,
    ending: Ending,
}

impl ClaudeTurn {
    pub(crate) fn new(context: &TurnContext) -> Self {
        let resume = context.resume_token().map(Resume::read);
        Self {
            resume: resume.unwrap_or_else(|| Resume {
                session: context.turn_id.clone(),
                cost_usd: 0.0,
            }),
            started: false,
            remembered: false,
            tools: Tools::default(),
            omens: Omens::default(),
            ending: Ending::default(),
        }
    }

    /// The CLI writes the prompt to its session's file just before it calls the model: killed
    /// after `init` the session cannot be resumed, killed once an answer came it can.
    fn acknowledged(&mut self, out: &mut Out) {
        if !self.remembered {
            self.remembered = true;
            out.remember(self.resume.write());
        }
    }

    fn system(&mut self, line: &Line<'_>, out: &mut Out) {
        match line.subtype.as_deref().unwrap_or_default() {
            "init" => self.init(line, out),
            "api_retry" => {
                self.acknowledged(out);
                out.notice(Level::Warning, retry_text(line));
            }
            "status" => match line.status.0.as_deref() {
                Some("compacting") => out.notice(Level::Info, "compacting the conversation"),
                _ => out.absorb(),
            },
            "compact_boundary" => out.notice(Level::Info, "the conversation was compacted"),
            "thinking_tokens" => out.absorb(),
            subtype if subtype.starts_with("task_") || subtype.starts_with("hook_") => {
                aside(line, out)
            }
            "informational" | "local_command_output" => aside(line, out),
            _ => {}
        }
    }

    /// With background tasks there may be one for each round; the first tells the session.
    fn init(&mut self, line: &Line<'_>, out: &mut Out) {
        if let Some(session) = &line.session_id {
            self.resume.session = session.to_string();
        }
        if self.started {
            out.absorb();
        } else {
            self.started = true;
            out.session_started(&*self.resume.session);
        }
        for server in &line.mcp_servers {
            if !matches!(&*server.status, "connected" | "pending" | "disabled") {
                out.notice(
                    Level::Warning,
                    format!("MCP server {}: {}", &*server.name, &*server.status),
                );
            }
        }
    }

    fn assistant(&mut self, line: Line<'_>, out: &mut Out) {
        self.acknowledged(out);
        let by_subagent = line.parent_tool_use_id.is_some();
        let error = line.error.0;
        match line.message.content {
            Content::Blocks(blocks) => {
                for block in blocks {
                    self.assistant_block(block, by_subagent, error.is_some(), out);
                }
            }
            Content::Text(text) => out.message(text),
            Content::Absent => {}
        }
        if let Some(error) = error {
            self.omens.error = Some(error.into());
        }
    }

    /// What a subagent says comes back whole as its tool's result, so here it is an aside.
    fn assistant_block(
        &mut self,
        block: Block<'_>,
        by_subagent: bool,
        is_error: bool,
        out: &mut Out,
    ) {
        match &*block.kind {
            "text" => {
                let Some(text) = block.text else { return };
                if is_error {
                    out.notice(Level::Error, text);
                } else if by_subagent {
                    out.reasoning(text);
                } else {
                    out.message(text);
                }
            }
            "thinking" => match block.thinking.filter(|text| !text.is_empty()) {
                Some(thinking) => out.reasoning(thinking),
                None => out.absorb(),
            },
            "redacted_thinking" => out.absorb(),
            "tool_use" | "server_tool_use" | "mcp_tool_use" => {
                let id = block.id.unwrap_or_default();
                let name = block.name.unwrap_or_default();
                let input = block.input.map_or("null", |input| input.get());
                self.tools.call(&id, &name, input);
                out.tool_call(id, name, input);
            }
            _ => self.tool_result(block, &Default::default(), out),
        }
    }

    fn user(&mut self, line: Line<'_>, out: &mut Out) {
        self.acknowledged(out);
        let to_subagent = line.parent_tool_use_id.is_some();
        match line.message.content {
            Content::Blocks(blocks) => {
                for block in blocks {
                    if &*block.kind == "tool_result" {
                        self.tool_result(block, &line.tool_use_result, out);
                    } else if let Some(text) = block.text {
                        told_by_user(text.into(), to_subagent, out);
                    }
                }
            }
            Content::Text(text) => told_by_user(text.into(), to_subagent, out),
            Content::Absent => {}
        }
    }

    fn tool_result(
        &mut self,
        block: Block<'_>,
        result: &crate::wire::ToolUseResult<'_>,
        out: &mut Out,
    ) {
        // Whatever else a newer CLI puts here stays for the line to be `unparsed`.
        let Some(id) = block.tool_use_id else { return };
        let is_error = block.is_error.unwrap_or(false);
        out.tool_result(&*id, plain(block.content), is_error);
        self.tools.result(&id, is_error, result, out);
    }

    fn rate_limit(&mut self, line: &Line<'_>, out: &mut Out) {
        let Some(limit) = &line.rate_limit_info else {
            return;
        };
        let status = limit.status.0.as_deref().unwrap_or_default();
        let level = match status {
            "allowed" => Level::Info,
            "rejected" => Level::Error,
            _ => Level::Warning,
        };
        if level != Level::Info {
            self.omens.reset_at_ms = limit.resets_at.map(|seconds| seconds.saturating_mul(1000));
        }
        let mut text = format!("rate limit: {status}");
        if let Some(kind) = limit.kind.0.as_deref() {
            text += &format!(" ({})", kind.replace('_', " "));
        }
        if let Some(seconds) = limit.resets_at {
            text += &format!(", resets at {seconds}");
        }
        out.notice(level, text);
    }

    fn result(&mut self, line: Line<'_>, out: &mut Out) {
        if let Some(session) = &line.session_id {
            self.resume.session = session.to_string();
        }
        if self.ending.is_told() {
            out.notice(Level::Info, "the CLI told another result");
            return;
        }
        self.usage(&line, out);
        let result = outcome(line, &self.omens);
        let is_lost = result
            .failure
            .as_ref()
            .is_some_and(|failure| failure.kind == FailureKind::Resume);
        if is_lost {
            out.forget();
        } else {
            self.remembered = true;
            out.remember(self.resume.write());
        }
        self.ending.tell(out, result);
    }

    /// Tokens are this turn's; the cost is the session's so far.
    fn usage(&mut self, line: &Line<'_>, out: &mut Out) {
        let Some(usage) = &line.usage else { return };
        let cost_usd = line.total_cost_usd.map(|total| {
            let before = std::mem::replace(&mut self.resume.cost_usd, total);
            // Less than before: the CLI has lost count and began anew.
            if total >= before {
                total - before
            } else {
                total
            }
        });
        let usage = Usage {
            input_tokens: usage
                .input_tokens
                .unwrap_or(0)
                .saturating_add(usage.cache_creation_input_tokens.unwrap_or(0)),
            output_tokens: usage.output_tokens.unwrap_or(0),
            cached_tokens: usage.cache_read_input_tokens.unwrap_or(0),
            cost_usd,
        };
        out.usage(usage);
    }

    fn stdout(&mut self, text: &str, out: &mut Out) {
        let Ok(line) = serde_json::from_str::<Line<'_>>(text) else {
            return;
        };
        match &*line.kind {
            "stream_event" => {
                self.acknowledged(out);
                let by_subagent = line.parent_tool_use_id.is_some();
                if let Some(event) = line.event {
                    stream_event(event, by_subagent, out);
                }
            }
            "assistant" => self.assistant(line, out),
            "user" => self.user(line, out),
            "system" => self.system(&line, out),
            "result" => self.result(line, out),
            "rate_limit_event" => self.rate_limit(&line, out),
            "tool_progress" | "keep_alive" => out.absorb(),
            "tool_use_summary" => aside(&line, out),
            _ => {}
        }
    }
}

impl Turn for ClaudeTurn {
    fn line(&mut self, source: OutputStream, line: &str, out: &mut Out) {
        match source {
            OutputStream::Stdout => self.stdout(line, out),
            OutputStream::Stderr => out.stderr(line),
        }
    }

    fn finish(&mut self, exit: Exit) -> Conclusion {
        std::mem::take(&mut self.ending).conclude(&exit, |exit| {
            if exit.stderr_tail.contains("already in use") {
                TurnResult {
                    failure: Some(failure(FailureKind::Resume, exit.stderr_tail.trim())),
                    ..crashed(exit)
                }
            } else {
                crashed(exit)
            }
        })
    }
}

/// Text comes in pieces; all else of a message is told by the `assistant` line that follows.
fn stream_event(event: StreamEvent<'_>, by_subagent: bool, out: &mut Out) {
    match &*event.kind {
        "content_block_delta" => match (&*event.delta.kind, event.delta.text) {
            ("text_delta", Some(text)) if !by_subagent => out.delta(text),
            ("", _) => {}
            _ => out.absorb(),
        },
        "message_start"
        | "message_delta"
        | "message_stop"
        | "content_block_start"
        | "content_block_stop"
        | "ping" => out.absorb(),
        _ => {}
    }
}

/// A user's words in the stream are the CLI's own, but for the prompt of a subagent, which stands
/// in the call that started it.
fn told_by_user(text: String, to_subagent: bool, out: &mut Out) {
    if to_subagent {
        out.absorb();
    } else if text.starts_with("[Request interrupted") {
        out.notice(Level::Info, text);
    } else {
        out.message_of(Role::User, text);
    }
}

/// A content as text; what is no text is named.
fn plain(content: Content<'_>) -> String {
    match content {
        Content::Absent => String::new(),
        Content::Text(text) => text.into(),
        Content::Blocks(blocks) => {
            let mut parts = blocks
                .into_iter()
                .map(|block| match (block.text, block.tool_name) {
                    (Some(text), _) => String::from(text),
                    (None, Some(name)) => name.into(),
                    (None, None) => format!("[{}]", &*block.kind),
                });
            let Some(mut whole) = parts.next() else {
                return String::new();
            };
            for part in parts {
                whole.push('\n');
                whole.push_str(&part);
            }
            whole
        }
    }
}

/// A line that matters to people only, if at all.
fn aside(line: &Line<'_>, out: &mut Out) {
    let said = [&line.summary, &line.description, &line.content];
    let kind = line.subtype.as_deref().unwrap_or(&line.kind);
    match said.into_iter().find_map(|said| said.0.as_deref()) {
        Some(text) => out.notice(Level::Info, format!("{}: {text}", kind.replace('_', " "))),
        None => out.absorb(),
    }
}

fn retry_text(line: &Line<'_>) -> String {
    let mut text = "the API call failed".to_owned();
    let mut comma = " with ";
    if let Some(status) = line.error_status {
        text += &format!("{comma}status {status}");
        comma = ", ";
    }
    if let Some(error) = line.error.0.as_deref() {
        text += &format!("{comma}{}", error.replace('_', " "));
    }
    if let (Some(attempt), Some(most)) = (line.attempt, line.max_retries) {
        text += &format!("; retry {attempt} of {most}");
    }
    if let Some(delay) = line.retry_delay_ms {
        text += &format!(" in {:.1} s", delay / 1000.0);
    }
    text
}
