//! Escapes of JSON, also of JSON within JSON.

use std::collections::BTreeSet;

/// What the writers that there are make of a text: once, twice and three times over.
pub(super) fn escaped(text: &str, forms: &mut BTreeSet<String>) {
    let once = every_way(text);
    // The outer writer sees ASCII or the same text again.
    let twice = outer(&once);
    forms.extend(outer(&twice));
    forms.extend(twice);
    forms.extend(once);
}

/// The same for a long text, of which only the usual writers' forms are looked for.
pub(super) fn escaped_long(text: &str, forms: &mut BTreeSet<String>) {
    let mut form = text.to_owned();
    for _ in 0..3 {
        form = Escaping::MINIMAL.apply(&form);
        forms.insert(form.clone());
    }
    for escaping in [Escaping::SLASHES, Escaping::ASCII] {
        forms.insert(escaping.apply(text));
    }
}

/// What becomes of another encoding's form that is printed as JSON: once and twice over.
pub(super) fn escaped_encoding(form: &str, forms: &mut BTreeSet<String>) {
    let once = [Escaping::MINIMAL, Escaping::SLASHES, Escaping::MARKUP].map(|way| way.apply(form));
    forms.insert(Escaping::MINIMAL.apply(&once[0]));
    forms.extend(once);
}

fn outer(inner: &BTreeSet<String>) -> BTreeSet<String> {
    let ways = [Escaping::MINIMAL, Escaping::SLASHES, Escaping::ASCII];
    let each = |text| ways.map(|way| way.apply(text));
    inner.iter().flat_map(|text| each(text)).collect()
}

fn every_way(text: &str) -> BTreeSet<String> {
    (0_u8..32)
        .map(|bits| {
            let escaping = Escaping {
                slashes: bits & 1 != 0,
                ascii: bits & 2 != 0,
                markup: bits & 4 != 0,
                long: bits & 8 != 0,
                capitals: bits & 16 != 0,
            };
            escaping.apply(text)
        })
        .collect()
}

/// How a JSON writer may escape what it need not, or may write in several ways.
#[derive(Clone, Copy)]
struct Escaping {
    /// `/` as `\/`.
    slashes: bool,
    /// Characters beyond ASCII as `\u….`
    ascii: bool,
    /// `<`, `>`, `&` and `'` as `\u….`
    markup: bool,
    /// Control characters always as `\u….`
    long: bool,
    /// Hexadecimal digits in capitals.
    capitals: bool,
}

impl Escaping {
    const MINIMAL: Self = Self {
        slashes: false,
        ascii: false,
        markup: false,
        long: false,
        capitals: false,
    };
    const SLASHES: Self = Self {
        slashes: true,
        ..Self::MINIMAL
    };
    const ASCII: Self = Self {
        ascii: true,
        ..Self::MINIMAL
    };
    const MARKUP: Self = Self {
        markup: true,
        ..Self::MINIMAL
    };

    fn apply(self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + 8);
        for c in text.chars() {
            let short = match c {
                '"' => Some("\\\""),
                '\\' => Some("\\\\"),
                '/' if self.slashes => Some("\\/"),
                '\t' if !self.long => Some("\\t"),
                '\u{8}' if !self.long => Some("\\b"),
                '\u{c}' if !self.long => Some("\\f"),
                _ => None,
            };
            let must = c < ' '
                || (self.ascii && (!c.is_ascii() || c == '\u{7f}'))
                || (self.markup && "<>&'".contains(c));
            match short {
                Some(short) => out.push_str(short),
                None if must => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        out.push_str(&if self.capitals {
                            format!("\\u{unit:04X}")
                        } else {
                            format!("\\u{unit:04x}")
                        });
                    }
                }
                None => out.push(c),
            }
        }
        out
    }
}
