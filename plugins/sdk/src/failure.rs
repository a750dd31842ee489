//! Why turns fail: from a status or a message to [`FailureKind`].

use crate::{Failure, FailureKind, Refusal};

/// Makes a failure without a time to try again.
#[must_use]
pub fn failure(kind: FailureKind, message: impl Into<String>) -> Failure {
    Failure {
        kind,
        message: message.into(),
        retry_at_ms: None,
    }
}

/// Makes a refusal of something that the CLI cannot do, with the field that is to blame.
#[must_use]
pub fn unsupported(field: &str, message: &str) -> Refusal {
    Refusal {
        kind: FailureKind::Unsupported,
        field: Some(field.to_owned()),
        message: message.to_owned(),
    }
}

/// Makes a failure of what a provider's API answered: by the HTTP status where there is one, else
/// by the words. A time to try again is read from the words.
///
/// `otherwise` is the kind where neither says anything.
#[must_use]
pub fn from_api(status: Option<u16>, message: &str, otherwise: FailureKind) -> Failure {
    let kind = status
        .and_then(kind_of_status)
        .or_else(|| kind_of_words(message))
        .unwrap_or(otherwise);
    Failure {
        kind,
        message: message.to_owned(),
        retry_at_ms: (kind == FailureKind::Quota)
            .then(|| reset_time_ms(message))
            .flatten(),
    }
}

/// The kind that an HTTP status of a provider's API means.
#[must_use]
pub fn kind_of_status(status: u16) -> Option<FailureKind> {
    match status {
        401 | 403 => Some(FailureKind::Auth),
        402 | 429 => Some(FailureKind::Quota),
        408 | 504 => Some(FailureKind::Timeout),
        400..=599 => Some(FailureKind::Provider),
        _ => None,
    }
}

/// The kind that a message means, by the words that providers and CLIs use.
#[must_use]
pub fn kind_of_words(message: &str) -> Option<FailureKind> {
    let message = message.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if has(QUOTA) {
        Some(FailureKind::Quota)
    } else if has(AUTH) {
        Some(FailureKind::Auth)
    } else if has(TIMEOUT) {
        Some(FailureKind::Timeout)
    } else if has(PROVIDER) {
        Some(FailureKind::Provider)
    } else {
        None
    }
}

const QUOTA: &[&str] = &[
    "rate limit",
    "rate_limit",
    "ratelimit",
    "quota",
    "usage limit",
    "limit reached",
    "credit balance",
    "billing",
    "resource_exhausted",
    "resource exhausted",
    "too many requests",
    "status 429",
];
const AUTH: &[&str] = &[
    "api key",
    "api_key",
    "apikey",
    "authentication",
    "unauthorized",
    "unauthenticated",
    "forbidden",
    "permission_denied",
    "not logged in",
    "please run /login",
    "oauth token",
    "auth method",
    "invalid_grant",
    "status 401",
    "status 403",
];
const TIMEOUT: &[&str] = &["timed out", "timeout", "deadline exceeded"];
const PROVIDER: &[&str] = &[
    "model",
    "overloaded",
    "internal server error",
    "server_error",
    "bad gateway",
    "service unavailable",
    "connection",
    "econnrefused",
    "enotfound",
    "fetch failed",
    "network",
    "stream disconnected",
    "status 4",
    "status 5",
];

/// A time to try again that a message names, in milliseconds since the Unix epoch: seconds or
/// milliseconds since the epoch after a `|`, or an RFC 3339 time in UTC.
///
/// Spans such as "in 20 s" cannot be used: an adapter has no clock.
#[must_use]
pub fn reset_time_ms(message: &str) -> Option<u64> {
    after_bar(message).or_else(|| rfc3339(message))
}

fn after_bar(message: &str) -> Option<u64> {
    message
        .split('|')
        .skip(1)
        .find_map(|part| epoch_ms(&part[..part.len() - part.trim_start_matches(digit).len()]))
}

