//! Sizes and durations as people write them.

use std::time::Duration;

/// Reads a size such as `64MiB`, in bytes.
pub(super) fn size(text: &str) -> Option<usize> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number
        .checked_mul(factor)
        .and_then(|bytes| usize::try_from(bytes).ok())
}

/// Reads a duration such as `250ms` or `2s`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    match split(text)? {
        (number, "ms") => Some(Duration::from_millis(number)),
        (number, "s") => Some(Duration::from_secs(number)),
        _ => None,
    }
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let number = text[..end].parse().ok()?;
    Some((number, text[end..].trim_start_matches(' ')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size("64MiB"), Some(64 << 20));
        assert_eq!(size("1 GiB"), Some(1 << 30));
        assert_eq!(size("512B"), Some(512));
        for text in [
            "",
            "64",
            "MiB",
            "64MB",
            "-1MiB",
            "1.5GiB",
            "99999999999999999999B",
        ] {
            assert_eq!(size(text), None, "{text}");
        }
        assert_eq!(size("18446744073709551615GiB"), None);
    }

    #[test]
    fn durations() {
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(duration("2s"), Some(Duration::from_secs(2)));
        for text in ["", "250", "1m", "-1s", "s"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
