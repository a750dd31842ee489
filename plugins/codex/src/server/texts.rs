//! Messages and thoughts, which come in pieces.

use std::collections::BTreeMap;

use aod_plugin_sdk::Out;
use serde_json::value::RawValue;

/// Texts of a process.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// The number of the next text; no two of a process have the same.
    pub(super) next: u32,
    /// Those of which pieces have come, by the server's ids.
    open: BTreeMap<String, Text>,
}

#[derive(Debug)]
struct Text {
    number: u32,
    is_thought: bool,
    /// Whether the agent says it, and not a subagent.
    is_main: bool,
    whole: String,
}

/// What a piece belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) item: &'a str,
    pub(super) is_thought: bool,
    pub(super) is_main: bool,
}

impl Texts {
    /// A piece of a text.
    pub(super) fn delta(&mut self, piece: Piece<'_>, delta: &str, out: &mut Out) {
        if !self.open.contains_key(piece.item) {
            let text = Text {
                number: self.next,
                is_thought: piece.is_thought,
                is_main: piece.is_main,
                whole: String::new(),
            };
            self.next += 1;
            self.open.insert(piece.item.to_owned(), text);
        }
        let Some(text) = self.open.get_mut(piece.item) else {
            return;
        };
        text.whole.push_str(delta);
        if piece.is_thought {
            out.reasoning_delta(text.number, delta);
        } else {
            out.delta(text.number, delta);
        }
    }

    /// The model begins another paragraph of its thought.
    pub(super) fn paragraph(&mut self, piece: Piece<'_>, out: &mut Out) {
        out.absorb();
        if self.open.contains_key(piece.item) {
            self.delta(piece, PARAGRAPH, out);
        }
    }

    /// A whole message.
    pub(super) fn message(&mut self, item: &str, text: &str, out: &mut Out) {
        match self.open.remove(item) {
            Some(open) => out.message_item(open.number, text),
            None => out.message(text),
        }
    }

    /// A whole thought.
    pub(super) fn thought(&mut self, item: &str, text: &str, out: &mut Out) {
        match self.open.remove(item) {
            Some(open) => out.reasoning_item(open.number, text),
            None if text.is_empty() => out.absorb(),
            None => out.reasoning(text),
        }
    }

    /// What the agent has begun to say is void: the model is asked anew.
    pub(super) fn discard(&mut self, why: &str, out: &mut Out) {
        self.open.retain(|_, text| {
            if text.is_main {
                out.discard(text.number, why);
            }
            !text.is_main
        });
    }

    /// What was begun breaks off; returns what the agent has said of its answer.
    pub(super) fn break_off(&mut self, out: &mut Out) -> Option<String> {
        let mut last = None;
        for text in std::mem::take(&mut self.open).into_values() {
            if text.is_thought {
                out.reasoning_item(text.number, text.whole);
            } else {
                out.aborted_message(Some(text.number), &*text.whole);
                if text.is_main {
                    last = Some(text.whole);
                }
            }
        }
        last
    }
}

const PARAGRAPH: &str = "\n\n";

/// A thought, of which the summary is told, or else all of it.
pub(super) fn thought(summary: Option<&RawValue>, content: Option<&RawValue>) -> String {
    let joined = |raw: Option<&RawValue>| -> String {
        let parts: Vec<String> = super::wire::read(raw);
        parts.join(PARAGRAPH)
    };
    let summary = joined(summary);
    if summary.is_empty() {
        joined(content)
    } else {
        summary
    }
}
