//! How a turn ended, from its `result` line.

use aod_plugin_sdk::failure::{failure, from_api};
use aod_plugin_sdk::{Failure, FailureKind, StopKind, TurnResult, completed, failed, stopped};

use crate::wire::Line;

/// What the lines before the result have told of a failure to come.
#[derive(Debug, Default)]
pub(crate) struct Omens {
    /// The word for an API error in the last message made up for it.
    pub(crate) error: Option<String>,
    /// When a limit that was hit is reset, in milliseconds since the Unix epoch.
    pub(crate) reset_at_ms: Option<u64>,
}

/// `wants_form`: whether the answer must be of a form that was asked for.
pub(crate) fn outcome(line: Line<'_>, omens: &Omens, wants_form: bool) -> TurnResult {
    let ended = how_it_ended(&line, omens, wants_form);
    // The model's own word where it was the model that stopped.
    let cause = line.rest.terminal_reason.filter(|cause| {
        &**cause != "completed" && line.rest.stop_reason.as_deref() != Some("refusal")
    });
    TurnResult {
        native_reason: cause
            .or(line.rest.stop_reason)
            .or(line.subtype)
            .map(Into::into),
        duration_ms: line.rest.duration_ms,
        text: line.rest.result.0.map(Into::into),
        structured: line
            .rest
            .structured_output
            .map(|answer| answer.get().to_owned()),
        ..ended
    }
}

fn is_abort(terminal_reason: &str) -> bool {
    terminal_reason.starts_with("aborted")
}

/// API errors come as a `success` that is an error; stops by the user as an error that is none; a
/// turn that made way for another input as a success that was broken off.
fn how_it_ended(line: &Line<'_>, omens: &Omens, wants_form: bool) -> TurnResult {
    let subtype = line.subtype.as_deref().unwrap_or_default();
    let is_error = line.rest.is_error.unwrap_or(false) || subtype.starts_with("error");
    if line.rest.terminal_reason.as_deref().is_some_and(is_abort) {
        return stopped(
            if is_error {
                StopKind::Interrupted
            } else {
                StopKind::Preempted
            },
            "",
        );
    }
    if is_error {
        let failure = why_it_failed(line, subtype, omens);
        let ended = failed(failure);
        return match subtype {
            "error_max_turns" => TurnResult {
                stop: StopKind::MaxRounds,
                ..ended
            },
            _ => ended,
        };
    }
    if wants_form && line.rest.structured_output.is_none() {
        return failed(failure(
            FailureKind::Output,
            "the model did not answer in the form that was asked for",
        ));
    }
    completed(None)
}

fn why_it_failed(line: &Line<'_>, subtype: &str, omens: &Omens) -> Failure {
    let message = message(line, subtype);
    let kind = match subtype {
        _ if message.contains("No conversation found") => Some(FailureKind::Resume),
        _ if line.rest.stop_reason.as_deref() == Some("refusal") => Some(FailureKind::Refused),
        "error_max_turns" | "error_max_budget_usd" => Some(FailureKind::Limit),
        "error_max_structured_output_retries" => Some(FailureKind::Output),
        _ => omens.error.as_deref().and_then(kind_of_word),
    };
    let mut failure = match kind {
        Some(kind) => failure(kind, message),
        None => from_api(line.rest.api_error_status, &message, FailureKind::Crash),
    };
    if failure.kind == FailureKind::Quota {
        failure.retry_at_ms = aod_plugin_sdk::failure::reset_time_ms(&failure.message)
            .or(failure.retry_at_ms)
            .or(omens.reset_at_ms);
    }
    failure
}

fn message(line: &Line<'_>, subtype: &str) -> String {
    if let Some(result) = line
        .rest
        .result
        .0
        .as_deref()
        .filter(|text| !text.is_empty())
    {
        return result.to_owned();
    }
    let errors: Vec<&str> = line
        .rest
        .errors
        .iter()
        .filter_map(|error| error.0.as_deref())
        .collect();
    if errors.is_empty() {
        subtype.replace('_', " ")
    } else {
        errors.join("; ")
    }
}

/// The CLI's own words for API errors; `unknown` and newer ones say nothing.
pub(crate) fn kind_of_word(word: &str) -> Option<FailureKind> {
    match word {
        "authentication_failed" | "oauth_org_not_allowed" => Some(FailureKind::Auth),
        "billing_error" | "rate_limit" => Some(FailureKind::Quota),
        "server_error" | "overloaded" | "model_not_found" | "invalid_request"
        | "max_output_tokens" => Some(FailureKind::Provider),
        _ => None,
    }
}
