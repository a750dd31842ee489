//! The small language in which a prompt says how the stand-in should behave.
//!
//! A directive is `[[NAME ARGUMENT]]`. Text around directives is ignored, so that a prompt may
//! read like one. Inner `[[` and `]]` are counted, so that shell tests (`[[ -f x ]]`) survive.

use std::time::Duration;

use serde_json::Value;

/// The most words one `[[words N]]` streams; more is cut to this.
pub const MAX_WORDS: usize = 100_000;

/// One thing that a prompt asks the stand-in to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Directive {
    /// `[[say TEXT]]`: answer with this text.
    Say(String),
    /// `[[think TEXT]]`: think aloud before the answer.
    Think(String),
    /// `[[words N]]`: answer with N numbered words, each a delta.
    Words(usize),
    /// `[[recall]]`: answer with all earlier prompts of the conversation.
    Recall,
    /// `[[told TEXT]]`: nothing else but this text, once the CLI says that work in the background
    /// has ended.
    Told(String),
    /// `[[then TEXT]]`: answer the next prompt with this text, or as its directives say, if that has
    /// none.
    Then(String),
    /// `[[bash COMMAND]]`: ask for the offered shell tool.
    Bash(String),
    /// `[[write PATH CONTENT]]`: ask for the offered tool that writes files.
    Write {
        /// Path of the file, up to the first blank.
        path: String,
        /// Everything after the first blank.
        content: String,
    },
    /// `[[mcp NAME {json}]]`: ask for the offered tool whose name ends with NAME.
    Mcp {
        /// End of the tool's name.
        name: String,
        /// The arguments, an object.
        input: Value,
    },
    /// `[[status CODE]]` or `[[status CODE TIMES]]`: answer with an HTTP error, every time or the
    /// first TIMES times that this prompt asks for it.
    Status {
        /// The HTTP status, 400 to 599.
        code: u16,
        /// How often; `None` for always.
        times: Option<u32>,
    },
    /// `[[quota SECONDS]]`: answer with a 429 that asks to be left alone for so long, every time.
    Quota(u32),
    /// `[[cut]]` or `[[cut TIMES]]`: send what came before, then end the reply without saying why,
    /// every time or the first TIMES times that this prompt asks for it.
    Cut {
        /// How often; `None` for always.
        times: Option<u32>,
    },
    /// `[[finish WORD]]`: end the reply as if the model had not wanted to, with the API's own word.
    Finish(String),
    /// `[[empty]]`: answer with nothing at all.
    Empty,
    /// `[[slow MS]]`: wait this long before each delta from here on.
    Slow(Duration),
    /// `[[hang]]`: send what came before, then nothing, and keep the connection open.
    Hang,
    /// `[[drop]]`: send what came before, then break the connection off.
    Drop,
    /// Something in double brackets that is no directive: it becomes the answer's text, so that a
    /// misspelt test is seen.
    Unknown(String),
}

impl Directive {
    /// Whether the directive is a tool call, which ends the model's reply.
    #[must_use]
    pub fn is_tool_call(&self) -> bool {
        matches!(self, Self::Bash(_) | Self::Write { .. } | Self::Mcp { .. })
    }
}

/// Reads all directives of a prompt, in order.
#[must_use]
pub fn parse(prompt: &str) -> Vec<Directive> {
    let mut found = Vec::new();
    let mut rest = prompt;
    while let Some(start) = rest.find("[[") {
        let body = &rest[start + 2..];
        let Some((directive, end)) = take(body) else {
            break;
        };
        found.push(directive);
        rest = &body[end..];
    }
    found
}

/// Reads one directive from behind its `[[`; also gives the offset behind its `]]`.
fn take(body: &str) -> Option<(Directive, usize)> {
    if body.trim_start().starts_with("mcp ") {
        // JSON may close two arrays at once: the directive ends where its JSON is whole.
        for (end, _) in body.match_indices("]]") {
            if let directive @ Directive::Mcp { .. } = read(&body[..end]) {
                return Some((directive, end + 2));
            }
        }
    }
    let end = closing(body)?;
    Some((read(&body[..end]), end + 2))
}

/// Offset of the `]]` that closes an already opened `[[`.
fn closing(body: &str) -> Option<usize> {
    let bytes = body.as_bytes();
    let (mut depth, mut at) = (1usize, 0);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"[[" => (depth, at) = (depth + 1, at + 2),
            // In `[[say [x]]]` the first bracket closes the inner one.
            b"]]" if depth == 1 && bytes.get(at + 2) == Some(&b']') => at += 1,
            b"]]" => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
                at += 2;
            }
            _ => at += 1,
        }
    }
    None
}