/// Reads seconds or milliseconds since the epoch; what lies outside this century is neither.
#[must_use]
pub fn epoch_ms(digits: &str) -> Option<u64> {
    match (digits.len(), digits.parse::<u64>().ok()?) {
        (10, seconds) => Some(seconds.saturating_mul(1000)),
        (13, milliseconds) => Some(milliseconds),
        _ => None,
    }
}

fn digit(character: char) -> bool {
    character.is_ascii_digit()
}

/// Finds `YYYY-MM-DDThh:mm:ss[.f]Z`.
fn rfc3339(message: &str) -> Option<u64> {
    let bytes = message.as_bytes();
    (0..bytes.len().saturating_sub(19)).find_map(|at| {
        let stamp = &bytes[at..at + 19];
        let punctuation = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
        if punctuation.iter().any(|&(at, byte)| stamp[at] != byte) {
            return None;
        }
        let tail = &bytes[at + 19..];
        let fraction = match tail.strip_prefix(b".") {
            Some(digits) => {
                1 + digits
                    .iter()
                    .take_while(|byte| byte.is_ascii_digit())
                    .count()
            }
            None => 0,
        };
        if tail.get(fraction) != Some(&b'Z') {
            return None;
        }
        let number = |from: usize, to: usize| -> Option<u64> {
            std::str::from_utf8(&stamp[from..to]).ok()?.parse().ok()
        };
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day)
        {
            return None;
        }
        let seconds = number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
        Some((days_since_epoch(year, month, day) * 86_400 + seconds) * 1000)
    })
}

/// Days from 1970-01-01 in the Gregorian calendar, for years from 1970: counted in years that
/// begin with March, so that the leap day is a year's last.
fn days_since_epoch(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    365 * year + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses() {
        let kind = |status| from_api(Some(status), "x", FailureKind::Crash).kind;
        assert_eq!(kind(401), FailureKind::Auth);
        assert_eq!(kind(403), FailureKind::Auth);
        assert_eq!(kind(429), FailureKind::Quota);
        assert_eq!(kind(404), FailureKind::Provider);
        assert_eq!(kind(500), FailureKind::Provider);
        assert_eq!(kind(529), FailureKind::Provider);
        assert_eq!(kind(504), FailureKind::Timeout);
        assert_eq!(kind(200), FailureKind::Crash);
    }

    #[test]
    fn words() {
        let cases = [
            ("Not logged in · Please run /login", FailureKind::Auth),
            ("Invalid API key · Fix external API key", FailureKind::Auth),
            ("You exceeded your current quota", FailureKind::Quota),
            ("429 Too Many Requests", FailureKind::Quota),
            ("fetch failed: ECONNREFUSED", FailureKind::Provider),
            ("Request timed out", FailureKind::Timeout),
            ("unexpected status 401 Unauthorized", FailureKind::Auth),
            ("something else", FailureKind::Crash),
        ];
        for (message, kind) in cases {
            assert_eq!(
                from_api(None, message, FailureKind::Crash).kind,
                kind,
                "{message}"
            );
        }
    }

    #[test]
    fn reset_times() {
        let cases = [
            (
                "Claude AI usage limit reached|1763000000",
                Some(1_763_000_000_000),
            ),
            ("limit|1763000000123|", Some(1_763_000_000_123)),
            (
                "resets at 2026-11-24T14:30:53.701Z.",
                Some(1_795_530_653_000),
            ),
            ("resets at 2024-02-29T00:00:00Z", Some(1_709_164_800_000)),
            ("resets at 2026-13-24T14:30:53Z", None),
            ("a|b|12", None),
            ("|", None),
            ("in 20 s", None),
            ("2026-11-24T14:30:5", None),
            ("é2026-11-24T14:30:53é", None),
        ];
        for (message, expected) in cases {
            assert_eq!(reset_time_ms(message), expected, "{message}");
        }
        assert_eq!(days_since_epoch(1970, 1, 1), 0);
    }
}
