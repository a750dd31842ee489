//! What becomes of a secret's form where it was found.

use super::Form;
use super::json::{JsonLine, Text};

/// A form that was found in a text.
#[derive(Clone, Copy)]
pub(super) struct Hit<'t> {
    pub(super) text: &'t [u8],
    pub(super) start: usize,
    pub(super) end: usize,
    /// Whether nothing follows the text.
    pub(super) is_last: bool,
}

/// What is to be done about it.
pub(super) enum Decision {
    /// It stays.
    Kept,
    /// That depends on what follows; what is before `from` is decided.
    Undecided { from: usize },
    /// Text is replaced.
    Replaced {
        start: usize,
        end: usize,
        by: Vec<u8>,
        /// The line, read up to `end`.
        then: JsonLine,
    },
}

impl Hit<'_> {
    /// Decides, for a line that was read up to the hit.
    pub(super) fn decide(self, line: &JsonLine, form: &Form) -> Decision {
        let mut then = line.clone();
        then.advance(&self.text[self.start..self.end]);
        let replacement = form.replacement.as_bytes();
        if then.is_broken() {
            return Decision::Replaced {
                start: self.start,
                end: self.end,
                by: replacement.to_vec(),
                then,
            };
        }
        match line.text() {
            Some(Text::Tag) if form.is_word => return Decision::Kept,
            Some(Text::Name) if form.is_name => return Decision::Kept,
            _ => {}
        }
        if line.awaits_value() && then.is_in_number() {
            match self.text.get(self.end) {
                None if !self.is_last => return Decision::Undecided { from: self.start },
                None | Some(b',' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n') => {
                    return self.as_value(replacement, then);
                }
                // A part of another number.
                Some(_) => return Decision::Kept,
            }
        }
        if then.has_value_since(line) {
            return self.as_value(replacement, then);
        }
        self.within_strings(line.clone(), replacement)
    }

    /// In the place of a whole value, there is a string.
    fn as_value(self, replacement: &[u8], then: JsonLine) -> Decision {
        Decision::Replaced {
            start: self.start,
            end: self.end,
            by: [b"\"", replacement, b"\""].concat(),
            then,
        }
    }

    /// Replaces what of the hit stands in strings, in whole characters: where it begins or ends
    /// within an escape, all of that goes. What stands between strings stays.
    fn within_strings(self, mut line: JsonLine, replacement: &[u8]) -> Decision {
        let start = self.start - line.begun_escape();
        let mut by = Vec::with_capacity(replacement.len());
        let mut at = self.start;
        let mut is_replaced = false;
        while at < self.end || line.begun_escape() > 0 {
            let byte = match self.text.get(at) {
                None if !self.is_last => return Decision::Undecided { from: start },
                None | Some(b'\n') => break,
                Some(byte) => *byte,
            };
            let was_text = line.text().is_some();
            line.advance(&[byte]);
            at += 1;
            match (was_text, line.text().is_some()) {
                (true, true) if !is_replaced => {
                    by.extend_from_slice(replacement);
                    is_replaced = true;
                }
                (true, true) => {}
                _ => {
                    by.push(byte);
                    is_replaced = false;
                }
            }
        }
        Decision::Replaced {
            start,
            end: at,
            by,
            then: line,
        }
    }
}
