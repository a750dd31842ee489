//! Messages and thoughts, which come in pieces and end when something else begins.

use aod_plugin_sdk::json::Text;
use aod_plugin_sdk::{EventBody, Image, Link, Message, Out, Part, Role};
use serde_json::value::RawValue;

use crate::wire::{self, Block, Update};

/// The texts of a turn.
#[derive(Debug, Default)]
pub struct Texts {
    /// The number of the text that is being told or comes next.
    item: u32,
    message: String,
    /// What of the message is no text.
    parts: Vec<Part>,
    message_id: Option<String>,
    thought: String,
    /// The call that a subagent tells them for.
    inside: Option<String>,
    /// The last whole message of the agent itself.
    last: Option<String>,
}

impl Texts {
    /// Whether a message is being told.
    pub(crate) fn has_open_message(&self) -> bool {
        !self.message.is_empty() || !self.parts.is_empty()
    }

    /// The last message of the agent itself, once.
    pub(crate) fn take_last(&mut self) -> Option<String> {
        self.last.take()
    }

    /// A piece of a message, told by a subagent that the call `inside` started.
    pub(crate) fn message_chunk(
        &mut self,
        update: &Update<'_>,
        inside: Option<&str>,
        out: &mut Out,
    ) {
        self.end_thought(out);
        let id = update.message_id.0.as_deref();
        let other_id = id.is_some() && id != self.message_id.as_deref();
        if other_id || inside != self.inside.as_deref() {
            self.end_message(false, out);
            self.message_id = id.map(str::to_owned);
            self.inside = inside.map(str::to_owned);
        }
        out.inside(inside);
        let block: Block<'_> = wire::read(update.content);
        match (block.text.0, update.content) {
            // Some agents begin a message with nothing.
            (Some(text), _) if text.is_empty() => out.absorb(),
            (Some(text), _) => {
                self.message.push_str(&text);
                out.delta(self.item, text);
            }
            (None, Some(raw)) => {
                self.parts.push(part(&wire::read(Some(raw)), raw));
                out.absorb();
            }
            (None, None) => out.absorb(),
        }
    }

    /// A piece of a thought.
    pub(crate) fn thought_chunk(
        &mut self,
        update: &Update<'_>,
        inside: Option<&str>,
        out: &mut Out,
    ) {
        self.end_message(false, out);
        if inside != self.inside.as_deref() {
            self.end_thought(out);
            self.inside = inside.map(str::to_owned);
        }
        out.inside(inside);
        let block: Block<'_> = wire::read(update.content);
        let text: Text<'_> = block.text.0.unwrap_or_default();
        if text.is_empty() {
            out.absorb();
        } else {
            self.thought.push_str(&text);
            out.reasoning_delta(self.item, text);
        }
    }

    /// Something else begins.
    pub fn end(&mut self, out: &mut Out) {
        self.end_thought(out);
        self.end_message(false, out);
    }

    /// What is being said does not come to its end.
    pub fn break_off(&mut self, out: &mut Out) {
        self.end_thought(out);
        self.end_message(true, out);
    }

    /// What was said of the message is void: it is said once more.
    pub fn discard(&mut self, reason: &str, out: &mut Out) {
        self.end_thought(out);
        self.message_id = None;
        if self.has_open_message() {
            self.message.clear();
            self.parts.clear();
            out.discard(self.item, reason);
            self.item += 1;
        }
    }

    /// A piece of a message, told by a subagent that the call `inside` started.
    pub fn message(&mut self, text: &str, inside: Option<&str>, out: &mut Out) {
        self.end_thought(out);
        self.of(inside, out);
        self.message.push_str(text);
        out.inside(inside);
        out.delta(self.item, text);
        out.inside(None::<String>);
    }

    /// A piece of a thought.
    pub fn thought(&mut self, text: &str, inside: Option<&str>, out: &mut Out) {
        self.end_message(false, out);
        self.of(inside, out);
        self.thought.push_str(text);
        out.inside(inside);
        out.reasoning_delta(self.item, text);
        out.inside(None::<String>);
    }

    /// Who is speaking, which ends what somebody else was saying.
    fn of(&mut self, inside: Option<&str>, out: &mut Out) {
        if inside != self.inside.as_deref() {
            self.end(out);
            self.inside = inside.map(str::to_owned);
        }
    }

    /// The last whole message of the agent itself.
    #[must_use]
    pub fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// A whole message of the agent itself, of which no piece was told.
    pub fn whole(&mut self, text: &str, out: &mut Out) {
        self.end(out);
        self.last = Some(text.to_owned());
        out.message(text);
    }

    fn end_message(&mut self, aborted: bool, out: &mut Out) {
        self.message_id = None;
        if !self.has_open_message() {
            return;
        }
        let text = std::mem::take(&mut self.message);
        if self.inside.is_none() {
            self.last = Some(text.clone());
        }
        out.inside(self.inside.as_deref());
        out.emit(EventBody::Message(Message {
            item: Some(self.item),
            role: Role::Assistant,
            text,
            parts: std::mem::take(&mut self.parts),
            aborted,
        }));
        out.inside(None::<String>);
        self.item += 1;
    }

    fn end_thought(&mut self, out: &mut Out) {
        if self.thought.is_empty() {
            return;
        }
        out.inside(self.inside.as_deref());
        out.reasoning_item(self.item, std::mem::take(&mut self.thought));
        out.inside(None::<String>);
        self.item += 1;
    }
}

/// A block that is no text.
pub(crate) fn part(block: &Block<'_>, raw: &RawValue) -> Part {
    match (
        &*block.kind,
        &block.mime_type.0,
        &block.data.0,
        &block.uri.0,
    ) {
        ("image", Some(media_type), Some(data), _) => Part::Image(Image {
            media_type: media_type.to_string(),
            data: data.to_string(),
        }),
        ("resource_link", media_type, _, Some(uri)) => Part::Link(Link {
            uri: uri.to_string(),
            name: block.name.0.as_deref().map(str::to_owned),
            media_type: media_type.as_deref().map(str::to_owned),
        }),
        _ => Part::Json(raw.get().to_owned()),
    }
}
