use proptest::prelude::*;

use super::*;

const KEY: &str = "sk-proj-AbCdEf0123456789";

fn whole(redactor: &Redactor, text: &[u8]) -> Vec<u8> {
    redactor.redact(text).into_owned()
}

fn in_pieces(redactor: &Redactor, text: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
    cuts.push(text.len());
    cuts.sort_unstable();
    let mut stream = redactor.stream();
    let (mut out, mut from) = (Vec::new(), 0);
    for cut in cuts {
        stream.push(&text[from..cut], &mut out);
        from = cut;
    }
    stream.finish(&mut out);
    out
}

fn holds(text: &[u8], secret: &str) -> bool {
    memchr::memmem::find(text, secret.as_bytes()).is_some()
}

#[test]
fn every_cut_through_a_secret() {
    let redactor = Redactor::new([("KEY", KEY)]);
    let text = format!("a {KEY}{KEY} sk-proj-AbC é {KEY}").into_bytes();
    let clean = "a [redacted:KEY][redacted:KEY] sk-proj-AbC é [redacted:KEY]".as_bytes();
    for first in 0..=text.len() {
        for second in first..=text.len() {
            assert_eq!(in_pieces(&redactor, &text, &[first, second]), clean);
        }
    }
    let all: Vec<usize> = (0..text.len()).collect();
    assert_eq!(in_pieces(&redactor, &text, &all), clean);
}

#[test]
fn the_longest_wins_also_when_it_comes_late() {
    let redactor = Redactor::new([("SHORT", "abcdefgh"), ("LONG", "abcdefghijkl")]);
    let all: Vec<usize> = (0..40).collect();
    for (text, clean) in [
        ("xabcdefghijklx", "x[redacted:LONG]x"),
        ("xabcdefghijkx", "x[redacted:SHORT]ijkx"),
        ("abcdefgh", "[redacted:SHORT]"),
    ] {
        assert_eq!(whole(&redactor, text.as_bytes()), clean.as_bytes());
        assert_eq!(
            in_pieces(&redactor, text.as_bytes(), &all),
            clean.as_bytes()
        );
    }
}

#[test]
fn json_in_json() {
    let secret = "pass\"word\\with/slash é\tand tab";
    let redactor = Redactor::new([("P", secret)]);
    let once = serde_json::to_string(&serde_json::json!({ "v": secret })).unwrap();
    let twice = serde_json::to_string(&serde_json::json!({ "inner": once })).unwrap();
    assert_eq!(
        whole(&redactor, once.as_bytes()),
        br#"{"v":"[redacted:P]"}"#
    );
    assert_eq!(
        whole(&redactor, twice.as_bytes()),
        br#"{"inner":"{\"v\":\"[redacted:P]\"}"}"#
    );
    let mut value = serde_json::json!({ "a": [format!("x{secret}")], (secret): 1 });
    redactor.redact_json(&mut value);
    assert_eq!(
        value,
        serde_json::json!({ "a": ["x[redacted:P]"], "[redacted:P]": 1 })
    );
}

#[test]
fn several_lines() {
    let secret = "-----BEGIN KEY-----\nMIIEowIBAAKCAQEA\n-----END KEY-----";
    let redactor = Redactor::new([("PEM", secret)]);
    let clean = "[redacted:PEM]\n[redacted:PEM]\n[redacted:PEM]";
    assert_eq!(whole(&redactor, secret.as_bytes()), clean.as_bytes());
    let json = serde_json::to_string(secret).unwrap();
    let clean = r#""[redacted:PEM]\n[redacted:PEM]\n[redacted:PEM]""#;
    assert_eq!(whole(&redactor, json.as_bytes()), clean.as_bytes());
}

#[test]
fn nothing_to_redact_borrows_and_holds_nothing_but_characters() {
    let redactor = Redactor::new([("T", "true"), ("N", "1234567890123")]);
    assert!(redactor.is_empty());
    assert!(matches!(
        redactor.redact(b"true 1234567890123"),
        Cow::Borrowed(_)
    ));
    let mut out = Vec::new();
    assert_eq!(
        redactor.redact_partial("ab\u{20ac}".as_bytes()[..4].as_ref(), &mut out),
        2
    );
    assert_eq!(redactor.redact_partial(b"ab\xff", &mut out), 3);
    assert_eq!(out, b"abab\xff");
}

#[test]
fn debug_output_has_no_values() {
    let redactor = Redactor::new([("KEY", KEY)]);
    let mut stream = redactor.stream();
    stream.push(&KEY.as_bytes()[..9], &mut Vec::new());
    assert!(!holds(format!("{redactor:?} {stream:?}").as_bytes(), "sk-"));
}

proptest! {
    #[test]
    fn pieces_are_as_good_as_the_whole(
        // A small alphabet makes forms overlap and nest.
        secrets in proptest::collection::vec("[ab\"é][ab\"/é]{7,11}", 1..50),
        noise in proptest::collection::vec("[ab\"/é]{0,20}", 1..20),
        picks in proptest::collection::vec(any::<prop::sample::Index>(), 1..20),
        cuts in proptest::collection::vec(0_usize..2000, 0..30),
    ) {
        let names: Vec<String> = (0..secrets.len()).map(|n| format!("S{n}")).collect();
        let redactor = Redactor::new(names.iter().zip(&secrets).map(|(n, s)| (n.as_str(), s.as_str())));
        let mut text = String::new();
        for (pick, noise) in picks.iter().zip(noise.iter().cycle()) {
            text.push_str(noise);
            let secret = &secrets[pick.index(secrets.len())];
            text.push_str(&serde_json::to_string(secret).unwrap());
            text.push_str(secret);
        }
        let clean = whole(&redactor, text.as_bytes());
        prop_assert_eq!(&in_pieces(&redactor, text.as_bytes(), &cuts), &clean);
        prop_assert!(std::str::from_utf8(&clean).is_ok());
        for secret in &secrets {
            prop_assert!(!holds(&clean, secret), "{} in {}", secret, String::from_utf8_lossy(&clean));
        }
    }

    #[test]
    fn bytes_of_any_kind_pass_through_pieces(
        text in proptest::collection::vec(any::<u8>(), 0..200),
        cuts in proptest::collection::vec(0_usize..200, 0..10),
    ) {
        let redactor = Redactor::new([("KEY", KEY)]);
        prop_assert_eq!(in_pieces(&redactor, &text, &cuts), text);
    }
}
