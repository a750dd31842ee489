//! Literals as programming languages print their strings: Python, Rust, JavaScript.

use std::collections::BTreeSet;
use std::fmt::Write as _;

#[derive(Clone, Copy)]
struct Language {
    /// The quotes that it escapes.
    quotes: &'static str,
    /// Control characters with a letter of their own.
    letters: &'static [(char, char)],
    /// How it writes other control characters.
    control: fn(u32) -> String,
    /// How it writes characters beyond ASCII; none where it leaves them.
    foreign: Option<fn(char) -> String>,
}

const TAB: &[(char, char)] = &[('\t', 't')];
const SCRIPT: &[(char, char)] = &[('\t', 't'), ('\u{8}', 'b'), ('\u{c}', 'f'), ('\u{b}', 'v')];

const HEX: fn(u32) -> String = |code| format!("\\x{code:02x}");
const CAPITAL_HEX: fn(u32) -> String = |code| format!("\\x{code:02X}");
const BRACED: fn(u32) -> String = |code| format!("\\u{{{code:x}}}");

/// Python's `ascii`.
const SHORTEST: fn(char) -> String = |c| match u32::from(c) {
    code @ 0..=0xff => format!("\\x{code:02x}"),
    code @ 0..=0xffff => format!("\\u{code:04x}"),
    code => format!("\\U{code:08x}"),
};
/// Python's and Rust's bytes.
const BYTES: fn(char) -> String = |c| {
    let mut out = String::new();
    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
        // Writing to a string does not fail.
        let _ = write!(out, "\\x{byte:02x}");
    }
    out
};
/// Rust's `escape_default`.
const UNICODE: fn(char) -> String = |c| format!("\\u{{{:x}}}", u32::from(c));

const fn language(
    quotes: &'static str,
    letters: &'static [(char, char)],
    control: fn(u32) -> String,
    foreign: Option<fn(char) -> String>,
) -> Language {
    Language {
        quotes,
        letters,
        control,
        foreign,
    }
}

static LANGUAGES: &[Language] = &[
    // Python, which chooses its quotes.
    language("", TAB, HEX, None),
    language("'", TAB, HEX, None),
    language("\"", TAB, HEX, None),
    language("", TAB, HEX, Some(SHORTEST)),
    language("'", TAB, HEX, Some(SHORTEST)),
    language("", TAB, HEX, Some(BYTES)),
    language("'", TAB, HEX, Some(BYTES)),
    // Rust's bytes.
    language("\"", TAB, HEX, Some(BYTES)),
    // Rust's `Debug` and `escape_default`.
    language("\"", TAB, BRACED, None),
    language("\"'", TAB, BRACED, Some(UNICODE)),
    // JavaScript: Node's `inspect`.
    language("", SCRIPT, CAPITAL_HEX, None),
    language("'", SCRIPT, CAPITAL_HEX, None),
    language("\"'", SCRIPT, CAPITAL_HEX, None),
];

/// What languages make of a text, without the quotes around it.
pub(super) fn escaped(text: &str) -> BTreeSet<String> {
    LANGUAGES
        .iter()
        .map(|language| language.write(text))
        .collect()
}

impl Language {
    fn write(self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + 8);
        for c in text.chars() {
            let letter = self.letters.iter().find(|(from, _)| *from == c);
            match (letter, self.foreign) {
                (Some((_, letter)), _) => out.extend(['\\', *letter]),
                _ if c == '\\' || self.quotes.contains(c) => out.extend(['\\', c]),
                _ if c.is_ascii_control() => out.push_str(&(self.control)(u32::from(c))),
                (_, Some(foreign)) if !c.is_ascii() => out.push_str(&foreign(c)),
                _ => out.push(c),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_as_the_languages_do() {
        let text = "it's \"a\" \\ é\u{20ac}\u{1}\t";
        let forms = escaped(text);
        for form in [
            "it\\'s \"a\" \\\\ é€\\x01\\t",
            "it's \\\"a\\\" \\\\ é€\\u{1}\\t",
            "it\\'s \"a\" \\\\ \\xe9\\u20ac\\x01\\t",
            "it\\'s \"a\" \\\\ \\xc3\\xa9\\xe2\\x82\\xac\\x01\\t",
            &text.escape_default().to_string(),
            &format!("{text:?}")[1..format!("{text:?}").len() - 1],
        ] {
            assert!(forms.contains(form), "{form} is not in {forms:#?}");
        }
        assert_eq!(escaped("sk-abc_DEF-0123456789").len(), 1);
    }
}
