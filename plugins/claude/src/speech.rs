//! What is said: by the model in pieces and as a whole, by its tools, and to it.

use aod_plugin_sdk::{Level, Out, Role};
use serde_json::value::RawValue;

use crate::conversation::ClaudeConversation;
use crate::messages::{self, Kind};
use crate::wire::{Block, Content, Line, StreamEvent};

impl ClaudeConversation {
    /// Pieces of texts and thoughts; all else of a message is told by the `assistant` line that
    /// follows.
    pub(crate) fn stream_event(
        &mut self,
        event: StreamEvent<'_>,
        by_subagent: bool,
        out: &mut Out,
    ) {
        match &*event.kind {
            // What a subagent says is told when it is whole.
            _ if by_subagent => out.absorb(),
            "content_block_delta" => {
                let delta = event.delta;
                match (&*delta.kind, delta.text, delta.thinking) {
                    ("text_delta", Some(text), _) => self.messages.piece(Kind::Text, text, out),
                    ("thinking_delta", _, Some(text)) if !text.is_empty() => {
                        self.messages.piece(Kind::Thought, text, out);
                    }
                    ("", ..) => {}
                    _ => out.absorb(),
                }
            }
            "message_start" => {
                out.absorb();
                self.messages.begin(event.message.id, out);
                self.round(out);
            }
            "content_block_start" => {
                out.absorb();
                self.messages.begin_block();
            }
            "message_delta" | "message_stop" | "content_block_stop" | "ping" => out.absorb(),
            _ => {}
        }
    }

    pub(crate) fn assistant(&mut self, line: Line<'_>, out: &mut Out) {
        self.acknowledged(out);
        self.results.well();
        let speaker = Speaker {
            is_subagent: line.parent_tool_use_id.is_some(),
            message: line.message.id.as_deref().unwrap_or_default(),
            is_error: line.error.0.is_some(),
            is_aborted: line.aborted.unwrap_or(false),
        };
        if speaker.is_error && !speaker.is_subagent {
            self.messages.break_off(out);
        }
        match line.message.content {
            Content::Blocks(blocks) => {
                for block in blocks {
                    match &*block.kind {
                        "tool_use" | "server_tool_use" | "mcp_tool_use" => {
                            self.tools.call(&block, &line.tool_use_meta, out);
                        }
                        "text" | "thinking" | "redacted_thinking" => {
                            self.said(block, &speaker, out);
                        }
                        _ => self.answered(block, None, out),
                    }
                }
            }
            Content::Text(text) => messages::tell(None, text, speaker.is_aborted, out),
            Content::Absent => {}
        }
        if let Some(error) = line.error.0 {
            self.results.omens.error = Some(error.into());
        }
    }

    fn said(&mut self, block: Block<'_>, speaker: &Speaker<'_>, out: &mut Out) {
        let kind = match &*block.kind {
            "text" => Kind::Text,
            _ => Kind::Thought,
        };
        let said = match kind {
            Kind::Text => block.text,
            Kind::Thought => block.thinking.filter(|text| !text.is_empty()),
        };
        let Some(said) = said else {
            // Thoughts may be kept secret.
            if kind == Kind::Thought {
                out.absorb();
            }
            return;
        };
        if kind == Kind::Text && speaker.is_error {
            return out.coded_notice(Level::Error, "api_error", said);
        }
        let item = if speaker.is_subagent {
            None
        } else {
            self.messages.whole(kind, speaker.message, out)
        };
        match (kind, item) {
            (Kind::Text, item) => messages::tell(item, said, speaker.is_aborted, out),
            (Kind::Thought, Some(item)) => out.reasoning_item(item, said),
            (Kind::Thought, None) => out.reasoning(said),
        }
    }

    pub(crate) fn user(&mut self, line: Line<'_>, out: &mut Out) {
        self.acknowledged(out);
        let listener = Listener {
            is_subagent: line.parent_tool_use_id.is_some(),
            hears: match line.is_synthetic {
                Some(true) => Role::System,
                _ => Role::User,
            },
        };
        match line.message.content {
            Content::Blocks(blocks) => {
                for block in blocks {
                    if &*block.kind == "tool_result" {
                        self.answered(block, line.tool_use_result, out);
                    } else if let Some(text) = block.text {
                        listener.told(text.into(), out);
                    }
                }
            }
            Content::Text(text) => listener.told(text.into(), out),
            Content::Absent => {}
        }
    }

    fn answered(&mut self, block: Block<'_>, detail: Option<&RawValue>, out: &mut Out) {
        // Whatever else a newer CLI puts here stays for the line to be `unparsed`.
        if let Some(id) = block.tool_use_id {
            let is_error = block.is_error.unwrap_or(false);
            self.tools.result(&id, block.content, is_error, detail, out);
        }
    }
}

/// Who says what an `assistant` line tells.
struct Speaker<'a> {
    is_subagent: bool,
    message: &'a str,
    /// Nobody: the CLI has put an API's error in the form of a message.
    is_error: bool,
    is_aborted: bool,
}

/// Whom a `user` line tells something.
struct Listener {
    is_subagent: bool,
    hears: Role,
}

impl Listener {
    /// A subagent's prompt stands in the call that started it.
    fn told(&self, text: String, out: &mut Out) {
        if self.is_subagent {
            out.absorb();
        } else if text.starts_with("[Request interrupted") {
            out.coded_notice(Level::Info, "interrupted", text);
        } else {
            out.message_of(self.hears, text);
        }
    }
}
