//! What is shown to people: in a terminal with styles, elsewhere as plain text.
//!
//! What agents say is theirs: it never steers the terminal.

mod amounts;
mod markdown;
mod screen;
mod table;

use std::io::{self, IsTerminal as _, Write as _};

pub(crate) use self::amounts::{age, size};
pub(crate) use self::markdown::Markdown;
pub(crate) use self::screen::{Screen, Show};
pub(crate) use self::table::Table;

/// Standard output or standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sink {
    /// Results.
    Stdout,
    /// Progress.
    Stderr,
}

impl Sink {
    /// Whether somebody looks at it.
    pub(crate) fn is_terminal(self) -> bool {
        match self {
            Self::Stdout => io::stdout().is_terminal(),
            Self::Stderr => io::stderr().is_terminal(),
        }
    }

    /// Whether it takes colours.
    pub(crate) fn has_styles(self) -> bool {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        self.is_terminal() && !unwanted
    }

    /// Writes, and sees to it that it is seen.
    pub(crate) fn write(self, text: &str) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(text.as_bytes())?;
                out.flush()
            }
            Self::Stderr => io::stderr().lock().write_all(text.as_bytes()),
        }
    }
}

/// Without what steers a terminal, or shows a text in another order than it has.
pub(crate) fn tame(text: &str) -> String {
    text.chars().filter(|c| is_tame(*c)).collect()
}

fn is_tame(c: char) -> bool {
    match c {
        '\n' | '\t' => true,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => false,
        c => !c.is_control(),
    }
}

/// One line, at most so many characters of it.
pub(crate) fn short(text: &str, most: usize) -> String {
    let mut line = String::new();
    // What is beyond the cut is not looked at: a text may be very long.
    let reach = text.len().min(most.saturating_mul(16).max(256));
    let reach = (reach..=text.len()).find(|at| text.is_char_boundary(*at));
    let head = &text[..reach.unwrap_or(text.len())];
    for word in head.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    match line.char_indices().nth(most) {
        Some((cut, _)) => format!("{} …", &line[..cut]),
        None if head.len() < text.len() => format!("{line} …"),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_does_not_steer_the_terminal() {
        assert_eq!(tame("\x1b]0;x\x07a\tb\n\u{9b}2J"), "]0;xa\tb\n2J");
        assert_eq!(tame("a\u{202e}b\u{2066}c\rd"), "abcd");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let long = short(&"ä\n ".repeat(120), 120);
        assert_eq!(long.chars().count(), 122);
        assert!(long.ends_with('…'));
        assert_eq!(short(" a\n b ", 120), "a b");
        assert!(short(&" ".repeat(1 << 20), 10).len() < 10);
    }
}
