mod json_lines;

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
fn a_secret_may_be_added() {
    let none = Redactor::new([]);
    let both = none.and("OLD", "old-value-1").and("NEW", "new-value-2");
    let text = b"old-value-1 new-value-2";
    assert_eq!(whole(&both, text), b"[redacted:OLD] [redacted:NEW]");
    // One that is there keeps its name.
    let again = both.and("OTHER", "new-value-2");
    assert_eq!(whole(&again, text), b"[redacted:OLD] [redacted:NEW]");
    assert!(none.and("SHORT", "x").is_empty());
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
    let thrice = serde_json::to_string(&twice).unwrap();
    assert!(!String::from_utf8_lossy(&whole(&redactor, thrice.as_bytes())).contains("slash"));
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
    let redactor = Redactor::new([("T", "true"), ("N", "1234567"), ("E", "")]);
    assert!(redactor.is_empty());
    assert!(matches!(redactor.redact(b"true 1234567"), Cow::Borrowed(_)));
    let mut out = Vec::new();
    let mut partial = |text: &[u8]| {
        let mut position = LinePosition::default();
        redactor.redact_partial(&mut position, text, &mut out)
    };
    assert_eq!(partial(&"ab\u{20ac}".as_bytes()[..4]), 2);
    assert_eq!(partial(b"ab\xff"), 3);
    assert_eq!(out, b"abab\xff");
}

/// What looked like a setting to the attack that got it printed.
#[test]
fn a_secret_is_one_whatever_it_looks_like() {
    for secret in [
        "https://hooks.example.org/services/T00000000/B00000000/XXXXXXXXXXXX",
        "http://127.0.0.1:8080",
        "/home/agent/.secret",
        "1234567890",
        "1e10000000",
        "production",
    ] {
        let redactor = Redactor::new([("S", secret)]);
        let text = format!("it is {secret}, see");
        assert_eq!(
            whole(&redactor, text.as_bytes()),
            b"it is [redacted:S], see",
            "{secret}"
        );
    }
}

#[test]
fn a_secret_is_found_in_common_encodings() {
    use base64::Engine as _;
    let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let key = "sk-0123-\"quoted\"&'<x>/y+z\\ 9";
    let redactor = Redactor::new([("S", key)]);
    let once = serde_json::to_string(key).unwrap();
    let twice = serde_json::to_string(&once).unwrap();
    let thrice = serde_json::to_string(&twice).unwrap();
    let repr = format!("{key:?}");
    for text in [
        base64(key),
        base64(&format!("user:{key}")),
        format!("Basic {}", base64(&format!("me:{key}@x"))),
        "sk-0123-%22quoted%22%26%27%3Cx%3E%2Fy%2Bz%5C%209".to_owned(),
        "sk-0123-%22quoted%22%26%27%3cx%3e%2fy%2bz%5c+9".to_owned(),
        "sk-0123-&quot;quoted&quot;&amp;&#x27;&lt;x&gt;/y+z\\ 9".to_owned(),
        "sk-0123-&#34;quoted&#34;&amp;&#39;&lt;x&gt;/y+z\\ 9".to_owned(),
        "'sk-0123-\"quoted\"&\\'<x>/y+z\\\\ 9'".to_owned(),
        repr.clone(),
        serde_json::to_string(&repr).unwrap(),
        once,
        twice,
        thrice.clone(),
    ] {
        // Three times over is as deep as it goes, this line included.
        let within = match text == thrice {
            true => text.clone(),
            false => serde_json::json!({ "content": text }).to_string(),
        };
        for line in [text, within] {
            let clean = String::from_utf8(whole(&redactor, line.as_bytes())).unwrap();
            assert!(clean.contains("[redacted:S]"), "{line}");
            assert!(!clean.contains("quoted"), "{clean}");
        }
    }
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
        secrets in proptest::collection::vec("[ab\"é][ab\"/é]{7,11}", 1..12),
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
