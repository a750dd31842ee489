//! Lines of JSON stay what they are.

use serde_json::{Value, json};

use super::*;

fn clean(redactor: &Redactor, line: &str) -> String {
    let all: Vec<usize> = (0..line.len()).collect();
    let clean = whole(redactor, line.as_bytes());
    assert_eq!(in_pieces(redactor, line.as_bytes(), &all), clean, "{line}");
    String::from_utf8(clean).unwrap()
}

/// The attack that made tool calls vanish from the events.
#[test]
fn words_of_the_protocol_stay_in_names_and_tags() {
    let line = |role: &str, kind: &str, text: &str| {
        json!({
            "type": "assistant",
            "message": {
                "role": role, "model": "claude-sonnet-4-6", "stop_reason": kind,
                "content": [{"type": kind, "id": "toolu_1", "name": "Bash", "input": {"production": text}}],
            },
            "assistant": null,
            "session_id": "x",
        })
    };
    for word in [
        "assistant",
        "tool_use",
        "production",
        "session_id",
        "claude-sonnet-4-6",
    ] {
        let redactor = Redactor::new([("ROLE", word)]);
        let text = format!("the {word} of {word}s");
        let hidden = "the [redacted:ROLE] of [redacted:ROLE]s";
        assert_eq!(
            clean(&redactor, &line("assistant", "tool_use", &text).to_string()),
            line("assistant", "tool_use", hidden).to_string(),
        );
    }
}

