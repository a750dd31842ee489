//! The CLI's own log on stderr: `key=value` pairs, values with blanks as JSON strings.

use std::borrow::Cow;

use aod_plugin_sdk::{Level, McpState, Out};

/// What a line of the log says, as far as the adapter reads it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Entry<'a> {
    pub(crate) level: Cow<'a, str>,
    pub(crate) message: Cow<'a, str>,
    /// What failed.
    pub(crate) error: Cow<'a, str>,
    /// The name of an MCP server.
    pub(crate) key: Cow<'a, str>,
    /// Where it stands.
    pub(crate) status: Cow<'a, str>,
    /// Whether it is about a small request beside the conversation, such as for a title.
    pub(crate) small: bool,
}

/// Reads a line; none where it is no line of the log.
pub(crate) fn read(line: &str) -> Option<Entry<'_>> {
    if !line.starts_with("timestamp=") {
        return None;
    }
    let mut entry = Entry::default();
    let mut rest = line;
    while let Some((key, after)) = rest.trim_start().split_once('=') {
        let (value, after) = value(after);
        rest = after;
        match key {
            "level" => entry.level = value,
            "message" => entry.message = value,
            "error" | "error.error" => entry.error = value,
            "key" => entry.key = value,
            "status" => entry.status = value,
            "small" => entry.small = value == "true",
            _ => {}
        }
    }
    Some(entry)
}

/// Tells what a line of stderr says. Returns what failed where it is a request for a reply.
pub(crate) fn tell<'a>(line: &'a str, out: &mut Out) -> Option<Cow<'a, str>> {
    let Some(entry) = read(line) else {
        out.stderr(line);
        return None;
    };
    match &*entry.message {
        "stream error" if entry.small => out.notice(Level::Info, entry.error),
        "stream error" => return Some(entry.error),
        "server unavailable" => {
            let state = match &*entry.status {
                "needs_auth" | "needs_client_registration" => McpState::NeedsAuth,
                "disabled" => McpState::Disabled,
                _ => McpState::Failed,
            };
            out.mcp_server(entry.key, state, None);
        }
        message => {
            let level = match &*entry.level {
                "ERROR" => Level::Error,
                "WARN" => Level::Warning,
                _ => Level::Info,
            };
            let text = match &*entry.error {
                "" => message.to_owned(),
                error => format!("{message}: {error}"),
            };
            out.notice(level, text);
        }
    }
    None
}

/// A value, and what follows it.
fn value(text: &str) -> (Cow<'_, str>, &str) {
    let bare = || match text.split_once(' ') {
        Some((value, rest)) => (Cow::Borrowed(value), rest),
        None => (Cow::Borrowed(text), ""),
    };
    if !text.starts_with('"') {
        return bare();
    }
    let mut strings = serde_json::Deserializer::from_str(text).into_iter::<String>();
    match strings.next() {
        Some(Ok(value)) => {
            let end = strings.byte_offset();
            (Cow::Owned(value), text.get(end..).unwrap_or_default())
        }
        _ => bare(),
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn lines_are_read_and_rubbish_does_no_harm() {
        let entry = read(
            "timestamp=2026-11-27T10:23:02.296Z level=ERROR run=c message=\"stream error\" \
             small=false error.error=\"AI_APICallError: \\\"no\\\" more\"",
        )
        .unwrap();
        assert_eq!(
            (&*entry.level, &*entry.message, &*entry.error, entry.small),
            (
                "ERROR",
                "stream error",
                "AI_APICallError: \"no\" more",
                false
            )
        );
        assert_eq!(read("Error: Session not found"), None);
        for rubbish in [
            "timestamp=",
            "timestamp=\"",
            "timestamp=\"\\",
            "timestamp=é= =",
            "timestamp=1 x",
        ] {
            assert!(read(rubbish).is_some(), "{rubbish}");
        }
    }
}
