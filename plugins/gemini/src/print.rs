//! What the lines of a process mean that runs one prompt.

use std::collections::HashMap;

use aod_plugin_sdk::mcp::ToolPrefixes;
use aod_plugin_sdk::{
    ChangeKind, Context, Conversation, Ending, Exit, Level, McpState, Out, OutputSource, Prompt,
    TurnResult, Usage, UsageCounts, completed, failed, usage,
};

use crate::attempts::Attempts;
use crate::companion::Report;
use crate::outcome::{is_lost, is_noise, is_retry, told, untold};
use crate::tools::{Effect, call, prefix};
use crate::wire::{Line, Tokens};

/// A process that runs one prompt.
#[derive(Debug)]
pub struct PrintConversation {
    session: String,
    resumed: bool,
    remembered: bool,
    /// Whether the CLI is sure to find the session again, even if it takes the prompt back.
    is_sound: bool,
    servers: ToolPrefixes,
    /// The number of the message that is being said, and the pieces of it.
    item: u32,
    saying: String,
    last_message: Option<String>,
    /// The last error that the CLI told, which its result does not repeat.
    error: Option<String>,
    calls: HashMap<String, Effect>,
    attempts: Attempts,
    /// Whether it was told which MCP servers are there.
    has_told_servers: bool,
    ending: Ending,
}

impl PrintConversation {
    pub(crate) fn new(context: &Context) -> Self {
        let resume = context.resume_token();
        Self {
            session: resume.unwrap_or(&context.session_id).to_owned(),
            resumed: resume.is_some(),
            remembered: resume.is_some(),
            is_sound: resume.is_some(),
            servers: ToolPrefixes::new(&context.mcp_servers, prefix),
            item: 0,
            saying: String::new(),
            last_message: None,
            error: None,
            calls: HashMap::new(),
            attempts: Attempts::default(),
            has_told_servers: false,
            ending: Ending::default(),
        }
    }

    /// Once the model has answered; a session without an answer is not found again.
    fn acknowledged(&mut self, out: &mut Out) {
        if !self.remembered {
            self.remembered = true;
            out.remember(&*self.session);
        }
    }

    /// A CLI without a whole answer has taken the prompt back, and with it all that there was.
    fn forget_unanswered(&mut self, out: &mut Out) {
        if !self.is_sound && std::mem::take(&mut self.remembered) {
            out.forget();
        }
    }

    /// Messages come in pieces only; one is whole when something else follows.
    fn flush(&mut self, out: &mut Out) {
        if !self.saying.is_empty() {
            let message = std::mem::take(&mut self.saying);
            self.last_message = Some(message.clone());
            out.message_item(self.item, message);
            self.item += 1;
        }
    }

    /// The message that was being said does not come to its end.
    fn break_off(&mut self, out: &mut Out) {
        if !self.saying.is_empty() {
            let message = std::mem::take(&mut self.saying);
            out.aborted_message(Some(self.item), &*message);
            self.last_message = Some(message);
            self.item += 1;
        }
    }

    /// What the companion tells is known but for what went wrong.
    fn companion(&mut self, told: &Report<'_>, out: &mut Out) {
        match &*told.kind {
            "request" => {
                if !std::mem::replace(&mut self.has_told_servers, true) {
                    told.tell_servers(self.servers.servers(), out);
                }
                if let (Some(why), false) = (self.attempts.request(told), self.saying.is_empty()) {
                    self.saying.clear();
                    out.discard(self.item, why);
                    self.item += 1;
                }
            }
            "reply" => {
                self.is_sound |= told.finish.is_some();
                self.attempts.reply(told, &mut self.ending);
            }
            "failed" => self.attempts.failed(told, &mut self.ending),
            _ => {}
        }
        out.absorb();
    }

    fn stdout(&mut self, text: &str, out: &mut Out) {
        let Ok(line) = serde_json::from_str::<Line<'_>>(text) else {
            return;
        };
        if line.method.is_some() {
            let told = line
                .params
                .map(|it| serde_json::from_str::<Report<'_>>(it.get()));
            if let Some(Ok(told)) = told {
                self.companion(&told, out);
            }
            return;
        }
        match &*line.kind {
            "init" => {
                let Some(session) = line.session_id else {
                    return;
                };
                self.session = session.to_string();
                out.session_started(session);
            }
            "message" => self.message(line, out),
            "tool_use" => {
                self.is_sound = true;
                self.acknowledged(out);
                self.flush(out);
                let input = line
                    .parameters
                    .map_or("null", |parameters| parameters.get());
                let id = line.tool_id.to_string();
                let (call, effect) = call(&self.servers, line.tool_id, line.tool_name, input);
                if let Some(effect) = effect {
                    self.calls.insert(id, effect);
                }
                out.tool_call(call);
            }
            "tool_result" => self.tool_result(line, out),
            "error" => {
                let Some(message) = line.message else { return };
                let level = match line.severity.as_deref() {
                    Some("warning") => Level::Warning,
                    _ => {
                        self.error = Some(message.to_string());
                        Level::Error
                    }
                };
                self.ending.warn(&*message);
                out.notice(level, message);
            }
            "result" => self.result(line, out),
            _ => {}
        }
    }

