//! From records to lines, each with the entry of the log that completed it.

use aod_runtime::MAX_FEED_BYTES;

/// A longer line is not put together: its pieces are passed on as they come.
const LONGEST: usize = MAX_FEED_BYTES;

/// The entry of the log that something came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Origin {
    /// Its number; of one without a number, that of the last before it.
    pub(super) entry: u64,
    /// Microseconds since the Unix epoch.
    pub(super) time: i64,
}

/// Where a line ends in its text, and which entry completed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    end: usize,
    pub(super) origin: Origin,
    /// A piece of a line that no adapter is given.
    pub(super) too_long: bool,
}

/// Consecutive lines of one stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    pub(super) text: String,
    pub(super) lines: Vec<Line>,
}

impl Lines {
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// The line at `index`, with its line end.
    pub(super) fn line(&self, index: usize) -> &str {
        let start = match index {
            0 => 0,
            _ => self.lines[index - 1].end,
        };
        &self.text[start..self.lines[index].end]
    }

    /// Those of `range` alone.
    pub(super) fn part(&self, range: std::ops::Range<usize>) -> Self {
        let start = match range.start {
            0 => 0,
            first => self.lines[first - 1].end,
        };
        let lines: Vec<Line> = self.lines[range]
            .iter()
            .map(|line| Line {
                end: line.end - start,
                ..*line
            })
            .collect();
        let end = start + lines.last().map_or(0, |line| line.end);
        Self {
            text: self.text[start..end].to_owned(),
            lines,
        }
    }

    /// Stretches that are all for the adapter, or all not.
    pub(super) fn stretches(self) -> Vec<Self> {
        if self.lines.iter().all(|line| !line.too_long) {
            return vec![self];
        }
        let mut start = 0;
        self.lines
            .chunk_by(|a, b| a.too_long == b.too_long)
            .map(|chunk| {
                let range = start..start + chunk.len();
                start = range.end;
                self.part(range)
            })
            .collect()
    }
}

/// What came of one stream and was not handed over.
#[derive(Debug, Default)]
pub(super) struct Pending {
    whole: Lines,
    /// The beginning of a line that goes on.
    begun: String,
    /// Where that beginning came from.
    origin: Origin,
    /// Whether pieces of that line have been passed on.
    too_long: bool,
}

impl Pending {
    pub(super) fn push(&mut self, text: &str, origin: Origin) {
        self.origin = origin;
        for piece in text.split_inclusive('\n') {
            let ended = piece.ends_with('\n');
            self.too_long |= self.begun.len() + piece.len() > LONGEST;
            self.begun.push_str(piece);
            if ended || self.too_long {
                self.close();
            }
            self.too_long &= !ended;
        }
    }

    fn close(&mut self) {
        self.whole.text.push_str(&self.begun);
        self.begun.clear();
        self.begun.shrink_to(64 << 10);
        self.whole.lines.push(Line {
            end: self.whole.text.len(),
            origin: self.origin,
            too_long: self.too_long,
        });
    }

    /// How many whole lines there are.
    pub(super) fn len(&self) -> usize {
        self.whole.len()
    }

    /// How many bytes of whole lines there are.
    pub(super) fn bytes(&self) -> usize {
        self.whole.text.len()
    }

    /// Takes the whole lines.
    pub(super) fn take(&mut self) -> Lines {
        std::mem::take(&mut self.whole)
    }

    /// Takes everything: nothing comes after it.
    pub(super) fn take_rest(&mut self) -> Lines {
        if !self.begun.is_empty() {
            self.close();
        }
        self.take()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(entry: u64) -> Origin {
        Origin { entry, time: 0 }
    }

    #[test]
    fn a_line_comes_from_the_entry_that_completes_it() {
        let mut pending = Pending::default();
        pending.push("a\nb", at(1));
        pending.push("c\n\nd", at(2));
        let lines = pending.take();
        let found: Vec<_> = (0..lines.len())
            .map(|i| (lines.line(i), lines.lines[i].origin.entry))
            .collect();
        assert_eq!(found, [("a\n", 1), ("bc\n", 2), ("\n", 2)]);
        assert_eq!(pending.take(), Lines::default());
        assert_eq!(pending.take_rest().line(0), "d");
        assert_eq!(pending.take_rest(), Lines::default());
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_on_in_pieces() {
        let mut pending = Pending::default();
        let half = "x".repeat(LONGEST / 2 + 1);
        pending.push("short\n", at(1));
        pending.push(&half, at(2));
        pending.push(&half, at(3));
        pending.push("rest\nshort\n", at(4));
        let stretches = pending.take().stretches();
        let sizes: Vec<_> = stretches
            .iter()
            .map(|lines| (lines.lines[0].too_long, lines.len(), lines.text.len()))
            .collect();
        assert_eq!(
            sizes,
            [(false, 1, 6), (true, 2, LONGEST + 2 + 5), (false, 1, 6)]
        );
        assert_eq!(stretches[1].line(1), "rest\n");
    }

    proptest! {
        #[test]
        fn nothing_is_lost(texts in prop::collection::vec("[a\n]{0,6}", 0..12), takes in any::<u16>()) {
            let mut pending = Pending::default();
            let mut out = String::new();
            for (index, text) in texts.iter().enumerate() {
                pending.push(text, at(index as u64));
                if takes >> index & 1 == 1 {
                    out += &pending.take().text;
                    prop_assert!(out.is_empty() || out.ends_with('\n'));
                }
            }
            out += &pending.take_rest().text;
            prop_assert_eq!(out, texts.concat());
        }
    }
}
