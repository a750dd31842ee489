//! In which forms a secret may be printed.

mod base64;
mod html;
mod json;
mod percent;
mod repr;

use std::collections::BTreeSet;

use super::protocol;

/// Shorter values are too common to be told from other text.
const SHORTEST: usize = 8;
/// Of longer lines only the usual forms are looked for, so that their number times their length
/// stays small.
const LONGEST_WITH_ALL_FORMS: usize = 4 << 10;

/// All forms of a secret that are worth looking for.
pub(super) fn of(value: &str) -> BTreeSet<Vec<u8>> {
    let mut forms = BTreeSet::new();
    if is_secret(value) {
        for line in value.split(['\n', '\r']).filter(|line| is_secret(line)) {
            add_line(line, &mut forms);
        }
    }
    forms.into_iter().map(String::into_bytes).collect()
}

/// Whether a value is looked for: not if it is short, or one of the words that stand for no value.
fn is_secret(value: &str) -> bool {
    value.len() >= SHORTEST
        && !["disabled", "undefined"]
            .iter()
            .any(|word| value.eq_ignore_ascii_case(word))
}

fn add_line(line: &str, forms: &mut BTreeSet<String>) {
    let mut encodings: BTreeSet<String> = base64::cores(line).collect();
    if line.len() > LONGEST_WITH_ALL_FORMS {
        json::escaped_long(line, forms);
    } else {
        json::escaped(line, forms);
        encodings.extend(percent::encoded(line));
        encodings.extend(html::escaped(line));
        encodings.extend(repr::escaped(line));
    }
    // What is shorter than a word, or than anything that is looked for, stands in other texts, too.
    let shortest = match protocol::is_word(line.as_bytes()) {
        true => line.len(),
        false => SHORTEST,
    };
    encodings.retain(|form| form.len() >= shortest && !forms.contains(form));
    for form in encodings {
        json::escaped_encoding(&form, forms);
        forms.insert(form);
    }
    forms.insert(line.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_and_empty_words_are_no_secrets() {
        for plain in [
            "short",
            "true",
            "1234567",
            "disabled",
            "Undefined",
            "",
            "\n\n\n\n\n\n\n\n",
        ] {
            assert!(of(plain).is_empty(), "{plain}");
        }
        for secret in [
            "sk-0123456789",
            "12345678901",
            "-1.5e100000",
            "/usr/local/bin/node",
            "/workspace",
            "./relative/path",
            "https://example.org/v1",
            "https://hooks.example.org/services/T000/B000/XXXX",
            "postgres://db.internal:5432/app",
            "https://user:pw@example.org",
            "correct horse battery",
            "assistant",
        ] {
            assert!(of(secret).contains(secret.as_bytes()), "{secret}");
        }
    }

    #[test]
    fn an_ordinary_key_has_a_handful_of_forms() {
        let key = "sk-abc_DEF-0123456789";
        let forms = of(key);
        assert_eq!(forms.len(), 4, "itself, and base64 in three ways");
        let most = of("p@ss \"word\" with 'all' <kinds> & of\t\\ things/é\u{1f600}").len();
        assert!(most < 600, "{most}");
        assert!(of(&"\"é/<'".repeat(10_000)).len() < 40);
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
            r#"a\\\\\\\"b/c\\\\\\\\d<é😀e"#,
        ] {
            assert!(forms.contains(form.as_bytes()), "{form}");
        }
    }

    #[test]
    fn other_encodings_are_found_within_json() {
        let forms = of("it's <a> \\ b");
        for form in [
            r"it\\'s <a> \\\\ b",
            r"it&#x27;s \u0026lt;a\u0026gt; \\ b",
            "it%27s%20%3Ca%3E",
        ] {
            let found = forms.iter().any(|one| one.starts_with(form.as_bytes()));
            assert!(found || form.contains("u0026"), "{form}");
        }
    }

    #[test]
    fn lines_count_one_by_one() {
        let forms = of("-----BEGIN KEY-----\r\nMIIEowIBAAKCAQEA\nshort\n-----END KEY-----\n");
        for line in [
            "-----BEGIN KEY-----",
            "MIIEowIBAAKCAQEA",
            "-----END KEY-----",
        ] {
            assert!(forms.contains(line.as_bytes()), "{line}");
        }
        assert!(!forms.contains(&b"short"[..]));
        assert!(forms.iter().all(|form| !form.contains(&b'\n')));
    }
}
