//! Secrets in output that is cut anywhere: what comes out does not depend on the cuts, text stays
//! text, lines of JSON stay JSON, and where nothing was found nothing is changed.

#![no_main]

use aod_supervisor::Redactor;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Case<'a> {
    secrets: Vec<&'a str>,
    output: Vec<Piece<'a>>,
}

#[derive(Arbitrary, Debug)]
enum Piece<'a> {
    Bytes(&'a [u8]),
    Secret(u8),
    AsJson(u8),
    /// A member of an object, open or to be opened, with a tag's name or another.
    Member(bool, u8),
    /// A structural character of JSON.
    Structure(u8),
    /// The output arrives in two pieces here.
    Cut,
}

fn is_newline(byte: &u8) -> bool {
    *byte == b'\n'
}

fuzz_target!(|case: Case<'_>| {
    let names: Vec<String> = (0..case.secrets.len()).map(|n| format!("S{n}")).collect();
    let secrets = names.iter().map(String::as_str);
    let redactor = Redactor::new(secrets.zip(case.secrets.iter().copied()));
    let secret = |n: u8| {
        let count = case.secrets.len().max(1);
        let found = case.secrets.get(usize::from(n) % count);
        found.copied().unwrap_or_default()
    };

    let mut pieces = vec![Vec::new()];
    for piece in &case.output {
        let json;
        let bytes = match piece {
            Piece::Cut => {
                pieces.push(Vec::new());
                continue;
            }
            Piece::Bytes(bytes) => bytes,
            Piece::Member(is_tag, n) => {
                let name = if *is_tag { "type" } else { "text" };
                let text = serde_json::to_string(secret(*n)).expect("text is JSON");
                json = format!("\"{name}\":{text},").into_bytes();
                json.as_slice()
            }
            Piece::Structure(n) => {
                let all = b"{}[],:\"\\\n";
                let at = usize::from(*n) % all.len();
                &all[at..=at]
            }
            Piece::Secret(n) => secret(*n).as_bytes(),
            Piece::AsJson(n) => {
                json = serde_json::to_vec(secret(*n)).expect("text is JSON");
                json.as_slice()
            }
        };
        if let Some(last) = pieces.last_mut() {
            last.extend_from_slice(bytes);
        }
    }

    let output = pieces.concat();
    let whole = redactor.redact(&output);
    let mut streamed = Vec::new();
    let mut stream = redactor.stream();
    for piece in &pieces {
        stream.push(piece, &mut streamed);
    }
    stream.finish(&mut streamed);
    assert_eq!(streamed, *whole);
    let is_json = |line: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok();
    for (line, clean) in output.split(is_newline).zip(whole.split(is_newline)) {
        let begins = line.trim_ascii_start().first();
        if matches!(begins, Some(b'{' | b'[')) && is_json(line) {
            assert!(is_json(clean), "{}", String::from_utf8_lossy(clean));
        }
    }
    if redactor.is_empty() {
        assert_eq!(*whole, *output);
    }
    if std::str::from_utf8(&output).is_ok() {
        assert!(std::str::from_utf8(&whole).is_ok());
    }
});
