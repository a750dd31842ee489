//! Finding many strings at the speed of the disk.

use aho_corasick::packed::{self, Searcher as Packed};
use aho_corasick::{
    AhoCorasick, AhoCorasickBuilder, AhoCorasickKind, Anchored, Input, Match, MatchKind, StartKind,
};

/// How long the beginnings are that are looked for first: long enough to be rare in a text, ...
const LONGEST_START: usize = 6;
/// ... and short enough for many secrets of one kind to share theirs.
const SHORTEST_START: usize = 3;
/// More of them than this are not found any faster.
const MOST_STARTS: usize = 64;

/// Finds the leftmost and longest of some strings.
///
/// The automaton knows all of them and walks byte by byte. Where the machine can, their
/// beginnings are looked for 16 or 32 bytes at a time, and it walks from those only.
#[derive(Clone)]
pub(super) struct Search {
    automaton: AhoCorasick,
    starts: Option<Packed>,
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

    /// All that do not overlap, from left to right.
    pub(super) fn all<'t>(&'t self, text: &'t [u8]) -> impl Iterator<Item = Match> + 't {
        let mut from = 0;
        std::iter::from_fn(move || {
            let found = self.next(text, from)?;
            from = found.end();
            Some(found)
        })
    }

    fn next(&self, text: &[u8], mut from: usize) -> Option<Match> {
        let Some(starts) = &self.starts else {
            return self.automaton.find(Input::new(text).range(from..));
        };
        loop {
            let start = starts.find_in(text, (from..text.len()).into())?.start();
            let there = Input::new(text).range(start..).anchored(Anchored::Yes);
            let found = self.automaton.find(there);
            if found.is_some() {
                return found;
            }
            from = start + 1;
        }
    }
}

/// A search for the beginnings of all forms, as long as there are not too many of them.
fn starts(forms: &[Vec<u8>]) -> Option<Packed> {
    let starts = (SHORTEST_START..=LONGEST_START).rev().find_map(|length| {
        let mut starts: Vec<&[u8]> = forms
            .iter()
            .map(|form| form.get(..length).unwrap_or(form))
            .collect();
        starts.sort_unstable();
        starts.dedup();
        (starts.len() <= MOST_STARTS).then_some(starts)
    })?;
    packed::Config::new().builder().extend(starts).build()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Finding beginnings first changes nothing about what is found.
        #[test]
        fn it_finds_what_the_automaton_finds(
            forms in proptest::collection::btree_set("[ab]{1,3}[abcd]{3,12}", 1..90),
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
            let found: Vec<Match> = search.all(&text).collect();
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
        for count in [1, 60, 200] {
            let forms = forms(count);
            let search = Search::new(&forms).unwrap();
            let text = [&b"--"[..], &forms[forms.len() - 1], b"--"].concat();
            assert_eq!(search.all(&text).count(), 1, "{count}");
        }
    }
}
