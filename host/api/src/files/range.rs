//! `Range`: one part of a file.

use std::ops::Range;

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RequestedRange {
    /// The whole file: several parts, and what is no range, are answered so, as HTTP allows.
    Whole,
    /// These bytes.
    Part(Range<u64>),
    /// The file has no such part.
    Nothing,
}

/// Reads what a header `Range` wants of a file of that length.
pub(super) fn read(header: Option<&str>, length: u64) -> RequestedRange {
    let Some(part) = header.and_then(|header| {
        let (unit, ranges) = header.split_once('=')?;
        let is_bytes = unit.trim().eq_ignore_ascii_case("bytes");
        (is_bytes && !ranges.contains(',')).then_some(ranges.trim())
    }) else {
        return RequestedRange::Whole;
    };
    let Some((first, last)) = part.split_once('-') else {
        return RequestedRange::Whole;
    };
    match (number(first), number(last)) {
        // The last bytes.
        (None, Some(count)) if first.is_empty() => match count.min(length) {
            0 => RequestedRange::Nothing,
            count => RequestedRange::Part(length - count..length),
        },
        (Some(first), None) if last.is_empty() => match first < length {
            true => RequestedRange::Part(first..length),
            false => RequestedRange::Nothing,
        },
        (Some(first), Some(last)) if first <= last => match first < length {
            true => RequestedRange::Part(first..last.saturating_add(1).min(length)),
            false => RequestedRange::Nothing,
        },
        _ => RequestedRange::Whole,
    }
}

/// A number of digits alone. One that is larger than any file is the largest.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_range_of_bytes_is_read_and_all_else_is_the_whole() {
        for (header, wanted) in [
            ("bytes=0-0", RequestedRange::Part(0..1)),
            ("bytes=2-5", RequestedRange::Part(2..6)),
            ("bytes=2-", RequestedRange::Part(2..10)),
            ("bytes=-3", RequestedRange::Part(7..10)),
            ("bytes=-100", RequestedRange::Part(0..10)),
            (
                "bytes=9-99999999999999999999999",
                RequestedRange::Part(9..10),
            ),
            ("BYTES = 0-0", RequestedRange::Part(0..1)),
            ("bytes=-0", RequestedRange::Nothing),
            ("bytes=10-", RequestedRange::Nothing),
            ("bytes=99999999999999999999999-", RequestedRange::Nothing),
            ("bytes=5-2", RequestedRange::Whole),
            ("bytes=0-1,3-4", RequestedRange::Whole),
            ("bytes=-", RequestedRange::Whole),
            ("bytes=a-b", RequestedRange::Whole),
            ("bytes=+1-2", RequestedRange::Whole),
            ("bytes=--1", RequestedRange::Whole),
            ("lines=0-1", RequestedRange::Whole),
            ("", RequestedRange::Whole),
        ] {
            assert_eq!(read(Some(header), 10), wanted, "{header:?}");
        }
        assert_eq!(read(None, 10), RequestedRange::Whole);
        assert_eq!(read(Some("bytes=-5"), 0), RequestedRange::Nothing);
        assert_eq!(read(Some("bytes=0-"), 0), RequestedRange::Nothing);
    }

    proptest! {
        #[test]
        fn a_part_is_in_the_file(header in "(bytes=)?[0-9]{0,21}-?[0-9]{0,21}", length in any::<u64>()) {
            if let RequestedRange::Part(part) = read(Some(&header), length) {
                prop_assert!(part.start < part.end && part.end <= length);
            }
        }
    }
}
