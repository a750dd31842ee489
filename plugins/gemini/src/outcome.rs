//! Why a turn failed.

use aod_plugin_sdk::failure::{failure, from_api, reset_time_ms};
use aod_plugin_sdk::json::Text;
use aod_plugin_sdk::{
    Exit, Failure, FailureKind, StopKind, TurnResult, crashed, failed, plain, stopped,
};
use serde::Deserialize;

use crate::wire::Error;

/// From a result's error.
/// `timestamp` is the line's.
pub(crate) fn told(error: &Error<'_>, timestamp: &str) -> TurnResult {
    if &*error.kind == "FatalTurnLimitedError" {
        let message = "the turn reached its limit of requests to the model";
        return TurnResult {
            failure: Some(failure(FailureKind::Limit, message)),
            ..stopped(StopKind::MaxRounds, error.kind.to_string())
        };
    }
    let mut failure = of_api(&error.message);
    if failure.kind == FailureKind::Quota && failure.retry_at_ms.is_none() {
        failure.retry_at_ms = reset_time_ms(timestamp)
            .zip(seconds_to_wait(&failure.message))
            .map(|(now, seconds)| now.saturating_add(seconds.saturating_mul(1000)));
    }
    failed(failure)
}

/// As in "Suggested retry after 1s." and "Please retry in 34.07s.", rounded up.
fn seconds_to_wait(message: &str) -> Option<u64> {
    let after = ["retry after ", "retry in "]
        .iter()
        .find_map(|words| message.split_once(words))?
        .1;
    let number = after.split_once('s')?.0;
    let seconds: f64 = number.parse().ok()?;
    // No provider asks for more than a week; a float of another size says nothing.
    (0.0..=604_800.0)
        .contains(&seconds)
        .then(|| seconds.ceil() as u64)
}

/// `[API Error: …]` around the API's own words, as JSON or as text.
fn of_api(message: &str) -> Failure {
    let inner = message.strip_prefix("[API Error: ").unwrap_or(message);
    let whole = inner.strip_suffix(']').unwrap_or(inner);
    match serde_json::from_str::<ApiError<'_>>(whole) {
        Ok(api) => from_api(api.error.code, &api.error.message, FailureKind::Provider),
        // Advice of the CLI's may follow.
        Err(_) => from_api(None, &whole.replacen("]\n", "\n", 1), FailureKind::Provider),
    }
}

/// From an error in the stream, after which nothing of the reply counts.
pub(crate) fn broken_off(why: &str) -> Failure {
    let kind = match is_blocked(why) {
        true => FailureKind::Refused,
        false => FailureKind::Provider,
    };
    failure(kind, why)
}

/// Whether a reply ended so since the provider does not want it to be read.
pub(crate) fn is_blocked(why: &str) -> bool {
    let why = why.to_ascii_lowercase();
    let words = [
        "safety",
        "recitation",
        "blocked",
        "blocklist",
        "prohibited",
        "spii",
    ];
    words.iter().any(|word| why.contains(word))
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct ApiError<'a> {
    error: ApiErrorBody<'a>,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct ApiErrorBody<'a> {
    #[serde(default)]
    code: Option<u16>,
    message: Text<'a>,
}

/// From the exit code, where there is no result.
pub(crate) fn untold(exit: &Exit) -> TurnResult {
    let kind = match exit.code {
        Some(NO_AUTHENTICATION) => FailureKind::Auth,
        Some(BAD_INPUT) if is_lost(exit) => FailureKind::Resume,
        _ => return crashed(exit),
    };
    let said = plain(&exit.stderr_tail);
    let words: Vec<&str> = said
        .lines()
        .filter(|line| !is_noise(line) && !line.trim().is_empty())
        .collect();
    TurnResult {
        failure: Some(failure(kind, words.join("\n"))),
        ..crashed(exit)
    }
}

/// Whether the conversation to resume is not there.
pub(crate) fn is_lost(exit: &Exit) -> bool {
    exit.code == Some(BAD_INPUT) && exit.stderr_tail.contains("Error resuming session")
}

const NO_AUTHENTICATION: i32 = 41;
const BAD_INPUT: i32 = 42;

/// Whether a line of stderr tells of a request that is tried again.
pub(crate) fn is_retry(line: &str) -> bool {
    line.starts_with("Attempt ") && line.contains(" failed")
}

/// Lines of stderr that come with every turn, and the frames of stack traces.
pub(crate) fn is_noise(line: &str) -> bool {
    line.starts_with("YOLO mode is enabled")
        || line.starts_with("Ripgrep is not available")
        || line.starts_with("[STARTUP]")
        || (line.starts_with("Warning: ") && line.contains("color"))
        || line.trim_start().starts_with("at ")
}

#[cfg(test)]
mod tests {
    use super::seconds_to_wait;

    #[test]
    fn spans_are_read() {
        assert_eq!(seconds_to_wait("x\nSuggested retry after 1s."), Some(1));
        assert_eq!(seconds_to_wait("Please retry in 34.07s."), Some(35));
        assert_eq!(seconds_to_wait("retry in a while, says he"), None);
        assert_eq!(seconds_to_wait("retry in -1s"), None);
        assert_eq!(seconds_to_wait("retry"), None);
    }
}
