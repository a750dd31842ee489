//! Why a turn failed.

use aod_plugin_sdk::failure::{failure, from_api};
use aod_plugin_sdk::json::Text;
use aod_plugin_sdk::{Exit, Failure, FailureKind, TurnResult, crashed, plain};
use serde::Deserialize;

/// From a result's error: `[API Error: …]` around the API's own words, as JSON or as text.
pub(crate) fn told(message: &str) -> Failure {
    let inner = message
        .strip_prefix("[API Error: ")
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(message);
    match serde_json::from_str::<ApiError<'_>>(inner) {
        Ok(api) => from_api(api.error.code, &api.error.message, FailureKind::Provider),
        Err(_) => from_api(None, inner, FailureKind::Provider),
    }
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

/// Lines of stderr that come with every turn, and the frames of stack traces.
pub(crate) fn is_noise(line: &str) -> bool {
    line.starts_with("YOLO mode is enabled")
        || line.starts_with("Ripgrep is not available")
        || line.starts_with("[STARTUP]")
        || (line.starts_with("Warning: ") && line.contains("color"))
        || line.trim_start().starts_with("at ")
}
