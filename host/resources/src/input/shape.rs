//! Tables of fields: what a request may hold.
//!
//! One table says both what the server accepts and what the API's description publishes, so that
//! the two cannot differ. Tables are data: the API's crate holds requests against them, and
//! [`super::schema`] turns them into JSON Schema.

use std::sync::OnceLock;

use regex_lite::Regex;
use serde_json::Value;

/// A table: the fields of an object, and nothing else is allowed in it.
#[derive(Debug)]
pub struct Object {
    /// Its name in the API's description.
    pub name: &'static str,
    /// What it is, for people.
    pub doc: &'static str,
    /// An example as JSON, or an empty text for none.
    pub example: &'static str,
    /// Its fields.
    pub fields: &'static [Field],
    /// Two of its fields, maps that may not have a key in common.
    pub disjoint: Option<[&'static str; 2]>,
}

/// One row of a table.
#[derive(Debug)]
pub struct Field {
    /// Its name on the wire.
    pub name: &'static str,
    /// What it is for, for people.
    pub doc: &'static str,
    /// Whether it must be there.
    pub need: Need,
    /// What its value should be.
    pub shape: Shape,
}

/// Whether a field must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// There, and not null.
    Required,
    /// May be left out; null is the same as left out.
    Optional,
    /// May be left out; null is a value of its own, which clears what was set before.
    Nullable,
}

/// What a value should be.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// A string.
    Text(Text),
    /// A whole number from `min` to `max`.
    Integer {
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
    },
    /// A number above zero, up to `max`.
    Positive {
        /// The largest.
        max: f64,
    },
    /// True or false.
    Boolean,
    /// Any value, of at most so many bytes as JSON, and nested at most [`JSON_DEPTH`] levels deep.
    Json(usize),
    /// An object of the same kind.
    JsonObject(usize),
    /// A UUID, lower-case and hyphenated.
    Id,
    /// An RFC 3339 date and time.
    Moment,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of at most `max` items.
    List {
        /// What each item should be.
        items: &'static Shape,
        /// The most items.
        max: usize,
        /// What must differ between items, if anything.
        unique: Option<Unique>,
    },
    /// An object whose keys are the client's own.
    Map {
        /// What each key should match.
        keys: Option<&'static Pattern>,
        /// What each value should be.
        values: &'static Shape,
    },
    /// An object with a table of its own.
    Object(&'static Object),
    /// One of several objects; their field `type` says which.
    Union(&'static Union),
    /// A text, or a list of at least one item.
    TextOrList {
        /// What a text should be.
        text: Text,
        /// What each item should be.
        items: &'static Shape,
        /// The most items.
        max: usize,
    },
}

/// A string of `min` to `max` characters. No string holds a NUL character.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// The fewest characters.
    pub min: usize,
    /// The most characters.
    pub max: usize,
    /// Whether `max` is a limit of its UTF-8 bytes, too.
    pub max_bytes: bool,
    /// What it should match.
    pub pattern: Option<&'static Pattern>,
    /// Whether it is a secret, which goes in and never out.
    pub secret: bool,
    /// Whether a refusal must not repeat it: a secret, or a text that may hold one by mistake.
    pub hidden: bool,
}

/// A regular expression that a text must match, in the syntax that JSON Schema and Rust share.
#[derive(Debug)]
pub struct Pattern {
    /// The expression, with its anchors.
    pub regex: &'static str,
    /// What a text should be, for people: `String should be 'owner/repo'`.
    pub message: &'static str,
    compiled: OnceLock<Option<Regex>>,
}

/// Something that no two items of a list may share.
#[derive(Clone, Copy, Debug)]
pub struct Unique {
    /// What must differ.
    pub key: fn(&Value) -> Option<String>,
    /// What is said of two that do not, before the key: `Two skills are named`.
    pub message: &'static str,
}

/// How deep a client's own JSON may be nested.
pub const JSON_DEPTH: usize = 32;

/// Several objects, told apart by their field `type`.
#[derive(Debug)]
pub struct Union {
    /// Its name in the API's description.
    pub name: &'static str,
    /// What it is, for people.
    pub doc: &'static str,
    /// The objects, by the word in `type`.
    pub tagged: &'static [(&'static str, &'static Object)],
    /// The object that has no `type`.
    pub untagged: Option<&'static Object>,
}

impl Pattern {
    /// A pattern, and what is said of a text that does not match.
    pub const fn new(regex: &'static str, message: &'static str) -> Self {
        Self {
            regex,
            message,
            compiled: OnceLock::new(),
        }
    }

    /// Whether a text matches. An expression that cannot be compiled matches nothing; a test
    /// compiles each that a table holds.
    pub fn matches(&self, text: &str) -> bool {
        let regex = self.compiled.get_or_init(|| Regex::new(self.regex).ok());
        regex.as_ref().is_some_and(|regex| regex.is_match(text))
    }
}

impl Text {
    /// A string of `min` to `max` characters.
    pub const fn new(min: usize, max: usize) -> Self {
        Self {
            min,
            max,
            max_bytes: false,
            pattern: None,
            secret: false,
            hidden: false,
        }
    }

    /// The same, with its bytes counted, too.
    pub const fn in_bytes(mut self) -> Self {
        self.max_bytes = true;
        self
    }

    /// The same, matching a pattern.
    pub const fn like(mut self, pattern: &'static Pattern) -> Self {
        self.pattern = Some(pattern);
        self
    }

    /// The same, as a secret.
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self.hidden()
    }

    /// The same, never repeated in a refusal.
    pub const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// As a shape.
    pub const fn shape(self) -> Shape {
        Shape::Text(self)
    }
}

impl Object {
    /// A field by its name.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}
