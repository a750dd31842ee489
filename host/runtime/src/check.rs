//! Rules for what adapters say that the interface's types cannot express.

mod description;
mod launch;

pub(crate) use description::description;
pub(crate) use launch::{attachments, known_secrets, launch};

use std::collections::HashSet;

use serde_json::value::RawValue;

use crate::limits::{MAX_JSON_DEPTH, MAX_REPLY_ITEMS};
use crate::types::{Action, Fragment, Reaction};

/// A rule that an adapter broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Invalid {
    /// Where, in the words of the interface.
    pub field: String,
    /// What is wrong there.
    pub problem: String,
}

impl Invalid {
    pub(crate) fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            problem: problem.into(),
        }
    }
}

/// Whether a list is short enough.
pub(crate) fn items(field: &str, length: usize) -> Result<(), Invalid> {
    if length <= MAX_REPLY_ITEMS {
        return Ok(());
    }
    Err(Invalid::new(
        field,
        format!("{length} entries; at most {MAX_REPLY_ITEMS} are allowed"),
    ))
}

/// Whether only known secrets and attachments are to be written to stdin, and questions can be
/// answered by default.
pub(crate) fn reaction(
    given: &Reaction,
    secrets: &HashSet<String>,
    attachments: &HashSet<String>,
) -> Result<(), Invalid> {
    for action in &given.actions {
        match action {
            Action::WriteStdin(text) => {
                for fragment in text {
                    let (known, name, what) = match fragment {
                        Fragment::Text(_) => continue,
                        Fragment::Secret(secret) => (secrets, &secret.name, "secret"),
                        Fragment::Attachment(id) => (attachments, id, "attachment"),
                    };
                    if !known.contains(name) {
                        let problem = format!("{name:?} is no {what} of this conversation");
                        return Err(Invalid::new("action.write-stdin", problem));
                    }
                }
            }
            Action::Ask(question) => {
                let choices = &question.choices;
                if !choices.is_empty() && !choices.iter().any(|c| c.id == question.default) {
                    let problem = format!("{:?} is none of the choices", question.default);
                    return Err(Invalid::new("question.default", problem));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether a reaction speaks of lines that were fed.
pub(crate) fn lines(given: &Reaction, fed: &str) -> Result<(), Invalid> {
    let whole = memchr::memchr_iter(b'\n', fed.as_bytes()).count();
    let count = whole + usize::from(!fed.is_empty() && !fed.ends_with('\n'));
    let emitted = given.actions.iter().filter_map(|action| match action {
        Action::Emit(emitted) => Some(emitted.line),
        _ => None,
    });
    match emitted
        .chain(given.absorbed.iter().copied())
        .find(|line| *line as usize >= count)
    {
        Some(line) => {
            let problem = format!("line {line} of a batch of {count} lines, counted from 0");
            Err(Invalid::new("reaction", problem))
        }
        None => Ok(()),
    }
}

/// Takes a text as JSON, without another copy.
pub(crate) fn json(field: &str, text: String) -> Result<Box<RawValue>, Invalid> {
    if json_depth(&text) > MAX_JSON_DEPTH {
        let problem = format!("nested deeper than {MAX_JSON_DEPTH} levels");
        return Err(Invalid::new(field, problem));
    }
    RawValue::from_string(text)
        .map_err(|error| Invalid::new(field, format!("is not valid JSON: {error}")))
}

/// How deep a JSON text is nested. Of a text that is not JSON it says something, and whatever
/// parses the text will refuse it.
fn json_depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'\\' => _ = bytes.next(),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    deepest
}

/// Whether a cost can be added up.
pub(crate) fn cost(usd: Option<f64>) -> Result<Option<f64>, Invalid> {
    match usd {
        Some(usd) if !usd.is_finite() || usd < 0.0 => Err(Invalid::new(
            "usage.cost-usd",
            format!("{usd} is not an amount of money"),
        )),
        usd => Ok(usd),
    }
}

/// Whether a text can be the name of an environment variable.
pub(crate) fn is_variable_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether a text can be the name of a runtime or an adapter: `[a-z][a-z0-9-]*`, at most 63.
pub(crate) fn is_name(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Splits a canonical model id, `provider/model-id`, at its first slash.
pub(crate) fn split_model(id: &str) -> Option<(&str, &str)> {
    let (provider, model) = id.split_once('/')?;
    let plain = |byte: u8| byte.is_ascii_graphic();
    (is_name(provider) && !model.is_empty() && id.len() <= 100 && model.bytes().all(plain))
        .then_some((provider, model))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_kept_as_it_stands() {
        let text = r#"{"b": 1, "a":[1.50, "\u00e4"]}"#;
        assert_eq!(json("x", text.into()).unwrap().get(), text);
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in ["", "{", "nope", "1 2", r#"{"a":}"#] {
            assert!(json("x", text.into()).is_err(), "{text}");
        }
    }

    #[test]
    fn depth_counts_brackets_outside_of_strings_only() {
        assert_eq!(json_depth(r#"{"a":[{"b":"[[[[\"[["}]}"#), 3);
        let deepest = format!(
            "{}{}",
            "[".repeat(MAX_JSON_DEPTH),
            "]".repeat(MAX_JSON_DEPTH)
        );
        assert!(json("x", deepest.clone()).is_ok());
        let error = json("x", format!("[{deepest}]")).unwrap_err();
        assert!(error.to_string().contains("nested deeper"), "{error}");
    }

    #[test]
    fn model_ids_are_canonical() {
        assert_eq!(split_model("acme/m-1.5"), Some(("acme", "m-1.5")));
        assert_eq!(split_model("acme/org/m"), Some(("acme", "org/m")));
        for id in ["m", "/m", "acme/", "Acme/m", "acme/m 1", ""] {
            assert_eq!(split_model(id), None, "{id}");
        }
    }
}
