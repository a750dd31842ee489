//! Where in a line of JSON a byte stands, told from the bytes before it.
//!
//! A state machine of fixed size: it reads each byte once, and neither recurses nor remembers what
//! it read, apart from the beginning of one name and the kinds of the open containers.

use super::protocol::TagName;

/// Deeper lines count as no JSON; parsers of JSON refuse them, too.
const DEEPEST: u8 = 128;

/// One line, read up to some byte.
#[derive(Clone, Default)]
pub(super) struct JsonLine {
    state: State,
    /// One bit per open container: whether it is an object.
    objects: u128,
    depth: u8,
    /// The name of the member that is being read.
    name: TagName,
}

/// What kind of string a byte is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// The name of a member.
    Name,
    /// A value by which a protocol tells its messages apart.
    Tag,
    /// Any other value.
    Value,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before the first byte that is no space.
    #[default]
    Start,
    /// Something came that does not belong into JSON, or the line did not begin as an object or a
    /// list.
    NotJson,
    /// Before a value.
    Value,
    /// Before a list's first item, or its end.
    FirstItem,
    /// Before a member's name.
    Name,
    /// Before an object's first name, or its end.
    FirstName,
    /// Between a name and its value.
    Colon,
    /// Behind a value in a container.
    Behind,
    /// Behind everything.
    End,
    /// In a string.
    Text(Text, Escape),
    /// In a number.
    Number,
    /// In `true`, `false` or `null`: the rest of it.
    Literal(&'static [u8]),
}

/// In the escape of one character; of those beyond 16 bits it has two halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    /// In none.
    None,
    /// Behind its backslash; with `pair`, the second half's.
    Begun { pair: bool },
    /// Behind `\u` and so many digits, which make this code so far.
    Unicode { pair: bool, digits: u8, code: u32 },
    /// Behind the first half.
    High,
}

