//! Words of the protocols that CLIs print, which stay although a secret has the same value.
//!
//! A line of JSON is of use only while its names and tags are what they were. A secret such as
//! `assistant` or `production` is therefore left alone there. So that this lets no real secret
//! through, it goes for words only: for what nobody could tell from a protocol's own text.

/// Members whose value tells a protocol's messages apart, in lower case and without separators.
const TAGS: &[&str] = &[
    "action",
    "apikeysource",
    "behavior",
    "cause",
    "code",
    "decision",
    "errortype",
    "event",
    "finishreason",
    "format",
    "kind",
    "level",
    "mediatype",
    "method",
    "mime",
    "mimetype",
    "mode",
    "model",
    "name",
    "op",
    "outcome",
    "outputstyle",
    "permissionmode",
    "phase",
    "provider",
    "providerid",
    "reason",
    "role",
    "server",
    "sessionupdate",
    "severity",
    "state",
    "status",
    "stopreason",
    "subagenttype",
    "subtype",
    "tasktype",
    "terminalreason",
    "tool",
    "toolname",
    "trigger",
    "type",
];

/// The longest name that is compared.
const LONGEST_TAG: usize = 32;
/// Longer values are no words.
const LONGEST_WORD: usize = 32;
/// Longer runs of letters are no words.
const LONGEST_PART: usize = 16;
/// Longer runs of digits are no version or size.
const LONGEST_DIGITS: usize = 2;

/// The name of a member, as far as it is needed to tell whether its value is a tag.
#[derive(Clone, Copy, Default)]
pub(super) struct TagName {
    bytes: [u8; LONGEST_TAG],
    length: u8,
    /// Whether it cannot be one: it is too long, or written with escapes.
    spoilt: bool,
}

impl TagName {
    pub(super) fn push(&mut self, more: &[u8]) {
        let length = usize::from(self.length);
        match self.bytes.get_mut(length..length + more.len()) {
            Some(room) => {
                room.copy_from_slice(more);
                self.length += more.len() as u8;
            }
            None => self.spoilt = true,
        }
    }

    pub(super) const fn spoil(&mut self) {
        self.spoilt = true;
    }

    /// Whether the value of this member is a tag: the name is one of those, or an id's.
    pub(super) fn is_tag(&self) -> bool {
        let name = &self.bytes[..usize::from(self.length)];
        if self.spoilt {
            return false;
        }
        if name == b"id"
            || [&b"_id"[..], b"-id", b"Id", b"ID"]
                .iter()
                .any(|end| name.ends_with(end))
        {
            return true;
        }
        let is_separator = |byte: &u8| matches!(byte, b'_' | b'-');
        let letters = || {
            name.iter()
                .filter(|byte| !is_separator(byte))
                .map(u8::to_ascii_lowercase)
        };
        TAGS.iter().any(|tag| letters().eq(tag.bytes()))
    }
}

/// Whether a value could be a protocol's own word: `tool_use`, `item.completed`, `image/png`.
pub(super) fn is_word(value: &[u8]) -> bool {
    if value.len() > LONGEST_WORD || value.iter().any(u8::is_ascii_uppercase) {
        return false;
    }
    let mut letters = 0;
    let mut parts = value.split(|byte| matches!(byte, b'_' | b'-' | b'.' | b'/'));
    parts.all(|part| {
        let is_number = part.iter().all(u8::is_ascii_digit) && part.len() <= LONGEST_DIGITS;
        if !is_number {
            letters += part.len();
        }
        is_number || is_pronounceable(part)
    }) && letters * 2 >= value.len()
}

/// The same for the names of members, which are often in camel case, too.
pub(super) fn is_name(value: &[u8]) -> bool {
    if is_word(value) {
        return true;
    }
    if value.len() > LONGEST_WORD || !value.first().is_some_and(u8::is_ascii_lowercase) {
        return false;
    }
    let mut words = Vec::with_capacity(value.len() + 8);
    let mut capitals = 0;
    for byte in value {
        if byte.is_ascii_uppercase() {
            capitals += 1;
            words.push(b'_');
        }
        words.push(byte.to_ascii_lowercase());
    }
    // Three letters or more to each word.
    capitals * 4 < value.len() && is_word(&words)
}

/// Whether letters look like a word of a language rather than like a key.
fn is_pronounceable(part: &[u8]) -> bool {
    if part.len() > LONGEST_PART || !part.iter().all(u8::is_ascii_lowercase) {
        return false;
    }
    let is_vowel = |byte: &u8| matches!(byte, b'a' | b'e' | b'i' | b'o' | b'u' | b'y');
    let is_rare = |byte: &&u8| matches!(byte, b'j' | b'q' | b'x' | b'z');
    let vowels = part.iter().filter(|byte| is_vowel(byte)).count();
    let longest_run = part.split(is_vowel).map(<[u8]>::len).max().unwrap_or(0);
    // Abbreviations such as `mcp` have none.
    part.len() <= 4
        || (vowels * 5 >= part.len()
            && longest_run <= 4
            && part.iter().filter(is_rare).count() <= 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_protocols_and_secrets() {
        for word in [
            "assistant",
            "tool_use",
            "production",
            "item.completed",
            "agent_message_chunk",
            "session/update",
            "content_block_delta",
            "image/png",
            "mcp__echo__echo",
            "development",
            "claude-sonnet-4-6",
            "/workspace",
            "subscription",
            "thread.started",
            "end_turn",
        ] {
            assert!(is_word(word.as_bytes()), "{word}");
        }
        for secret in [
            "Assistant",
            "sk-ant-0123456789",
            "hunter22",
            "qnvkzjwhxbtrplmd",
            "correct horse",
            "xkqzjvwp",
            "12345678",
            "a8f5f167f44f4964e6c998dee827110c",
            "pässword",
            "2026-11-27",
            "bcptcqphk",
            "this-is-a-value-that-is-longer-than-any-word",
            "sk-proj-a1b2c3d4",
        ] {
            assert!(!is_word(secret.as_bytes()), "{secret}");
        }
    }

    #[test]
    fn names_may_be_in_camel_case() {
        for name in [
            "sessionId",
            "toolCallId",
            "sessionUpdate",
            "input_tokens",
            "parentToolUseId",
        ] {
            assert!(is_name(name.as_bytes()), "{name}");
        }
        for secret in [
            "AbCdEfGhIjKl",
            "sK8dPqLmZx",
            "CorrectHorse",
            "QNVKZJWH",
            "aBcDeFgHiJ",
        ] {
            assert!(!is_name(secret.as_bytes()), "{secret}");
        }
    }

    #[test]
    fn names_of_tags() {
        let is_tag = |name: &str| {
            let mut tag = TagName::default();
            // In pieces, as it may come.
            name.as_bytes().chunks(3).for_each(|piece| tag.push(piece));
            tag.is_tag()
        };
        for name in [
            "type",
            "tool_name",
            "toolName",
            "stop_reason",
            "sessionUpdate",
            "tool_use_id",
            "callID",
            "id",
        ] {
            assert!(is_tag(name), "{name}");
        }
        let long = "a_name_that_is_longer_than_any_tag_id";
        for name in ["", "text", "content", "valid", "typed", "command", long] {
            assert!(!is_tag(name), "{name}");
        }
    }
}
