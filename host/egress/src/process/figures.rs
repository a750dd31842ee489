//! Reading figures out of JSON that passes by, in little memory and whatever it is: nothing of it is
//! kept but the figures.

use std::sync::Arc;

use aod_egress::{MAX_USAGE_DEPTH, UsageFields};
use aod_launch::TokenCounts;
use memchr::memchr2;

/// A longer key is none of a field's.
const MAX_KEY: usize = 64;

/// Reads JSON values, one after the other, in pieces of any size. Figures of one value count once it
/// is over, so that they fit together; of several values the largest ones count, as those of a
/// stream of answers grow.
///
/// A list of values counts as the values in it.
#[derive(Debug)]
pub(super) struct Figures {
    fields: Arc<UsageFields>,
    /// What was read until now.
    counts: TokenCounts,
    /// What the current value has.
    current: TokenCounts,
    at: At,
    /// How many objects and lists are open.
    depth: u32,
    /// Whether the outermost is a list: what is in it counts as outermost.
    in_list: bool,
    /// Whether each of the outer ones is an object.
    objects: [bool; LEVELS],
    /// The fields whose keys lead into each of them.
    inside: [u64; LEVELS],
    /// The fields whose keys lead to the value that comes.
    here: u64,
    key: [u8; MAX_KEY],
    key_length: usize,
    number: Option<u64>,
}

/// Of what is open, so much is told apart; nothing that is deeper is a field.
const LEVELS: usize = MAX_USAGE_DEPTH + 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Between what means something.
    Between,
    /// In front of an object's key.
    BeforeKey,
    Key,
    Text,
    /// Behind a backslash in a text, or in a key.
    Escape {
        in_key: bool,
    },
    Number,
}

impl Figures {
    pub(super) fn new(fields: Arc<UsageFields>) -> Self {
        Self {
            here: all(&fields),
            fields,
            counts: TokenCounts::default(),
            current: TokenCounts::default(),
            at: At::Between,
            depth: 0,
            in_list: false,
            objects: [false; LEVELS],
            inside: [0; LEVELS],
            key: [0; MAX_KEY],
            key_length: 0,
            number: None,
        }
    }

    /// The figures until now.
    pub(super) const fn counts(&self) -> TokenCounts {
        self.counts
    }

    /// What comes now has nothing to do with what was there.
    pub(super) fn begin_anew(&mut self) {
        self.end_number();
        (self.at, self.depth, self.in_list) = (At::Between, 0, false);
        self.here = all(&self.fields);
        self.current = TokenCounts::default();
    }

    pub(super) fn take(&mut self, mut bytes: &[u8]) {
        while let Some(&byte) = bytes.first() {
            if self.at == At::Text {
                // Most of an answer is text.
                let Some(end) = memchr2(b'"', b'\\', bytes) else {
                    return;
                };
                self.at = match bytes[end] {
                    b'"' => At::Between,
                    _ => At::Escape { in_key: false },
                };
                bytes = &bytes[end + 1..];
                continue;
            }
            self.step(byte);
            bytes = &bytes[1..];
        }
    }

    fn step(&mut self, byte: u8) {
        match self.at {
            At::Key => match byte {
                b'"' => {
                    self.at = At::Between;
                    self.here = self.led_to();
                }
                b'\\' => self.at = At::Escape { in_key: true },
                _ => self.add_to_key(byte),
            },
            At::Escape { in_key } => {
                // No field's key has any: this one is made too long to be one.
                self.key_length = MAX_KEY + 1;
                self.at = if in_key { At::Key } else { At::Text };
            }
            At::Number if byte.is_ascii_digit() => {
                let digit = u64::from(byte - b'0');
                let number = self.number.and_then(|it| it.checked_mul(10));
                self.number = number.and_then(|it| it.checked_add(digit));
            }
            // A fraction, or a power: no number of tokens.
            At::Number if matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-') => self.number = None,
            At::Number => {
                self.end_number();
                self.structure(byte);
            }
            At::Between | At::BeforeKey | At::Text => self.structure(byte),
        }
    }

    /// What stands outside of texts and numbers.
    fn structure(&mut self, byte: u8) {
        match byte {
            b'{' | b'[' => self.open(byte == b'{'),
            b'}' | b']' => self.close(),
            b'"' if self.at == At::BeforeKey => {
                self.at = At::Key;
                self.key_length = 0;
            }
            b'"' => self.at = At::Text,
            b'0'..=b'9' => {
                self.at = At::Number;
                self.number = Some(u64::from(byte - b'0'));
            }
            b'-' => {
                self.at = At::Number;
                self.number = None;
            }
            b',' => self.next(),
            _ => {}
        }
    }

