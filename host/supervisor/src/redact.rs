//! Keeping secrets out of what is written.

mod forms;
mod hit;
mod json;
mod protocol;
mod search;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use self::hit::{Decision, Hit};
use self::json::JsonLine;
use self::search::Search;

/// Replaces secrets by `[redacted:NAME]`, in all the forms in which they may be printed: raw,
/// JSON-escaped up to three times, as base64, percent-encoded, as HTML, and as the literals of
/// programming languages. One scan finds them all; the longest wins.
///
/// What is given is a secret whatever it looks like, unless it is shorter than 8 bytes or a word
/// for no value (`disabled`, `undefined`). A value of several lines counts line by line, so no form
/// ever holds a newline.
///
/// A line that begins as a JSON object or list stays JSON: secrets are replaced inside of its
/// strings, and as whole values. In names of members, and in tags such as the value of `type`, a
/// secret stays that is no more than a word, such as `assistant`: without it, nobody could read the
/// line. From the byte on where a line turns out to be no JSON, it is text like any other.
#[derive(Clone)]
pub struct Redactor(Option<Arc<Searcher>>);

struct Searcher {
    search: Search,
    /// Sorted; by the search's numbers.
    forms: Vec<Form>,
    longest: usize,
}

#[derive(Clone)]
struct Form {
    bytes: Vec<u8>,
    replacement: String,
    /// Whether it stays in tags.
    is_word: bool,
    /// Whether it stays in names of members.
    is_name: bool,
}

/// Where in its line a text begins that is redacted in pieces; by default, at a line's beginning.
#[derive(Clone, Default)]
pub struct LinePosition(JsonLine);

/// The forms of a secret, with what stands in their place.
fn named_forms(name: &str, value: &str) -> Vec<(Vec<u8>, String)> {
    let forms = forms::of(value).into_iter();
    forms
        .map(|form| (form, format!("[redacted:{name}]")))
        .collect()
}

impl Redactor {
    /// Takes names and values. Where two names have one value, the first stands in its place. Names
    /// hold nothing that JSON would escape.
    pub fn new<'s>(secrets: impl IntoIterator<Item = (&'s str, &'s str)>) -> Self {
        let mut named: Vec<(Vec<u8>, String)> = Vec::new();
        for (name, value) in secrets {
            named.extend(named_forms(name, value));
        }
        Self::of_forms(named)
    }

    /// The same, which also finds a further secret.
    #[must_use]
    pub fn and(&self, name: &str, value: &str) -> Self {
        let known = self.0.iter().flat_map(|searcher| &searcher.forms);
        let known = known.map(|form| (form.bytes.clone(), form.replacement.clone()));
        Self::of_forms(known.chain(named_forms(name, value)).collect())
    }

    /// Takes forms with what stands in their place.
    fn of_forms(mut named: Vec<(Vec<u8>, String)>) -> Self {
        // Stable, so that of two names the first is kept.
        named.sort_by(|a, b| a.0.cmp(&b.0));
        named.dedup_by(|later, first| later.0 == first.0);
        let bytes: Vec<Vec<u8>> = named.iter().map(|(form, _)| form.clone()).collect();
        if bytes.is_empty() {
            return Self(None);
        }
        let Some(search) = Search::new(&bytes) else {
            return Self(None);
        };
        let longest = bytes.iter().map(Vec::len).max().unwrap_or(0);
        let forms = named.into_iter().map(|(bytes, replacement)| Form {
            replacement,
            is_word: protocol::is_word(&bytes),
            is_name: protocol::is_name(&bytes),
            bytes,
        });
        Self(Some(Arc::new(Searcher {
            search,
            forms: forms.collect(),
            longest,
        })))
    }

    /// Whether there is nothing to look for.
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Redacts text that is complete: whole lines, or all there is. Borrows it where nothing was
    /// found.
    pub fn redact<'t>(&self, text: &'t [u8]) -> Cow<'t, [u8]> {
        self.redact_rest(LinePosition::default(), text)
    }

    /// [`Redactor::redact`] for a text whose beginning [`Redactor::redact_partial`] has taken.
    pub fn redact_rest<'t>(&self, mut position: LinePosition, text: &'t [u8]) -> Cow<'t, [u8]> {
        let Some(searcher) = &self.0 else {
            return Cow::Borrowed(text);
        };
        let mut out = Vec::new();
        let Progress { done, .. } = searcher.run(&mut position, text, true, &mut out);
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

    /// Redacts text that will go on: appends to `out` what can be decided, and returns how many
    /// bytes of `text` that covers. The rest, little longer than the longest form at most, must be
    /// given again with what follows it and with `position`, which keeps what matters of the line's
    /// beginning.
    pub fn redact_partial(
        &self,
        position: &mut LinePosition,
        text: &[u8],
        out: &mut Vec<u8>,
    ) -> usize {
        let mut progress = Progress {
            held: text.len(),
            ..Progress::default()
        };
        if let Some(searcher) = &self.0 {
            progress = searcher.run(position, text, false, out);
        }
        let Progress {
            done,
            json_at,
            mut held,
        } = progress;
        held -= begun_character(&text[done..held]);
        if !self.is_empty() {
            // What may yet be widened to a whole escape must not be cut within one.
            advance(&mut position.0, &text[json_at..held]);
            held -= position.0.begun_escape();
            position.0.leave_escape();
        }
        out.extend_from_slice(&text[done..held]);
        held
    }

    /// A stream to be redacted piece by piece.
    pub fn stream(&self) -> Stream<'_> {
        Stream {
            redactor: self,
            position: LinePosition::default(),
            held: Vec::new(),
        }
    }
}

