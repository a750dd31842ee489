//! What is for people to know: retries, limits, asides.

use aod_plugin_sdk::{Level, Out};

use crate::wire::Line;

/// A line that matters to people only, if at all.
pub(crate) fn aside(line: &Line<'_>, out: &mut Out) {
    let said = [
        &line.rest.summary,
        &line.rest.description,
        &line.rest.content,
    ];
    let kind = line.subtype.as_deref().unwrap_or(&line.kind);
    match said
        .into_iter()
        .find_map(|said| said.0.as_deref().filter(|text| !text.is_empty()))
    {
        Some(text) => out.notice(Level::Info, format!("{}: {text}", kind.replace('_', " "))),
        None => out.absorb(),
    }
}

/// A model that refuses.
pub(crate) fn refusal(line: &Line<'_>, out: &mut Out) {
    let text = match line.rest.content.0.as_deref() {
        Some(text) if !text.is_empty() => text,
        _ => "the model refused to answer",
    };
    out.coded_notice(Level::Warning, "refused", text);
}

/// A call of the API that failed and is tried again, in words.
pub(crate) fn retry(line: &Line<'_>) -> String {
    let mut text = "the API call failed".to_owned();
    let mut comma = " with ";
    if let Some(status) = line.rest.error_status {
        text += &format!("{comma}status {status}");
        comma = ", ";
    }
    if let Some(error) = line.error.0.as_deref() {
        text += &format!("{comma}{}", error.replace('_', " "));
    }
    if let (Some(attempt), Some(most)) = (line.rest.attempt, line.rest.max_retries) {
        text += &format!("; retry {attempt} of {most}");
    }
    if let Some(delay) = line.rest.retry_delay_ms {
        text += &format!(" in {:.1} s", delay / 1000.0);
    }
    text
}

/// Tells of a rate limit. Returns when it is reset, in milliseconds since the Unix epoch, if it is
/// or is about to be hit.
pub(crate) fn rate_limit(line: &Line<'_>, out: &mut Out) -> Option<u64> {
    let limit = line.rest.rate_limit_info.as_ref()?;
    let status = limit.status.0.as_deref().unwrap_or_default();
    let level = match status {
        "allowed" => Level::Info,
        "rejected" => Level::Error,
        _ => Level::Warning,
    };
    let mut text = format!("rate limit: {status}");
    if let Some(kind) = limit.kind.0.as_deref() {
        text += &format!(" ({})", kind.replace('_', " "));
    }
    if let Some(seconds) = limit.resets_at {
        text += &format!(", resets at {seconds}");
    }
    out.coded_notice(level, "rate_limit", text);
    limit
        .resets_at
        .filter(|_| level != Level::Info)
        .map(|seconds| seconds.saturating_mul(1000))
}