    /// The innermost of what is open, where that is told apart.
    fn level(&self) -> Option<usize> {
        let level = usize::try_from(self.depth).ok()?.checked_sub(1)?;
        (level < LEVELS).then_some(level)
    }

    fn open(&mut self, is_object: bool) {
        let leads = match (is_object, self.depth) {
            (true, _) => self.here,
            (false, 0) => {
                self.in_list = true;
                self.here
            }
            (false, _) => 0,
        };
        self.depth = self.depth.saturating_add(1);
        if let Some(level) = self.level() {
            self.objects[level] = is_object;
            self.inside[level] = leads;
        }
        self.here = if is_object { 0 } else { leads };
        let is_told_apart = self.level().is_some();
        self.at = match is_object && is_told_apart {
            true => At::BeforeKey,
            false => At::Between,
        };
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        (self.here, self.at) = (0, At::Between);
        let is_value_over = self.depth == 0 || (self.depth == 1 && self.in_list);
        if is_value_over {
            self.end_value();
        }
        if self.depth == 0 {
            self.in_list = false;
            self.here = all(&self.fields);
        }
    }

    /// Behind a comma.
    fn next(&mut self) {
        (self.here, self.at) = match self.level() {
            Some(level) if self.objects[level] => (0, At::BeforeKey),
            Some(level) => (self.inside[level], At::Between),
            None => (0, At::Between),
        };
    }

    fn add_to_key(&mut self, byte: u8) {
        if let Some(place) = self.key.get_mut(self.key_length) {
            *place = byte;
        }
        self.key_length = self.key_length.saturating_add(1);
    }

    /// How many keys have led into the innermost object.
    fn keys(&self) -> Option<usize> {
        self.level()?.checked_sub(usize::from(self.in_list))
    }

    /// The fields that the current key leads to, or towards.
    fn led_to(&self) -> u64 {
        let place = self.level().zip(self.keys());
        let (Some((level, keys)), Some(key)) = (place, self.key.get(..self.key_length)) else {
            return 0;
        };
        let inside = self.inside[level];
        let fields = self.fields.iter().enumerate();
        let led = fields.filter(|(number, field)| {
            let wanted = field.path.get(keys).map(String::as_bytes);
            inside & (1 << number) != 0 && wanted == Some(key)
        });
        led.fold(0, |led, (number, _)| led | 1 << number)
    }

    fn end_number(&mut self) {
        let number = std::mem::take(&mut self.number);
        let is_number = self.at == At::Number;
        if is_number {
            self.at = At::Between;
        }
        let (Some(number), Some(keys), true) = (number, self.keys(), is_number && self.here != 0)
        else {
            return;
        };
        for (index, field) in self.fields.iter().enumerate() {
            if self.here & (1 << index) != 0 && field.path.len() == keys + 1 {
                let figure = field.figure.of(&mut self.current);
                *figure = (*figure).max(number);
                self.current.requests = 1;
            }
        }
    }

    /// Takes the figures of a value that is over.
    fn end_value(&mut self) {
        let current = std::mem::take(&mut self.current);
        // The larger of each.
        let more = current.since(self.counts);
        self.counts += more;
    }
}