/// How far a scan came; places in the text.
#[derive(Default)]
struct Progress {
    /// Up to here, everything is in the output.
    done: usize,
    /// Up to here, the position has read.
    json_at: usize,
    /// From here on, nothing is decided.
    held: usize,
}

impl Searcher {
    /// Appends to `out` everything up to the last secret that was replaced. The fast path is one
    /// search that finds nothing; the line is looked at only where there is something.
    fn run(
        &self,
        position: &mut LinePosition,
        text: &[u8],
        is_last: bool,
        out: &mut Vec<u8>,
    ) -> Progress {
        let LinePosition(json) = position;
        let mut finder = self.search.of(text);
        let (mut done, mut from, mut json_at) = (0, 0, 0);
        let held_from = |from| match is_last {
            true => text.len(),
            false => self.held_from(text, from),
        };
        let mut held = held_from(0);
        while let Some(found) = finder.next(from) {
            if held < done {
                held = held_from(done);
            }
            // What begins later may yet be part of something longer.
            if found.start() >= held {
                break;
            }
            advance(json, &text[json_at..found.start()]);
            json_at = found.start();
            let form = &self.forms[found.pattern().as_usize()];
            let hit = Hit {
                text,
                start: found.start(),
                end: found.end(),
                is_last,
            };
            match hit.decide(json, form) {
                Decision::Kept => from = found.start() + 1,
                Decision::Undecided { from } => {
                    // Before the escape within which it begins.
                    json.leave_escape();
                    (held, json_at) = (from, from);
                    break;
                }
                Decision::Replaced {
                    start,
                    end,
                    by,
                    then,
                } => {
                    out.extend_from_slice(&text[done..start]);
                    out.extend_from_slice(&by);
                    *json = then;
                    (done, from, json_at) = (end, end, end);
                }
            }
        }
        if held < done {
            held = held_from(done);
        }
        Progress {
            done,
            json_at,
            held,
        }
    }

    /// The first place at or after `from` from where on `text` is the beginning of a form.
    fn held_from(&self, text: &[u8], from: usize) -> usize {
        let first = text.len().saturating_sub(self.longest - 1).max(from);
        (first..text.len())
            .find(|at| {
                let end = &text[*at..];
                let next = self
                    .forms
                    .partition_point(|form| form.bytes.as_slice() <= end);
                self.forms
                    .get(next)
                    .is_some_and(|form| form.bytes.starts_with(end))
            })
            .unwrap_or(text.len())
    }
}

/// Reads on, over the ends of lines.
fn advance(json: &mut JsonLine, text: &[u8]) {
    match memchr::memrchr(b'\n', text) {
        None => json.advance(text),
        Some(end) => {
            *json = JsonLine::default();
            json.advance(&text[end + 1..]);
        }
    }
}

impl fmt::Debug for LinePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It holds a piece of the line.
        f.write_str("LinePosition")
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
    position: LinePosition,
    held: Vec<u8>,
}

impl Stream<'_> {
    /// Takes a piece; appends to `out` what can be decided.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        self.held.extend_from_slice(piece);
        let Self {
            redactor,
            position,
            held,
        } = self;
        let done = redactor.redact_partial(position, held, out);
        held.drain(..done);
    }

    /// Ends the text; appends what was held back.
    pub fn finish(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.redactor.redact_rest(self.position, &self.held));
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