    fn message(&mut self, line: Line<'_>, out: &mut Out) {
        match &*line.role {
            // The prompt.
            "user" => out.absorb(),
            "assistant" => {
                self.acknowledged(out);
                if line.delta {
                    self.saying.push_str(&line.content);
                    out.delta(self.item, line.content);
                } else {
                    self.flush(out);
                    self.last_message = Some(line.content.to_string());
                    out.message(line.content);
                }
            }
            _ => {}
        }
    }

    fn tool_result(&mut self, line: Line<'_>, out: &mut Out) {
        let is_error = &*line.status != "success";
        let output = match (line.output.0, line.error) {
            (Some(output), _) => output.into(),
            (None, Some(error)) => error.message.into(),
            (None, None) => String::new(),
        };
        let id = line.tool_id.to_string();
        let effect = self.calls.remove(&id);
        out.tool_result(aod_plugin_sdk::tool_result(line.tool_id, output, is_error));
        match effect {
            _ if is_error => {}
            // Whether the file was there before is not said.
            Some(Effect::Write(path)) => out.file_change(path, ChangeKind::Modified, Some(id)),
            Some(Effect::Todos(items)) => out.todo(items),
            None => {}
        }
    }

    fn result(&mut self, line: Line<'_>, out: &mut Out) {
        if self.ending.is_told() {
            out.absorb();
            return;
        }
        let stats = line.stats.unwrap_or_default();
        if stats.models.is_empty() {
            out.usage(used(None, stats.tokens));
        }
        for (model, tokens) in stats.models {
            out.usage(used(Some(model.into()), tokens));
        }
        let result = match line.error {
            _ if &*line.status == "success" => {
                self.flush(out);
                self.acknowledged(out);
                match self.attempts.cut_off(out) {
                    Some(result) => TurnResult {
                        text: self.last_message.take(),
                        ..result
                    },
                    None => {
                        if self.last_message.is_none() {
                            out.no_text();
                        }
                        completed(self.last_message.take())
                    }
                }
            }
            Some(error) => {
                self.forget_unanswered(out);
                self.break_off(out);
                let mut result = told(&error, &line.timestamp);
                // The companion has seen when to try again.
                if let (Some(failure), Some(seen)) =
                    (&mut result.failure, self.attempts.take_failure())
                    && failure.kind == seen.kind
                {
                    failure.retry_at_ms = seen.retry_at_ms.or(failure.retry_at_ms);
                }
                TurnResult {
                    text: self.last_message.take(),
                    ..result
                }
            }
            // Every attempt at a reply came to nothing, and an error said why. The attempts stand
            // in one message, for the CLI does not tell where one ends and the next begins.
            None => {
                let why = self.error.take();
                let why = why.as_deref().unwrap_or("the CLI told no reason");
                self.forget_unanswered(out);
                if !std::mem::take(&mut self.saying).is_empty() {
                    out.discard(self.item, why);
                    self.item += 1;
                }
                failed(crate::outcome::broken_off(why))
            }
        };
        let result = TurnResult {
            duration_ms: stats.duration_ms,
            ..result
        };
        self.ending.tell(out, result);
    }

    fn stderr(&mut self, line: &str, out: &mut Out) {
        if is_noise(line) {
            out.absorb();
        } else if is_retry(line) {
            self.ending.warn(line);
            out.coded_notice(Level::Warning, "retry", line);
        } else if line.starts_with("MCP issues detected") {
            self.servers_missing(out);
        } else {
            out.stderr(line);
        }
    }

    /// Which ones, the CLI does not say.
    fn servers_missing(&self, out: &mut Out) {
        if self.has_told_servers {
            out.absorb();
            return;
        }
        let names: Vec<&str> = self.servers.servers().collect();
        match names[..] {
            [one] => out.mcp_server(one, McpState::Failed, None),
            _ => {
                let text = match names[..] {
                    [] => "not all MCP servers are there".to_owned(),
                    _ => format!(
                        "not all of these MCP servers are there: {}",
                        names.join(", ")
                    ),
                };
                out.coded_notice(Level::Warning, "mcp_servers_missing", text);
            }
        }
    }
}

fn used(model: Option<String>, tokens: Tokens) -> Usage {
    let told = tokens.input_tokens.saturating_add(tokens.output_tokens);
    let thought = tokens.total_tokens.saturating_sub(told);
    Usage {
        model,
        cache_read_tokens: tokens.cached,
        reasoning_tokens: thought,
        counts: UsageCounts::TurnTotal,
        ..usage(tokens.input, tokens.output_tokens.saturating_add(thought))
    }
}

impl Conversation for PrintConversation {
    fn prompt(&mut self, prompt: Prompt, _: &mut Out) {
        if !self.resumed {
            self.session = prompt.turn_id;
        }
    }

    fn line(&mut self, source: OutputSource, line: &str, out: &mut Out) {
        match source {
            OutputSource::Stdout => self.stdout(line, out),
            OutputSource::Stderr | OutputSource::LogFile => self.stderr(line, out),
        }
    }

    /// A turn that was stopped has no result, and its last message is not whole.
    fn finish(&mut self, exit: Exit, out: &mut Out) {
        if !self.ending.is_told() {
            self.break_off(out);
        }
        self.ending.conclude(&exit, out, untold);
        if is_lost(&exit) {
            out.forget();
        }
    }
}