/// All fields.
fn all(fields: &UsageFields) -> u64 {
    let count = u32::try_from(fields.iter().len()).unwrap_or(u32::MAX);
    u64::MAX
        .checked_shr(64_u32.saturating_sub(count))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use aod_egress::{Figure, UsageField};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn read(pieces: &[&[u8]]) -> TokenCounts {
        let mut figures = Figures::new(Arc::new(UsageFields::common()));
        for piece in pieces {
            figures.take(piece);
        }
        figures.counts()
    }

    fn told(text: &str) -> (u64, u64, u64, u64) {
        let counts = read(&[text.as_bytes()]);
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(read(&bytes), counts, "{text}");
        let sent = (counts.fresh_input(), counts.all_cached());
        (counts.requests, sent.0, sent.1, counts.all_output())
    }

    #[test]
    fn each_form_of_an_answer_is_read() {
        for (text, figures) in [
            (
                r#"{"id":"m","content":[{"text":"usage"}],"usage":{"input_tokens":10,
                    "cache_creation_input_tokens":5,"cache_read_input_tokens":100,"output_tokens":7}}"#,
                (1, 15, 100, 7),
            ),
            (
                r#"{"output":[],"usage":{"input_tokens":50,"input_tokens_details":{"cached_tokens":20},
                    "output_tokens":9,"output_tokens_details":{"reasoning_tokens":4},"total_tokens":59}}"#,
                (1, 30, 20, 9),
            ),
            (
                r#"{"choices":[],"usage":{"prompt_tokens":50,"completion_tokens":9,
                    "prompt_tokens_details":{"cached_tokens":20}}}"#,
                (1, 30, 20, 9),
            ),
            (
                r#"{"candidates":[],"usageMetadata":{"promptTokenCount":50,
                    "cachedContentTokenCount":20,"candidatesTokenCount":9,"thoughtsTokenCount":3}}"#,
                (1, 30, 20, 12),
            ),
            // Answers that come as a list: the figures grow.
            (
                r#"[{"usageMetadata":{"promptTokenCount":50,"candidatesTokenCount":1}},
                    {"x":[{}],"usageMetadata":{"promptTokenCount":50,"candidatesTokenCount":9}}]"#,
                (1, 50, 0, 9),
            ),
            (r#"{"response":{"usage":{"input_tokens":3}}}"#, (1, 3, 0, 0)),
            (
                r#"{"usage":{"input_tokens":3}} {"usage":{"output_tokens":4}}"#,
                (1, 3, 0, 4),
            ),
        ] {
            assert_eq!(told(text), figures, "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_it_is_not_read() {
        for text in [
            r#"{"input_tokens":3}"#,
            r#"{"text":"\"usage\":{\"input_tokens\":3}"}"#,
            r#"{"text":"\\","x":{"usage":{"input_tokens":3}}}"#,
            r#"{"usage":[{"input_tokens":3}]}"#,
            r#"[[{"usage":{"input_tokens":3}}]]"#,
            r#"{"x":[{"usage":{"input_tokens":3}}]}"#,
            r#"{"usage":{"input_tokens":-3}}"#,
            r#"{"usage":{"input_tokens":3.5,"output_tokens":1e9}}"#,
            r#"{"usage":{"input_tokens":"3","output_tokens":null}}"#,
            r#"{"usage":{"input_tokens":99999999999999999999999}}"#,
            r#"{"usage":{"in\u0070ut_tokens":3,"input_tokens_of":3}}"#,
            r#"{"usage":{"input_tokens":{"x":3}}}"#,
            // Cut off.
            r#"{"usage":{"input_tokens":3"#,
        ] {
            assert_eq!(told(text), (0, 0, 0, 0), "{text}");
        }
    }

    #[test]
    fn any_depth_is_passed() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        let text = format!(
            r#"{{"a":{deep},"b":{},"usage":{{"output_tokens":2}}}}"#,
            r#"{"c":"#.repeat(5000) + "1" + &"}".repeat(5000)
        );
        assert_eq!(told(&text), (1, 0, 0, 2));
    }

    /// JSON with the keys of fields in all places.
    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<u32>().prop_map(Value::from),
            any::<f32>().prop_map(Value::from),
            "[a-z\"\\\\{}\\[\\]:, ]{0,8}".prop_map(Value::from),
            Just(Value::Null),
        ];
        let key = prop_oneof![
            Just("a".to_owned()),
            Just("b".to_owned()),
            Just("c".to_owned()),
            "\\PC{0,4}",
        ];
        leaf.prop_recursive(12, 64, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map(key.clone(), inner, 0..4)
                    .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }

    fn field(figure: Figure, path: &[&str]) -> UsageField {
        let path = path.iter().map(|&key| key.to_owned()).collect();
        UsageField { figure, path }
    }

    fn own_fields() -> Arc<UsageFields> {
        Arc::new(UsageFields::new([
            field(Figure::Input, &["a"]),
            field(Figure::InputApart, &["a", "a"]),
            field(Figure::Cached, &["a", "b"]),
            field(Figure::CachedApart, &["b", "a", "c"]),
            field(Figure::Output, &["c", "c"]),
        ]))
    }

    proptest! {
        /// It finds what a JSON pointer finds, wherever the pieces end.
        #[test]
        fn it_finds_what_a_pointer_finds(value in any_json(), size in 1_usize..40) {
            let at = |pointer: &str| match value.is_object() {
                true => value.pointer(pointer).and_then(Value::as_u64).unwrap_or(0),
                false => 0,
            };
            prop_assume!(!value.is_array());
            let mut figures = Figures::new(own_fields());
            let text = value.to_string();
            text.as_bytes().chunks(size).for_each(|piece| figures.take(piece));
            let counts = figures.counts();
            prop_assert_eq!(
                [counts.input, counts.input_apart, counts.cached, counts.cached_apart, counts.output],
                [at("/a"), at("/a/a"), at("/a/b"), at("/b/a/c"), at("/c/c")],
                "{}", json!(value)
            );
        }

        #[test]
        fn anything_may_come(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut figures = Figures::new(own_fields());
            figures.take(&bytes);
            figures.begin_anew();
            figures.take(br#"{"a":5}"#);
            prop_assert!(figures.counts().input >= 5);
        }
    }
}
