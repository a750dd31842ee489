//! Character references of HTML and XML.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// What one writer makes of the characters that it does not leave as they are.
struct Writer {
    /// What it replaces, and by what.
    named: &'static [(char, &'static str)],
    /// What it writes as a number.
    numbered: fn(char) -> bool,
    number: fn(u32) -> String,
}

const NONE: fn(char) -> bool = |_| false;
const MARKUP: fn(char) -> bool = |c| "<>&\"'".contains(c);
const MARKUP_AND_FOREIGN: fn(char) -> bool = |c| !c.is_ascii() || MARKUP(c);

const DECIMAL: fn(u32) -> String = |code| format!("&#{code};");
const HEX: fn(u32) -> String = |code| format!("&#x{code:x};");
const CAPITAL_HEX: fn(u32) -> String = |code| format!("&#x{code:X};");

macro_rules! named {
    ($($c:literal $reference:literal),*) => {
        &[('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;"), $(($c, $reference)),*]
    };
}

const fn by_name(named: &'static [(char, &'static str)]) -> Writer {
    Writer {
        named,
        numbered: NONE,
        number: DECIMAL,
    }
}

const fn by_number(numbered: fn(char) -> bool, number: fn(u32) -> String) -> Writer {
    Writer {
        named: &[],
        numbered,
        number,
    }
}

static WRITERS: &[Writer] = &[
    // Text between tags.
    by_name(named!()),
    // Attributes between double quotes, and with single ones, too: Python, PHP, lodash, Go, XML,
    // Mustache.
    by_name(named!('"' "&quot;")),
    by_name(named!('"' "&quot;", '\'' "&#x27;")),
    by_name(named!('"' "&quot;", '\'' "&#039;")),
    by_name(named!('"' "&quot;", '\'' "&#39;")),
    by_name(named!('"' "&#34;", '\'' "&#39;")),
    by_name(named!('"' "&quot;", '\'' "&apos;")),
    by_name(named!('"' "&quot;", '\'' "&#39;", '/' "&#x2F;", '`' "&#x60;", '=' "&#x3D;")),
    by_name(named!('"' "&quot;", '\'' "&#x27;", '/' "&#x2F;")),
    by_number(MARKUP, DECIMAL),
    by_number(MARKUP, HEX),
    by_number(MARKUP, CAPITAL_HEX),
    by_number(MARKUP_AND_FOREIGN, DECIMAL),
    by_number(MARKUP_AND_FOREIGN, HEX),
    Writer {
        named: named!('"' "&quot;"),
        numbered: |c| !c.is_ascii(),
        number: DECIMAL,
    },
];

/// What the writers that there are make of a text.
pub(super) fn escaped(text: &str) -> BTreeSet<String> {
    WRITERS.iter().map(|writer| writer.write(text)).collect()
}

impl Writer {
    fn write(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + 16);
        for c in text.chars() {
            if let Some((_, reference)) = self.named.iter().find(|(named, _)| *named == c) {
                out.push_str(reference);
            } else if (self.numbered)(c) {
                // Writing to a string does not fail.
                let _ = write!(out, "{}", (self.number)(u32::from(c)));
            } else {
                out.push(c);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_as_the_usual_writers_do() {
        let forms = escaped("a<b>&\"'/é");
        for form in [
            "a&lt;b&gt;&amp;\"'/é",
            "a&lt;b&gt;&amp;&quot;'/é",
            "a&lt;b&gt;&amp;&quot;&#x27;/é",
            "a&lt;b&gt;&amp;&#34;&#39;/é",
            "a&lt;b&gt;&amp;&quot;&#39;&#x2F;é",
            "a&#60;b&#62;&#38;&#34;&#39;/é",
            "a&#x3c;b&#x3e;&#x26;&#x22;&#x27;/é",
            "a&#60;b&#62;&#38;&#34;&#39;/&#233;",
        ] {
            assert!(forms.contains(form), "{form} is not in {forms:#?}");
        }
        assert_eq!(escaped("sk-abc_DEF-0123456789").len(), 1);
    }
}