fn read(inside: &str) -> Directive {
    let inside = inside.trim();
    let (name, argument) = split(inside);
    let known = match name {
        "say" => Some(Directive::Say(argument.to_owned())),
        "think" => Some(Directive::Think(argument.to_owned())),
        "words" => argument
            .parse()
            .ok()
            .map(|n: usize| Directive::Words(n.min(MAX_WORDS))),
        "recall" => Some(Directive::Recall),
        "told" => Some(Directive::Told(argument.to_owned())),
        "then" => Some(Directive::Then(argument.to_owned())),
        "bash" if !argument.is_empty() => Some(Directive::Bash(argument.to_owned())),
        "write" => read_write(argument),
        "mcp" => read_mcp(argument),
        "status" => read_status(argument),
        "quota" => argument.parse().ok().map(Directive::Quota),
        "cut" if argument.is_empty() => Some(Directive::Cut { times: None }),
        "cut" => argument
            .parse()
            .ok()
            .map(|times| Directive::Cut { times: Some(times) }),
        "finish" if !argument.is_empty() => Some(Directive::Finish(argument.to_owned())),
        "empty" => Some(Directive::Empty),
        "slow" => argument
            .parse()
            .ok()
            .map(|ms| Directive::Slow(Duration::from_millis(ms))),
        "hang" => Some(Directive::Hang),
        "drop" => Some(Directive::Drop),
        _ => None,
    };
    known.unwrap_or_else(|| Directive::Unknown(inside.to_owned()))
}

fn read_write(argument: &str) -> Option<Directive> {
    let (path, content) = split(argument);
    (!path.is_empty()).then(|| Directive::Write {
        path: path.to_owned(),
        content: content.to_owned(),
    })
}

fn read_mcp(argument: &str) -> Option<Directive> {
    let (name, json) = split(argument);
    let input = if json.is_empty() {
        Value::Object(serde_json::Map::new())
    } else {
        serde_json::from_str(json).ok().filter(Value::is_object)?
    };
    (!name.is_empty()).then(|| Directive::Mcp {
        name: name.to_owned(),
        input,
    })
}

fn read_status(argument: &str) -> Option<Directive> {
    let (code, times) = split(argument);
    let code = code.parse().ok().filter(|code| (400..600).contains(code))?;
    let times = if times.is_empty() {
        None
    } else {
        Some(times.parse().ok()?)
    };
    Some(Directive::Status { code, times })
}

/// Splits at the first blank.
fn split(text: &str) -> (&str, &str) {
    match text.split_once(char::is_whitespace) {
        Some((head, tail)) => (head, tail.trim_start()),
        None => (text, ""),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_several_in_order() {
        assert_eq!(
            parse("please [[bash echo hi]] and then [[say done]]."),
            [
                Directive::Bash("echo hi".into()),
                Directive::Say("done".into())
            ]
        );
    }

    #[test]
    fn counts_inner_brackets() {
        assert_eq!(
            parse("[[bash [[ -f x ]] && echo y]][[hang]]"),
            [
                Directive::Bash("[[ -f x ]] && echo y".into()),
                Directive::Hang
            ]
        );
    }

    #[test]
    fn a_single_bracket_may_stand_before_the_end() {
        assert_eq!(
            parse("[[say a[1]]] [[hang]]"),
            [Directive::Say("a[1]".into()), Directive::Hang]
        );
    }

    #[test]
    fn json_may_close_two_arrays() {
        assert_eq!(
            parse(r#"[[mcp echo {"a":[[1],[2]]}]] [[recall]]"#),
            [
                Directive::Mcp {
                    name: "echo".into(),
                    input: json!({"a": [[1], [2]]})
                },
                Directive::Recall
            ]
        );
    }

    #[test]
    fn reads_every_kind() {
        assert_eq!(
            parse(
                "[[finish SAFETY]][[told so]][[think hm]][[words 3]][[write a.txt b  c]][[mcp ping]][[status 429]]\
                 [[status 500 2]][[slow 20]][[drop]]"
            ),
            [
                Directive::Finish("SAFETY".into()),
                Directive::Told("so".into()),
                Directive::Think("hm".into()),
                Directive::Words(3),
                Directive::Write {
                    path: "a.txt".into(),
                    content: "b  c".into()
                },
                Directive::Mcp {
                    name: "ping".into(),
                    input: json!({})
                },
                Directive::Status {
                    code: 429,
                    times: None
                },
                Directive::Status {
                    code: 500,
                    times: Some(2)
                },
                Directive::Slow(Duration::from_millis(20)),
                Directive::Drop,
            ]
        );
    }

    #[test]
    fn what_is_misspelt_is_kept() {
        for text in [
            "wrods 3",
            "words many",
            "status 200",
            "mcp x [1]",
            "bash",
            "",
        ] {
            assert_eq!(
                parse(&format!("[[{text}]]")),
                [Directive::Unknown(text.into())]
            );
        }
        assert_eq!(parse("[[say no end"), []);
    }

    proptest! {
        #[test]
        fn never_panics(text in "[\\[\\] a-z{}\":é]{0,80}") {
            let _ = parse(&text);
        }

        #[test]
        fn what_is_said_is_read_back(text in "[a-zA-Z0-9 .,é\\n]{0,60}") {
            prop_assert_eq!(
                parse(&format!("x [[say {text}]] y")),
                [Directive::Say(text.trim().to_owned())]
            );
        }
    }
}
