//! Why a turn failed.

use aod_plugin_sdk::failure::{failure, from_api};
use aod_plugin_sdk::{Exit, Failure, FailureKind, TurnResult, crashed, plain};

use crate::wire::Error;

/// From an `error` line; none for what the user stopped.
pub(crate) fn told(error: &Error<'_>) -> Option<Failure> {
    let message = error.data.message.0.as_deref().unwrap_or(&error.name);
    match &*error.name {
        "MessageAbortedError" => None,
        "ProviderAuthError" => Some(failure(FailureKind::Auth, message)),
        "ContentFilterError" => Some(failure(FailureKind::Refused, message)),
        "ProviderModelNotFoundError" | "ProviderInitError" => {
            Some(failure(FailureKind::Provider, message))
        }
        _ => Some(from_api(error.data.status, message, FailureKind::Provider)),
    }
}

/// From stderr, where no line told how the turn ended.
pub(crate) fn untold(exit: &Exit) -> TurnResult {
    let mut result = crashed(exit);
    if is_lost(exit) {
        let message = plain(exit.stderr_tail.trim());
        result.failure = Some(failure(FailureKind::Resume, message));
    }
    result
}

/// Whether the conversation to resume is not there.
pub(crate) fn is_lost(exit: &Exit) -> bool {
    exit.stderr_tail.contains("Session not found")
}