impl JsonLine {
    /// Reads on. There is no newline in `bytes`.
    pub(super) fn advance(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            match self.state {
                State::NotJson => return,
                State::Text(text, Escape::None) => {
                    let rest = &bytes[at..];
                    let run = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                    if text == Text::Name {
                        self.name.push(&rest[..run]);
                    }
                    at += run;
                    match rest.get(run) {
                        None => {}
                        Some(b'"') => self.close_text(text),
                        Some(_) => self.state = State::Text(text, Escape::Begun { pair: false }),
                    }
                    at += 1;
                }
                // The second half of a character, or none.
                State::Text(text, Escape::High) => {
                    self.state = match byte {
                        b'\\' => {
                            at += 1;
                            State::Text(text, Escape::Begun { pair: true })
                        }
                        _ => State::Text(text, Escape::None),
                    };
                }
                State::Text(text, escape) => {
                    self.escape(text, escape, *byte);
                    at += 1;
                }
                _ => {
                    self.between(*byte);
                    at += 1;
                }
            }
        }
    }

    /// The string in which the next byte stands, if it stands in one.
    pub(super) const fn text(&self) -> Option<Text> {
        match self.state {
            State::Text(text, _) => Some(text),
            _ => None,
        }
    }

    /// Whether what was read is no beginning of a JSON object or list.
    pub(super) const fn is_broken(&self) -> bool {
        matches!(self.state, State::NotJson)
    }

    /// How many of the bytes that were read are an escape without its end.
    pub(super) fn begun_escape(&self) -> usize {
        let (pair, bytes) = match self.state {
            State::Text(_, Escape::Begun { pair }) => (pair, 1),
            State::Text(_, Escape::Unicode { pair, digits, .. }) => (pair, 2 + usize::from(digits)),
            State::Text(_, Escape::High) => (true, 0),
            _ => (false, 0),
        };
        // The first half has six.
        if pair { bytes + 6 } else { bytes }
    }

    /// Goes back to before the escape that has begun.
    pub(super) fn leave_escape(&mut self) {
        if let State::Text(text, _) = self.state {
            self.state = State::Text(text, Escape::None);
        }
    }

    /// Whether a value must come next.
    pub(super) const fn awaits_value(&self) -> bool {
        matches!(self.state, State::Start | State::Value | State::FirstItem)
    }

    /// Whether whole values were read since `before`, which awaited one, and stands open what
    /// stood open then.
    pub(super) fn has_value_since(&self, before: &Self) -> bool {
        let open = (1_u128 << before.depth.min(DEEPEST - 1)) - 1;
        matches!(self.state, State::Behind | State::End)
            && before.awaits_value()
            && self.depth == before.depth
            && (self.objects ^ before.objects) & open == 0
    }

    /// Whether the last byte that was read is part of a number, which may go on.
    pub(super) fn is_in_number(&self) -> bool {
        self.state == State::Number
    }

    fn close_text(&mut self, text: Text) {
        self.state = match text {
            Text::Name => State::Colon,
            Text::Value | Text::Tag => State::Behind,
        };
    }

    fn escape(&mut self, text: Text, escape: Escape, byte: u8) {
        let digit = char::from(byte).to_digit(16);
        let next = match (escape, byte, digit) {
            (Escape::Begun { pair }, b'u', _) => Escape::Unicode {
                pair,
                digits: 0,
                code: 0,
            },
            (Escape::Begun { .. }, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', _) => {
                Escape::None
            }
            (Escape::Unicode { pair, digits, code }, _, Some(digit)) => {
                let code = code << 4 | digit;
                match (digits, code) {
                    (3, 0xd800..=0xdbff) => Escape::High,
                    (3, _) => Escape::None,
                    _ => Escape::Unicode {
                        pair,
                        digits: digits + 1,
                        code,
                    },
                }
            }
            _ => {
                self.state = State::NotJson;
                return;
            }
        };
        if text == Text::Name {
            self.name.spoil();
        }
        self.state = State::Text(text, next);
    }

    /// Reads a byte outside of strings.
    fn between(&mut self, byte: u8) {
        match self.state {
            State::Number if matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E') => {
                return;
            }
            State::Number => self.state = State::Behind,
            State::Literal([next, rest @ ..]) if *next == byte => {
                self.state = match rest {
                    [] => State::Behind,
                    rest => State::Literal(rest),
                };
                return;
            }
            _ => {}
        }
        self.state = match (self.state, byte) {
            (State::Literal(_), _) => State::NotJson,
            (state, b' ' | b'\t' | b'\r') => state,
            (State::Start | State::Value | State::FirstItem, b'{') => self.open(true),
            (State::Start | State::Value | State::FirstItem, b'[') => self.open(false),
            (State::Value, b'"') if self.is_in_object() && self.name.is_tag() => {
                State::Text(Text::Tag, Escape::None)
            }
            (State::Value | State::FirstItem, b'"') => State::Text(Text::Value, Escape::None),
            (State::Value | State::FirstItem, b'-' | b'0'..=b'9') => State::Number,
            (State::Value | State::FirstItem, b't') => State::Literal(b"rue"),
            (State::Value | State::FirstItem, b'f') => State::Literal(b"alse"),
            (State::Value | State::FirstItem, b'n') => State::Literal(b"ull"),
            (State::Name | State::FirstName, b'"') => {
                self.name = TagName::default();
                State::Text(Text::Name, Escape::None)
            }
            (State::Colon, b':') => State::Value,
            (State::Behind, b',') if self.is_in_object() => State::Name,
            (State::Behind, b',') => State::Value,
            (State::Behind | State::FirstName, b'}') if self.is_in_object() => self.close(),
            (State::Behind | State::FirstItem, b']') if !self.is_in_object() => self.close(),
            _ => State::NotJson,
        };
    }

    fn open(&mut self, object: bool) -> State {
        if self.depth == DEEPEST {
            return State::NotJson;
        }
        let bit = 1 << self.depth;
        self.depth += 1;
        if object {
            self.objects |= bit;
            State::FirstName
        } else {
            self.objects &= !bit;
            State::FirstItem
        }
    }

    fn close(&mut self) -> State {
        self.depth -= 1;
        match self.depth {
            0 => State::End,
            _ => State::Behind,
        }
    }

    const fn is_in_object(&self) -> bool {
        self.depth > 0 && self.objects >> (self.depth - 1) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn after(text: &str) -> JsonLine {
        let mut line = JsonLine::default();
        line.advance(text.as_bytes());
        line
    }

    #[test]
    fn names_tags_and_values() {
        for (text, wanted) in [
            (r#"{"#, None),
            (r#"{""#, Some(Text::Name)),
            (r#" {"a": "x"#, Some(Text::Value)),
            (r#"{"type":"x"#, Some(Text::Tag)),
            (r#"{"type":["x"#, Some(Text::Value)),
            (r#"{"type":{"a":"x"#, Some(Text::Value)),
            (r#"{"type":"x","a":"x"#, Some(Text::Value)),
            (
                r#"{"a":[1,{"b":null},-2.5e3,true],"role":"x"#,
                Some(Text::Tag),
            ),
            (r#"{"a":"\"\\\u00e9","b"#, Some(Text::Name)),
            (r#"{"t\u0079pe":"x"#, Some(Text::Value)),
            (r#"["x"#, Some(Text::Value)),
            (r#"[[],{},"x"#, Some(Text::Value)),
        ] {
            let line = after(text);
            assert!(!line.is_broken(), "{text}");
            assert_eq!(line.text(), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_no_json() {
        for text in [
            "x",
            "\"a\"",
            "1",
            "[info] x",
            "[2026-11-27 12",
            "[true x",
            "{a",
            "{\"a\" 1",
            "{,",
            "[1 2",
            "{\"a\":1}x",
            "[}",
            "{]",
            "[\"\\x",
            "[\"\\u12g",
            "[1,]",
            "{\"a\":1,}",
            "[trux",
            "[tru ",
        ] {
            assert!(after(text).is_broken(), "{text}");
        }
        let deep = |depth: usize| after(&"[".repeat(depth));
        assert!(!deep(128).is_broken());
        assert!(deep(129).is_broken());
        assert!(deep(100_000).is_broken());
    }

    #[test]
    fn escapes_that_have_begun() {
        for (text, begun) in [
            (r#"["a"#, 0),
            (r#"["a\"#, 1),
            (r#"["a\\"#, 0),
            (r#"["a\u"#, 2),
            (r#"["a\u00e"#, 5),
            (r#"["a\u00e9"#, 0),
            (r#"["a\uD83d"#, 6),
            (r#"["a\ud83d\"#, 7),
            (r#"["a\ud83d\ude0"#, 11),
            (r#"["a\ud83d\ude00"#, 0),
            (r#"["a\ud83dx"#, 0),
            (r#"["a\ud83d\n"#, 0),
        ] {
            assert_eq!(after(text).begun_escape(), begun, "{text}");
        }
    }

    proptest! {
        /// What serde writes is read to its end, wherever it is cut.
        #[test]
        fn whole_json_is_no_broken_json(
            text in "\\PC{0,20}", number: f64, name in "[a-z\"\\\\é]{0,8}", cut: prop::sample::Index,
        ) {
            let value = serde_json::json!({
                (name.clone()): [text, number, null, {"type": name}, []], "b": {}, "c": false,
            });
            let json = value.to_string().into_bytes();
            let (first, second) = json.split_at(cut.index(json.len()));
            let mut line = JsonLine::default();
            line.advance(first);
            prop_assert!(!line.is_broken());
            line.advance(second);
            prop_assert_eq!(line.state, State::End);
        }

        #[test]
        fn bytes_of_any_kind_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            JsonLine::default().advance(&bytes);
        }
    }
}
