//! Why turns fail, and whether their answers have the form that was asked for.

use aod_plugin_sdk::failure::{failure, from_api};
use aod_plugin_sdk::{Failure, FailureKind};
use serde::de::IgnoredAny;

/// What the CLI says of a failure: it names the status in words, as in `unexpected status 401
/// Unauthorized: …`.
pub(crate) fn why(message: &str) -> Failure {
    if message.contains("content_filter") {
        return failure(FailureKind::Refused, message);
    }
    let status = message.split("status").skip(1).find_map(|rest| {
        let digits = rest.trim_start_matches([' ', ':', '=']);
        digits.get(..3)?.parse().ok()
    });
    from_api(status, message, FailureKind::Provider)
}

/// Whether a text is the JSON that was asked for.
pub(crate) fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}
