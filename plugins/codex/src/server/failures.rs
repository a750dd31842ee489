//! Why turns fail, in the server's words.

use aod_plugin_sdk::failure::{failure, from_api};
use aod_plugin_sdk::{Failure, FailureKind};
use serde_json::value::RawValue;

use super::wire::{ErrorInfo, RateLimits, TurnError};
use crate::errors::why;

/// What an error says, with what caused it.
pub(super) fn said(error: &TurnError<'_>) -> String {
    let message = &*error.message;
    match error.additional_details.0.as_deref() {
        Some(details) if !details.is_empty() && !message.contains(details) => {
            format!("{message} ({details})")
        }
        _ => message.to_owned(),
    }
}

/// Why a turn failed, or a request to the model that is tried again.
pub(super) fn of(error: &TurnError<'_>) -> Failure {
    let message = said(error);
    let (word, status) = info(error.codex_error_info);
    if let Some(status) = status {
        return from_api(Some(status), &message, FailureKind::Provider);
    }
    let kind = match word.as_str() {
        "usageLimitExceeded" | "rateLimitExceeded" => FailureKind::Quota,
        "unauthorized" => FailureKind::Auth,
        "sessionBudgetExceeded" => FailureKind::Limit,
        "cyberPolicy" | "misalignmentPolicyViolation" => FailureKind::Refused,
        _ => return why(&message),
    };
    Failure {
        retry_at_ms: why(&message).retry_at_ms,
        ..failure(kind, message)
    }
}

/// The word for an error, and the HTTP status behind it.
fn info(raw: Option<&RawValue>) -> (String, Option<u16>) {
    let Some(raw) = raw else {
        return (String::new(), None);
    };
    if let Ok(word) = serde_json::from_str::<String>(raw.get()) {
        return (word, None);
    }
    let keyed: std::collections::BTreeMap<String, Option<ErrorInfo>> =
        serde_json::from_str(raw.get()).unwrap_or_default();
    let first = keyed.into_iter().next();
    first.map_or((String::new(), None), |(word, info)| {
        (word, info.and_then(|info| info.http_status_code))
    })
}

/// When a plan that is used up can be used again, in milliseconds since the Unix epoch.
pub(super) fn resets_at_ms(limits: &RateLimits) -> Option<u64> {
    let all = [&limits.primary, &limits.secondary].into_iter().flatten();
    let used_up = all.filter(|limit| limit.used_percent >= 100.0);
    used_up
        .filter_map(|limit| limit.resets_at?.checked_mul(1000))
        .max()
}
