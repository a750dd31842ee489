//! Where in answers figures may be: most of an answer has none, and is passed over.

use std::sync::Arc;

use aho_corasick::AhoCorasick;
use aod_egress::UsageFields;

/// Words that figures cannot be without: of the keys that lead to a field, each has at least one.
#[derive(Clone, Debug)]
pub(super) struct Marks(Arc<AhoCorasick>);

impl Marks {
    /// None where there may be figures anywhere.
    pub(super) fn of(fields: &UsageFields) -> Option<Self> {
        let mut rest: Vec<&[String]> = fields.iter().map(|field| &field.path[..]).collect();
        let mut words = Vec::new();
        while let Some(path) = rest.first() {
            let has = |path: &[String], word: &str| path.iter().any(|key| key.contains(word));
            let count = |word: &&String| rest.iter().filter(|path| has(path, word)).count();
            let word = path
                .iter()
                .filter(|key| !key.is_empty())
                .max_by_key(count)?;
            words.push(word.clone());
            rest.retain(|path| !has(path, word));
        }
        AhoCorasick::new(words).ok().map(Arc::new).map(Self)
    }

    /// How many bytes there are to the end of the first of them. Where there is none: all.
    pub(super) fn end_of_first(&self, bytes: &[u8]) -> usize {
        let found = self.0.find(bytes);
        found.map_or(bytes.len(), |found| found.end())
    }
}

#[cfg(test)]
mod tests {
    use aod_egress::{Figure, UsageField};

    use super::*;

    fn fields(paths: &[&[&str]]) -> UsageFields {
        UsageFields::new(paths.iter().map(|path| UsageField {
            figure: Figure::Input,
            path: path.iter().map(|&key| key.to_owned()).collect(),
        }))
    }

    #[test]
    fn each_field_has_one_and_common_ones_share_theirs() {
        let common = Marks::of(&UsageFields::common()).unwrap();
        assert_eq!(common.0.patterns_len(), 1);
        assert_eq!(common.end_of_first(b"x\"usageMetadata\":{}"), 7);
        assert_eq!(common.end_of_first(b"input_tokens"), 12);
        let own = Marks::of(&fields(&[&["a", "b"], &["c", "b"], &["d"]])).unwrap();
        assert_eq!(own.0.patterns_len(), 2);
        for text in ["x\"b\"", "x\"d\""] {
            assert_eq!(own.end_of_first(text.as_bytes()), 3, "{text}");
        }
        assert_eq!(own.end_of_first(b"ac"), 2);
    }

    #[test]
    fn what_has_no_word_is_read() {
        assert!(Marks::of(&fields(&[&["a"], &["", ""]])).is_none());
        let none = Marks::of(&fields(&[])).unwrap();
        assert_eq!(none.end_of_first(b"all"), 3);
    }
}