#[test]
fn what_is_no_word_is_hidden_in_names_and_tags() {
    let redactor = Redactor::new([("KEY", KEY), ("PASSWORD", "qnvkzjwhxbtrplmd")]);
    let line = format!(r#"{{"{KEY}":1,"type":"x {KEY}","id":"qnvkzjwhxbtrplmd","a":"{KEY}"}}"#);
    assert_eq!(
        clean(&redactor, &line),
        r#"{"[redacted:KEY]":1,"type":"x [redacted:KEY]","id":"[redacted:PASSWORD]","a":"[redacted:KEY]"}"#
    );
}

#[test]
fn a_tag_is_one_of_a_member_of_its_own() {
    let redactor = Redactor::new([("W", "assistant")]);
    for (line, wanted) in [
        (r#"{"type":["assistant"]}"#, r#"{"type":["[redacted:W]"]}"#),
        (
            r#"{"type":{"x":"assistant"}}"#,
            r#"{"type":{"x":"[redacted:W]"}}"#,
        ),
        (r#"["assistant"]"#, r#"["[redacted:W]"]"#),
        (
            r#"{"text":"{\"role\":\"assistant\"}"}"#,
            r#"{"text":"{\"role\":\"[redacted:W]\"}"}"#,
        ),
        (
            r#"{"a":"type","b":"assistant"}"#,
            r#"{"a":"type","b":"[redacted:W]"}"#,
        ),
    ] {
        assert_eq!(clean(&redactor, line), wanted);
    }
}

#[test]
fn other_lines_are_text() {
    let redactor = Redactor::new([("W", "assistant")]);
    for (text, wanted) in [
        ("role: assistant", "role: [redacted:W]"),
        ("[assistant] hi", "[[redacted:W]] hi"),
        (
            r#"data: {"type":"assistant"}"#,
            r#"data: {"type":"[redacted:W]"}"#,
        ),
        (r#""assistant""#, r#""[redacted:W]""#),
        // From where it breaks off.
        (
            r#"{"type":"assistant"} {"type":"assistant"}"#,
            r#"{"type":"assistant"} {"type":"[redacted:W]"}"#,
        ),
        (
            r#"{"a":1,,"type":"assistant"}"#,
            r#"{"a":1,,"type":"[redacted:W]"}"#,
        ),
        // Line by line.
        (
            "assistant\n{\"type\":\"assistant\"}\nassistant\n",
            "[redacted:W]\n{\"type\":\"assistant\"}\n[redacted:W]\n",
        ),
        (
            "{\"type\":\"x\nassistant\n",
            "{\"type\":\"x\n[redacted:W]\n",
        ),
    ] {
        assert_eq!(clean(&redactor, text), wanted);
    }
    let deep = format!("{}{}", "[".repeat(200_000), r#"{"type":"assistant"}"#);
    assert!(whole(&redactor, deep.as_bytes()).ends_with(br#"{"type":"[redacted:W]"}"#));
}

#[test]
fn numbers_and_whole_values_become_strings() {
    let file = r#"{"type":"account","key":"abc"}"#;
    let redactor = Redactor::new([
        ("PIN", "12345678"),
        ("FILE", file),
        ("QUOTED", "\"in quotes\""),
    ]);
    for (line, wanted) in [
        (
            r#"{"pin":12345678}"#.to_owned(),
            r#"{"pin":"[redacted:PIN]"}"#,
        ),
        (
            r#"{"at":1712345678901,"b":[12345678 ]}"#.to_owned(),
            r#"{"at":1712345678901,"b":["[redacted:PIN]" ]}"#,
        ),
        (
            r#"{"text":"x12345678.5"}"#.to_owned(),
            r#"{"text":"x[redacted:PIN].5"}"#,
        ),
        (
            format!(r#"{{"file":{file},"n":[{file}]}}"#),
            r#"{"file":"[redacted:FILE]","n":["[redacted:FILE]"]}"#,
        ),
        (file.to_owned(), r#""[redacted:FILE]""#),
        (
            r#"{"a":"in quotes"}"#.to_owned(),
            r#"{"a":"[redacted:QUOTED]"}"#,
        ),
    ] {
        assert_eq!(clean(&redactor, &line), wanted);
    }
}

/// A form may begin or end within an escape, or at a quote, by chance.
#[test]
fn characters_are_replaced_whole() {
    for (secret, line, wanted) in [
        (
            "nsecretxx",
            r#"{"a":"x\nsecretxx y"}"#,
            r#"{"a":"x[redacted:S] y"}"#,
        ),
        (
            "abcdefgh\\",
            r#"{"a":"abcdefgh\"y"}"#,
            r#"{"a":"[redacted:S]y"}"#,
        ),
        (
            "abcdefgh\\",
            r#"{"a":"abcdefgh\u00e9y"}"#,
            r#"{"a":"[redacted:S]y"}"#,
        ),
        (
            "abcdefgh\\u00",
            r#"{"a":"abcdefgh\u00e9y"}"#,
            r#"{"a":"[redacted:S]y"}"#,
        ),
        (
            r"abcdefg\ud83d",
            r#"{"a":"abcdefg\ud83d\ude00y"}"#,
            r#"{"a":"[redacted:S]y"}"#,
        ),
        (
            r"ude00abcdefg",
            r#"{"a":"x\ud83d\ude00abcdefgy"}"#,
            r#"{"a":"x[redacted:S]y"}"#,
        ),
        (
            "00e9abcd",
            r#"{"a":"x\u00e9abcd"}"#,
            r#"{"a":"x[redacted:S]"}"#,
        ),
        (
            "password\"",
            r#"{"a":"my password","b":1}"#,
            r#"{"a":"my [redacted:S]","b":1}"#,
        ),
        (
            "ab\",\"cde\":\"fg",
            r#"{"a":"xab","cde":"fgh"}"#,
            r#"{"a":"x[redacted:S]","[redacted:S]":"[redacted:S]h"}"#,
        ),
        (
            "secret words",
            "{\"a\":1} secret words",
            "{\"a\":1} [redacted:S]",
        ),
        (
            "1} secret",
            "{\"a\":1} secret words",
            "{\"a\":[redacted:S] words",
        ),
    ] {
        let redactor = Redactor::new([("S", secret)]);
        assert_eq!(clean(&redactor, line), wanted, "{secret}");
    }
    // An escape that never ends does not take the next line with it.
    let redactor = Redactor::new([("S", "abcdefgh\\")]);
    assert_eq!(clean(&redactor, "[\"abcdefgh\\\nx"), "[\"[redacted:S]\nx");
}

/// Any JSON whose strings hold some of the secrets.
fn any_json(secrets: Vec<String>) -> impl Strategy<Value = Value> {
    let text = || {
        let secrets = secrets.clone();
        (any::<prop::sample::Index>(), "[a\"\\\\é/<\n]{0,6}", 0_u8..4).prop_map(
            move |(pick, noise, how)| {
                let secret = &secrets[pick.index(secrets.len())];
                match how {
                    0 => noise,
                    1 => format!("{noise}{secret}{noise}"),
                    2 => format!("{noise}{}", json!({ "inner": [secret] })),
                    _ => secret.clone(),
                }
            },
        )
    };
    let name = prop_oneof![
        Just("type".to_owned()),
        Just("role".to_owned()),
        "[a-z]{1,7}",
        text()
    ];
    let leaf = prop_oneof![
        text().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        Just(Value::Null)
    ];
    leaf.prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            proptest::collection::btree_map(name.clone(), inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Holds two values against each other: the same structure, and every string as it should be.
fn compare(before: &Value, after: &Value, secrets: &[String]) -> Result<(), TestCaseError> {
    let mut open = vec![(before, after, false)];
    while let Some((before, after, is_tag)) = open.pop() {
        match (before, after) {
            (Value::Object(before), Value::Object(after)) => {
                // Two names may have become one.
                let names = |members: &serde_json::Map<String, Value>| -> Vec<String> {
                    members.keys().cloned().collect()
                };
                let with_secret = names(before)
                    .iter()
                    .any(|name| has_secret(name, secrets, false));
                if !with_secret {
                    prop_assert_eq!(names(before), names(after));
                    for (name, value) in before {
                        let is_tag = matches!(name.as_str(), "type" | "role" | "op" | "id");
                        open.push((value, &after[name], is_tag));
                    }
                }
                for name in names(after) {
                    prop_assert!(!has_secret(&name, secrets, false), "{}", name);
                }
            }
            (Value::Array(before), Value::Array(after)) => {
                prop_assert_eq!(before.len(), after.len());
                open.extend(
                    before
                        .iter()
                        .zip(after)
                        .map(|(before, after)| (before, after, false)),
                );
            }
            (Value::String(before), Value::String(after)) => {
                prop_assert!(
                    !has_secret(after, secrets, !is_tag),
                    "{} in {}",
                    after,
                    before
                );
                if !has_secret(before, secrets, true) {
                    prop_assert!(before == after, "{} became {}", before, after);
                }
            }
            (before, after) => prop_assert_eq!(before, after),
        }
    }
    Ok(())
}

fn has_secret(text: &str, secrets: &[String], with_words: bool) -> bool {
    secrets
        .iter()
        .filter(|secret| with_words || !protocol::is_name(secret.as_bytes()))
        .any(|secret| {
            let within = json!(secret).to_string();
            text.contains(secret.as_str()) || text.contains(&within[1..within.len() - 1])
        })
}

fn secrets() -> impl Strategy<Value = Vec<String>> {
    let secret = prop_oneof![
        Just("assistant".to_owned()),
        Just("tool_use".to_owned()),
        Just("content".to_owned() + "_block"),
        // Characters that JSON escapes, and none of its structure.
        "[A-Z0-9é/<\\\\]{8,14}",
    ];
    proptest::collection::vec(secret, 1..5)
}

proptest! {
    #[test]
    fn json_stays_json_and_gives_nothing_away(
        (secrets, value) in secrets().prop_flat_map(|secrets| {
            (Just(secrets.clone()), any_json(secrets))
        }),
        cuts in proptest::collection::vec(0_usize..2000, 0..20),
    ) {
        let names: Vec<String> = (0..secrets.len()).map(|n| format!("S{n}")).collect();
        let redactor = Redactor::new(names.iter().zip(&secrets).map(|(n, s)| (n.as_str(), s.as_str())));
        let line = value.to_string();
        let clean = whole(&redactor, line.as_bytes());
        prop_assert_eq!(&in_pieces(&redactor, line.as_bytes(), &cuts), &clean);
        if line.starts_with(['{', '[']) {
            let after: Value = serde_json::from_slice(&clean)
                .map_err(|error| TestCaseError::fail(format!("{error}: {}", String::from_utf8_lossy(&clean))))?;
            compare(&value, &after, &secrets)?;
        }
    }

    /// Secrets made of JSON's own characters: no occurrence makes a line invalid.
    #[test]
    fn json_stays_json_whatever_the_secrets_are(
        secrets in proptest::collection::vec("[a\"\\\\un0:,{}\\[\\]]{8,10}", 1..20),
        text in "[a\"\\\\un0:,{}\\[\\]]{0,60}",
        number in any::<u32>(),
        cuts in proptest::collection::vec(0_usize..400, 0..20),
    ) {
        let redactor = Redactor::new(secrets.iter().map(|secret| ("S", secret.as_str())));
        let all = secrets.concat();
        let line = json!({ (text.clone()): [text, number, {"type": all, "a": secrets[0]}] }).to_string();
        let clean = whole(&redactor, line.as_bytes());
        prop_assert_eq!(&in_pieces(&redactor, line.as_bytes(), &cuts), &clean);
        let valid = serde_json::from_slice::<Value>(&clean).is_ok();
        prop_assert!(valid, "{} became {}", line, String::from_utf8_lossy(&clean));
    }

    #[test]
    fn pieces_of_anything_like_json_are_as_good_as_the_whole(
        secrets in proptest::collection::vec("[ab\"\\\\un0:]{8,9}|assistant", 1..20),
        parts in proptest::collection::vec("[{}\\[\\],:]|\"|\\\\|\"type\":|\"assistant\"|[ab0un\n]{1,9}", 0..40),
        pick in any::<prop::sample::Index>(),
        cuts in proptest::collection::vec(0_usize..400, 0..20),
    ) {
        let redactor = Redactor::new(secrets.iter().map(|secret| ("S", secret.as_str())));
        let mut parts = parts;
        parts.insert(pick.index(parts.len() + 1), pick.get(&secrets).clone());
        let text = format!("{{{}", parts.concat());
        let clean = whole(&redactor, text.as_bytes());
        prop_assert_eq!(&in_pieces(&redactor, text.as_bytes(), &cuts), &clean);
    }
}
