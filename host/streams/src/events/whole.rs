//! Which pieces of messages are told once more, whole.

use std::collections::HashSet;
use std::fs::File;
use std::io;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::read::lines_at;

/// What a line says of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Pieces of a message.
    Pieces {
        /// The message's number.
        message: u32,
        /// Within this turn.
        turn: u32,
    },
    /// The whole message of this number.
    Whole(u32),
    /// Something else.
    Else,
}

/// What a stored line, a run or not, says of messages.
pub(super) fn said(line: &[u8]) -> Said {
    #[derive(Deserialize)]
    struct Head<'a> {
        turn: Option<u32>,
        ordinal: u32,
        r#type: &'a str,
        #[serde(borrow)]
        message: Option<&'a RawValue>,
    }

    let Ok(head) = serde_json::from_slice::<Head<'_>>(line) else {
        return Said::Else;
    };
    match head.r#type {
        "message" | "reasoning" => Said::Whole(head.ordinal),
        "message.delta" | "reasoning.delta" => {
            let message = head.message.and_then(|message| message.get().parse().ok());
            let pieces = head.turn.zip(message);
            pieces.map_or(Said::Else, |(turn, message)| Said::Pieces { message, turn })
        }
        _ => Said::Else,
    }
}

/// The whole messages of a turn, as far as they are known, and where to look for more.
#[derive(Debug, Default)]
pub(super) struct Wholes {
    found: HashSet<u32>,
    /// Behind what was looked at: all that follows may have more.
    ahead: Option<(File, u64)>,
    /// How much may be read ahead.
    budget: u64,
}

impl Wholes {
    /// Of a turn that is read from an offset in its file on, or back from there. At most `budget`
    /// bytes are read ahead.
    pub(super) fn from(ahead: Option<(File, u64)>, budget: u64) -> Self {
        Self {
            found: HashSet::new(),
            ahead,
            budget,
        }
    }

    /// Takes note of a whole message that was met.
    pub(super) fn met(&mut self, ordinal: u32) {
        self.found.insert(ordinal);
    }

    /// Whether a message is there whole: looks for it among what follows.
    pub(super) fn has(&mut self, message: u32) -> io::Result<bool> {
        while !self.found.contains(&message) {
            let Some((file, offset)) = &mut self.ahead else {
                return Ok(false);
            };
            let lines = match self.budget {
                0 => None,
                _ => lines_at(file, *offset)?,
            };
            let Some(lines) = lines else {
                self.ahead = None;
                return Ok(false);
            };
            *offset += lines.len() as u64;
            self.budget = self.budget.saturating_sub(lines.len() as u64);
            for line in lines.split(|byte| *byte == b'\n') {
                if let Said::Whole(ordinal) = said(line) {
                    self.found.insert(ordinal);
                }
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lines_say_of_messages() {
        let line = |more: &str| format!("{{\"id\":\"1.0\",\"turn\":1,\"ordinal\":7,{more}}}");
        let pieces = Said::Pieces {
            message: 9,
            turn: 1,
        };
        for (more, expected) in [
            (
                "\"type\":\"message\",\"role\":\"assistant\"",
                Said::Whole(7),
            ),
            ("\"type\":\"reasoning\",\"text\":\"x\"", Said::Whole(7)),
            ("\"type\":\"message.delta\",\"message\":9", pieces),
            ("\"type\":\"reasoning.delta\",\"message\":9", pieces),
            ("\"type\":\"notice\",\"message\":\"x\"", Said::Else),
            ("\"type\":\"message.delta\",\"message\":{}", Said::Else),
        ] {
            assert_eq!(said(line(more).as_bytes()), expected, "{more}");
        }
        assert_eq!(said(b""), Said::Else);
    }
}
