//! What is wrong with a request: `{"type","loc","msg","input"}`, as the public API has it.

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// The most problems of a request that are told: a body may have a hundred thousand.
pub(crate) const MOST_PROBLEMS: usize = 1000;

/// One thing wrong with a request.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Problem {
    /// A word for programs, such as `missing` or `string_too_long`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The way to it: `body` or `query`, then the names of fields and the positions in lists.
    loc: Vec<Part>,
    /// What is wrong, for people.
    msg: String,
    /// What was given; `null` where that is long or may be a secret.
    #[schema(value_type = Value)]
    input: Value,
}

/// A part of the way to a problem: the name of a field, or a position in a list.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Part {
    /// The name of a field.
    Name(String),
    /// A position in a list, from 0.
    Position(usize),
}

/// The way to a value, kept on the stack of those who descend.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Loc<'a> {
    /// The request's `body` or `query`.
    Root(&'static str),
    /// A field, or a key of a map.
    Key(&'a Loc<'a>, &'a str),
    /// An item of a list.
    Index(&'a Loc<'a>, usize),
}

impl Loc<'_> {
    fn path(&self) -> Vec<Part> {
        let mut path = Vec::new();
        let mut here = self;
        loop {
            here = match here {
                Self::Root(root) => {
                    path.push(Part::Name((*root).to_owned()));
                    break;
                }
                Self::Key(parent, key) => {
                    path.push(Part::Name((*key).to_owned()));
                    parent
                }
                Self::Index(parent, index) => {
                    path.push(Part::Position(*index));
                    parent
                }
            };
        }
        path.reverse();
        path
    }
}

impl Problem {
    /// A problem at a place. What was given is repeated where it is short and says something.
    pub(crate) fn new(
        kind: &'static str,
        loc: &Loc<'_>,
        msg: impl Into<String>,
        given: Option<&Value>,
    ) -> Self {
        let input = match given {
            Some(Value::String(text)) if text.len() > 200 => {
                json!(format!("{}…", text.chars().take(100).collect::<String>()))
            }
            None | Some(Value::Array(_) | Value::Object(_)) => Value::Null,
            Some(scalar) => scalar.clone(),
        };
        Self {
            kind,
            loc: loc.path(),
            msg: msg.into(),
            input,
        }
    }

    /// As a sentence: where, and what.
    pub(crate) fn sentence(&self) -> String {
        match self.loc.last() {
            Some(Part::Name(name)) => format!("{name}: {}", self.msg),
            _ => self.msg.clone(),
        }
    }

    /// A field that is not known, and the nearest one that is.
    pub(crate) fn unknown_field<'k>(
        loc: &Loc<'_>,
        name: &str,
        known: impl Iterator<Item = &'k str> + Clone,
    ) -> Self {
        let near = known
            .clone()
            .map(|known| (strsim::jaro_winkler(known, name), known))
            .filter(|(likeness, _)| *likeness >= 0.8)
            .max_by(|(a, _), (b, _)| a.total_cmp(b));
        let msg = match near {
            Some((_, near)) => format!("Extra field: did you mean {near}?"),
            None => {
                let known: Vec<&str> = known.collect();
                match known.is_empty() {
                    true => "Extra field: none is known here".to_owned(),
                    false => format!("Extra field: known are {}", known.join(", ")),
                }
            }
        };
        // Whoever mistook the field's name may have put a secret into it.
        Self::new("extra_forbidden", loc, msg, None)
    }
}
