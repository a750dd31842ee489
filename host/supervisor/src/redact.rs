//! Keeping secrets out of what is written.

mod forms;
mod search;

use std::borrow::Cow;
use std::fmt;

use self::search::Search;

/// Replaces secrets by `[redacted:NAME]`, in all the forms in which they may be printed: raw,
/// JSON-escaped once and twice. One scan finds them all; the longest wins.
///
/// Values shorter than 8 bytes, plain URLs, paths, numbers and truth values are not secrets. A
/// value of several lines counts line by line, so no form ever holds a newline.
#[derive(Clone)]
pub struct Redactor(Option<Searcher>);

#[derive(Clone)]
struct Searcher {
    search: Search,
    /// Sorted; by the search's numbers.
    forms: Vec<Vec<u8>>,
    replacements: Vec<String>,
    longest: usize,
}

impl Redactor {
    /// Takes names and values. Where two names have one value, the first stands in its place.
    pub fn new<'s>(secrets: impl IntoIterator<Item = (&'s str, &'s str)>) -> Self {
        let mut named: Vec<(Vec<u8>, String)> = Vec::new();
        for (name, value) in secrets {
            for form in forms::of(value) {
                named.push((form, format!("[redacted:{name}]")));
            }
        }
        // Stable, so that of two names the first is kept.
        named.sort_by(|a, b| a.0.cmp(&b.0));
        named.dedup_by(|later, first| later.0 == first.0);
        let (forms, replacements): (Vec<_>, Vec<_>) = named.into_iter().unzip();
        let longest = forms.iter().map(Vec::len).max().unwrap_or(0);
        if forms.is_empty() {
            return Self(None);
        }
        Self(Search::new(&forms).map(|search| Searcher {
            search,
            forms,
            replacements,
            longest,
        }))
    }

    /// Whether there is nothing to look for.
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Redacts text that is complete: whole lines, or all there is. Borrows it where nothing was
    /// found.
    pub fn redact<'t>(&self, text: &'t [u8]) -> Cow<'t, [u8]> {
        let Some(searcher) = &self.0 else {
            return Cow::Borrowed(text);
        };
        let mut out = Vec::new();
        let mut done = 0;
        for found in searcher.search.all(text) {
            out.extend_from_slice(&text[done..found.start()]);
            out.extend_from_slice(searcher.replacements[found.pattern()].as_bytes());
            done = found.end();
        }
        if done == 0 {
            return Cow::Borrowed(text);
        }
        out.extend_from_slice(&text[done..]);
        Cow::Owned(out)
    }

    /// [`Redactor::redact`] for strings.
    pub fn redact_str<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.redact(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            // Secrets and their replacements are strings, so the result is one.
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }

    /// Redacts every string in a JSON value, names of members included.
    pub fn redact_json(&self, value: &mut serde_json::Value) {
        use serde_json::Value;
        if self.is_empty() {
            return;
        }
        match value {
            Value::String(text) => {
                if let Cow::Owned(clean) = self.redact_str(text) {
                    *text = clean;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.redact_json(item)),
            Value::Object(members) => {
                for (name, mut member) in std::mem::take(members) {
                    self.redact_json(&mut member);
                    members.insert(self.redact_str(&name).into_owned(), member);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Redacts text that will go on: appends to `out` what can be decided, and returns how many
    /// bytes of `text` that covers. The rest, at most as long as the longest form or a UTF-8
    /// character, must be given again with what follows it.
    pub fn redact_partial(&self, text: &[u8], out: &mut Vec<u8>) -> usize {
        let mut done = 0;
        let mut held = text.len();
        if let Some(searcher) = &self.0 {
            held = searcher.held_from(text, 0);
            for found in searcher.search.all(text) {
                if held < done {
                    held = searcher.held_from(text, done);
                }
                // What begins later may yet be part of something longer.
                if found.start() >= held {
                    break;
                }
                out.extend_from_slice(&text[done..found.start()]);
                out.extend_from_slice(searcher.replacements[found.pattern()].as_bytes());
                done = found.end();
            }
            if held < done {
                held = searcher.held_from(text, done);
            }
        }
        held -= begun_character(&text[done..held]);
        out.extend_from_slice(&text[done..held]);
        held
    }

    /// A stream to be redacted piece by piece.
    pub const fn stream(&self) -> Stream<'_> {
        Stream {
            redactor: self,
            held: Vec::new(),
        }
    }
}

impl Searcher {
    /// The first place at or after `from` from where on `text` is the beginning of a form.
    fn held_from(&self, text: &[u8], from: usize) -> usize {
        let first = text.len().saturating_sub(self.longest - 1).max(from);
        (first..text.len())
            .find(|at| {
                let end = &text[*at..];
                let next = self.forms.partition_point(|form| form.as_slice() <= end);
                self.forms
                    .get(next)
                    .is_some_and(|form| form.starts_with(end))
            })
            .unwrap_or(text.len())
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let forms = self.0.as_ref().map_or(0, |searcher| searcher.forms.len());
        write!(f, "Redactor({forms} forms)")
    }
}

/// Redacts a text that comes in pieces, cut anywhere.
pub struct Stream<'r> {
    redactor: &'r Redactor,
    held: Vec<u8>,
}

impl Stream<'_> {
    /// Takes a piece; appends to `out` what can be decided.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        self.held.extend_from_slice(piece);
        let done = self.redactor.redact_partial(&self.held, out);
        self.held.drain(..done);
    }

    /// Ends the text; appends what was held back.
    pub fn finish(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.redactor.redact(&self.held));
    }
}

impl fmt::Debug for Stream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream([{} bytes held])", self.held.len())
    }
}

/// How many bytes at the end are the beginning of a UTF-8 character.
fn begun_character(text: &[u8]) -> usize {
    (1..=text.len().min(3))
        .find(|count| {
            let tail = &text[text.len() - count..];
            match std::str::from_utf8(tail) {
                Ok(_) => false,
                // No error length: it could become valid.
                Err(error) => error.valid_up_to() == 0 && error.error_len().is_none(),
            }
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
