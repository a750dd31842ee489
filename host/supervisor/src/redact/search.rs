//! Finding many strings at the speed of the disk.

use aho_corasick::packed::{self, Searcher as Packed};
use aho_corasick::{
    AhoCorasick, AhoCorasickBuilder, AhoCorasickKind, Anchored, Input, Match, MatchKind, StartKind,
};

/// How long the beginnings are that are looked for first: long enough to be rare in a text, ...
const LONGEST_START: usize = 6;
/// ... and short enough for many secrets of one kind to share theirs.
const SHORTEST_START: usize = 3;
/// As many of them are found in one pass over a text.
const STARTS_PER_PASS: usize = 64;
/// More passes than this are no faster than the automaton.
const MOST_PASSES: usize = 4;

/// Finds the leftmost and longest of some strings.
///
/// The automaton knows all of them and walks byte by byte. Where the machine can, their
/// beginnings are looked for 16 or 32 bytes at a time, and it walks from those only.
#[derive(Clone)]
pub(super) struct Search {
    automaton: AhoCorasick,
    /// One search for each pass; none where the automaton is as fast.
    starts: Vec<Packed>,
}

impl Search {
    /// None for what cannot be built: nothing, or more than two billion states.
    pub(super) fn new(forms: &[Vec<u8>]) -> Option<Self> {
        let automaton = AhoCorasickBuilder::new()
            .match_kind(MatchKind::LeftmostLongest)
            .start_kind(StartKind::Both)
            // The faster automaton takes megabytes for a few dozen keys.
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(forms)
            .ok()?;
        Some(Self {
            automaton,
            starts: starts(forms),
        })
    }

    /// Begins a search through a text.
    pub(super) fn of<'t>(&'t self, text: &'t [u8]) -> Finder<'t> {
        Finder {
            search: self,
            text,
            next: [Next::Unknown; MOST_PASSES],
        }
    }
}

/// A search through one text, from left to right.
pub(super) struct Finder<'t> {
    search: &'t Search,
    text: &'t [u8],
    /// By pass.
    next: [Next; MOST_PASSES],
}

/// Where one of the passes found a beginning last.
#[derive(Clone, Copy)]
enum Next {
    Unknown,
    At(usize),
    Nowhere,
}

impl Finder<'_> {
    /// The first of them that begins at or after `from`, which never decreases.
    pub(super) fn next(&mut self, mut from: usize) -> Option<Match> {
        let Self { search, text, .. } = *self;
        if search.starts.is_empty() {
            return search.automaton.find(Input::new(text).range(from..));
        }
        loop {
            let start = self.start(from)?;
            let there = Input::new(text).range(start..).anchored(Anchored::Yes);
            let found = search.automaton.find(there);
            if found.is_some() {
                return found;
            }
            from = start + 1;
        }
    }

    /// The first beginning at or after `from`.
    fn start(&mut self, from: usize) -> Option<usize> {
        let mut first = None;
        for (pass, next) in self.search.starts.iter().zip(&mut self.next) {
            let is_behind = match next {
                Next::Unknown => true,
                Next::At(at) => *at < from,
                Next::Nowhere => false,
            };
            if is_behind {
                let found = pass.find_in(self.text, (from..self.text.len()).into());
                *next = found.map_or(Next::Nowhere, |found| Next::At(found.start()));
            }
            if let Next::At(at) = *next {
                first = Some(first.map_or(at, |first: usize| first.min(at)));
            }
        }
        first
    }
}

/// Searches for the beginnings of all forms, as long as there are not too many of them.
fn starts(forms: &[Vec<u8>]) -> Vec<Packed> {
    let starts = |length: usize| {
        let mut starts: Vec<&[u8]> = forms
            .iter()
            .map(|form| form.get(..length).unwrap_or(form))
            .collect();
        starts.sort_unstable();
        starts.dedup();
        starts
    };
    let lengths = || (SHORTEST_START..=LONGEST_START).rev().map(starts);
    let starts = lengths()
        .find(|starts| starts.len() <= STARTS_PER_PASS)
        .or_else(|| lengths().find(|starts| starts.len() <= STARTS_PER_PASS * MOST_PASSES));
    let passes = starts
        .as_deref()
        .unwrap_or_default()
        .chunks(STARTS_PER_PASS);
    let built: Option<Vec<Packed>> = passes
        .map(|starts| packed::Config::new().builder().extend(starts).build())
        .collect();
    built.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All that do not overlap.
    fn all(search: &Search, text: &[u8]) -> Vec<Match> {
        let mut finder = search.of(text);
        let mut from = 0;
        std::iter::from_fn(|| {
            let found = finder.next(from)?;
            from = found.end();
            Some(found)
        })
        .collect()
    }

    proptest! {
        /// Finding beginnings first changes nothing about what is found.
        #[test]
        fn it_finds_what_the_automaton_finds(
            forms in proptest::collection::btree_set("[ab]{1,3}[abcd]{3,12}", 1..150),
            text in "[abcd]{0,400}",
            picks in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let forms: Vec<Vec<u8>> = forms.into_iter().map(String::into_bytes).collect();
            let mut text = text.into_bytes();
            for pick in picks {
                text.extend_from_slice(&forms[pick.index(forms.len())]);
                text.push(b'c');
            }
            let search = Search::new(&forms).unwrap();
            let found = all(&search, &text);
            let plain: Vec<Match> = search.automaton.find_iter(&text).collect();
            prop_assert_eq!(found, plain);
        }
    }

    #[test]
    fn beginnings_are_shortened_until_they_are_few() {
        let forms = |count: u8| -> Vec<Vec<u8>> {
            (0..count)
                .map(|n| format!("sk-{n:03}-key").into_bytes())
                .collect()
        };
        for count in [1, 60, 200, 250] {
            let forms = forms(count);
            let search = Search::new(&forms).unwrap();
            let text = [&b"--"[..], &forms[forms.len() - 1], b"--"].concat();
            assert_eq!(all(&search, &text).len(), 1, "{count}");
        }
    }

    #[test]
    fn many_kinds_of_secrets_take_more_passes() {
        for (count, passes) in [(64_u32, 1), (65, 2), (256, 4), (257, 0)] {
            // No two begin alike.
            let forms: Vec<Vec<u8>> = (0..count)
                .map(|n| {
                    format!("{}-secret", char::from_u32(0x400 + n).unwrap_or('x')).into_bytes()
                })
                .collect();
            let search = Search::new(&forms).unwrap();
            assert_eq!(search.starts.len(), passes, "{count}");
            let text = [b"--", &forms[0][..], &forms[forms.len() - 1], b"--"].concat();
            assert_eq!(all(&search, &text).len(), 2, "{count}");
        }
    }
}
