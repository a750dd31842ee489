//! In which forms a secret may be printed.

use std::collections::BTreeSet;

/// Shorter values are too common to be told from other text.
const SHORTEST: usize = 8;

/// All forms of a secret that are worth looking for.
pub(super) fn of(value: &str) -> BTreeSet<Vec<u8>> {
    let mut forms = BTreeSet::new();
    if !is_secret(value) {
        return forms;
    }
    for line in value.split(['\n', '\r']).filter(|line| is_secret(line)) {
        let escaped = escapings(line);
        for once in &escaped {
            // JSON in JSON: the outer writer sees ASCII or the same text again.
            for outer in [Escaping::MINIMAL, Escaping::SLASHES, Escaping::ASCII] {
                forms.insert(outer.apply(once).into_bytes());
            }
        }
        forms.extend(escaped.into_iter().map(String::into_bytes));
        forms.insert(line.as_bytes().to_vec());
    }
    forms
}

/// Whether a value is one that must not be seen. What is not: short words, truth values, numbers,
/// paths, and URLs that carry no credentials.
fn is_secret(value: &str) -> bool {
    value.len() >= SHORTEST
        && !matches!(
            value.to_ascii_lowercase().as_str(),
            "disabled" | "undefined"
        )
        && value.parse::<f64>().is_err()
        && !is_plain_url(value)
        && !is_path(value)
}

fn is_plain_url(value: &str) -> bool {
    let Some((scheme, rest)) = value.split_once("://") else {
        return false;
    };
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    // Userinfo, and keys in a query, are credentials.
    is_scheme && !rest.contains(|c: char| "@?#".contains(c) || c.is_whitespace() || c.is_control())
}

fn is_path(value: &str) -> bool {
    let begins = ["/", "./", "../", "~/"]
        .iter()
        .any(|start| value.starts_with(start));
    begins
        && value.split('/').all(|part| {
            part.chars()
                .all(|c| c.is_alphanumeric() || "._-@+ ".contains(c))
                && !is_random(part)
        })
}

/// Base64 may begin with a slash: a long part with all kinds of characters is no file's name.
fn is_random(part: &str) -> bool {
    part.len() >= 20
        && part.contains(|c: char| c.is_ascii_uppercase())
        && part.contains(|c: char| c.is_ascii_lowercase())
        && part.contains(|c: char| c.is_ascii_digit())
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

fn escapings(text: &str) -> BTreeSet<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_secrets_from_settings() {
        for plain in [
            "short",
            "12345678901",
            "-1.5e100000",
            "disabled",
            "/usr/local/bin/node",
            "/workspace",
            "./relative/path",
            "https://example.org/v1",
            "postgres://db.internal:5432/app",
        ] {
            assert!(of(plain).is_empty(), "{plain}");
        }
        for secret in [
            "sk-0123456789",
            "https://user:pw@example.org",
            "https://example.org/?key=abcdef",
            "/9j4AAQSkZJRgABAQEAYABgAAD",
            "correct horse battery",
        ] {
            assert!(of(secret).contains(secret.as_bytes()), "{secret}");
        }
    }

    #[test]
    fn an_ordinary_key_has_one_form() {
        assert_eq!(of("sk-abc_DEF-0123456789").len(), 1);
    }

    #[test]
    fn escapes_as_json_writers_do() {
        let forms = of("a\"b/c\\d<é\u{1F600}e");
        for form in [
            r#"a\"b/c\\d<é😀e"#,
            r#"a\"b\/c\\d<é😀e"#,
            r#"a\"b/c\\d<\u00e9\ud83d\ude00e"#,
            r#"a\"b/c\\d\u003C\u00E9\uD83D\uDE00e"#,
            r#"a\\\"b/c\\\\d<é😀e"#,
            r#"a\\\"b/c\\\\d<\\u00e9\\ud83d\\ude00e"#,
        ] {
            assert!(forms.contains(form.as_bytes()), "{form}");
        }
    }

    #[test]
    fn lines_count_one_by_one() {
        let forms = of("-----BEGIN KEY-----\r\nMIIEowIBAAKCAQEA\nshort\n-----END KEY-----\n");
        assert_eq!(forms.len(), 3);
        assert!(forms.iter().all(|form| !form.contains(&b'\n')));
    }
}
