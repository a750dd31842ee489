//! Messages and thoughts that come in pieces: their numbers, and what becomes of those that never
//! become whole.

use std::collections::VecDeque;

use aod_plugin_sdk::json::Text;
use aod_plugin_sdk::{EventBody, Message, Out, Role};

/// What is told of the main conversation's messages. (Subagents' come whole only.)
#[derive(Debug, Default)]
pub(crate) struct Messages {
    /// The number for the next message or thought.
    next: u32,
    /// The API's id of the message that is being made.
    id: String,
    /// Those of which pieces were told, but not the whole, in their order.
    pending: VecDeque<Pending>,
    /// Whether the last one of them takes further pieces.
    is_open: bool,
}

/// A message or a thought that is not whole.
#[derive(Debug)]
struct Pending {
    item: u32,
    kind: Kind,
    text: String,
}

/// What comes in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Thought,
}

impl Messages {
    /// A message of the API begins. What is not whole by now is tried again.
    pub(crate) fn begin(&mut self, id: Option<Text<'_>>, out: &mut Out) {
        self.discard("the reply broke off, and is tried again", out);
        self.id.clear();
        self.id.push_str(id.as_deref().unwrap_or_default());
    }

    /// A block of the message begins.
    pub(crate) fn begin_block(&mut self) {
        self.is_open = false;
    }

    /// Tells a piece.
    pub(crate) fn piece(&mut self, kind: Kind, text: Text<'_>, out: &mut Out) {
        let fits = |last: &Pending| last.kind == kind;
        if !(self.is_open && self.pending.back().is_some_and(fits)) {
            self.pending.push_back(Pending {
                item: self.next,
                kind,
                text: String::new(),
            });
            self.next += 1;
            self.is_open = true;
        }
        if let Some(last) = self.pending.back_mut() {
            last.text.push_str(&text);
            match kind {
                Kind::Text => out.delta(last.item, text),
                Kind::Thought => out.reasoning_delta(last.item, text),
            }
        }
    }

    /// The number of a whole that is about to be told, if there were pieces of it. `id` is that of
    /// its message: pieces of another message are of an attempt that was given up.
    pub(crate) fn whole(&mut self, kind: Kind, id: &str, out: &mut Out) -> Option<u32> {
        if id != self.id {
            self.discard("another reply took its place", out);
        }
        let at = self.pending.iter().position(|one| one.kind == kind)?;
        self.pending.remove(at).map(|one| one.item)
    }

    /// Takes back what is not whole.
    pub(crate) fn discard(&mut self, reason: &str, out: &mut Out) {
        self.is_open = false;
        for one in self.pending.drain(..) {
            out.discard(one.item, reason);
        }
    }

    /// Tells what is not whole as far as it came.
    pub(crate) fn break_off(&mut self, out: &mut Out) {
        self.is_open = false;
        for one in self.pending.drain(..) {
            match one.kind {
                Kind::Text => tell(Some(one.item), one.text, true, out),
                Kind::Thought => out.reasoning_item(one.item, one.text),
            }
        }
    }
}

/// Tells a message of the assistant.
pub(crate) fn tell(item: Option<u32>, text: impl Into<String>, aborted: bool, out: &mut Out) {
    out.emit(EventBody::Message(Message {
        item,
        role: Role::Assistant,
        text: text.into(),
        parts: Vec::new(),
        aborted,
    }));
}
