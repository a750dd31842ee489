//! Lists of tools without those that may not be called.

use aod_egress::{Permission, ToolPolicy};
use serde_json::Value;

/// The longest event, or answer, that is looked at.
pub(super) const MAX_LIST: usize = 16 << 20;

/// A message without the tools that may not be called; none where it is to stay as it is.
pub(super) fn filtered(text: &[u8], policy: &ToolPolicy) -> Option<String> {
    if memchr::memmem::find(text, b"tools").is_none() && !text.contains(&b'\\') {
        return None;
    }
    let mut message: Value = serde_json::from_slice(text).ok()?;
    let tools = message.pointer_mut("/result/tools")?.as_array_mut()?;
    let before = tools.len();
    tools.retain(|tool| {
        let name = tool.get("name").and_then(Value::as_str);
        name.is_none_or(|name| policy.of(name) != Permission::Deny)
    });
    (tools.len() < before).then(|| message.to_string())
}

/// A stream of events (WHATWG HTML, section 9.2), passed on one by one.
#[derive(Default)]
pub(super) struct Events {
    waiting: Vec<u8>,
    /// What of it has been looked at for the end of a line.
    seen: usize,
    /// Where the line that comes next begins.
    line: usize,
}

impl Events {
    /// Takes bytes, and gives the events that are whole; `Err` where one is too long.
    pub(super) fn take(&mut self, bytes: &[u8], policy: &ToolPolicy) -> Result<Vec<u8>, ()> {
        self.waiting.extend_from_slice(bytes);
        let mut out = Vec::new();
        let mut begin = 0;
        while let Some(end) = self.next_line() {
            let is_empty = end.content == self.line;
            self.line = end.next;
            self.seen = end.next;
            if is_empty {
                write(&self.waiting[begin..end.next], policy, &mut out);
                begin = end.next;
            }
        }
        self.waiting.drain(..begin);
        self.line -= begin;
        self.seen -= begin;
        match self.waiting.len() > MAX_LIST {
            true => Err(()),
            false => Ok(out),
        }
    }

    /// The end of the next line that is whole.
    fn next_line(&mut self) -> Option<LineEnd> {
        let found = memchr::memchr2(b'\n', b'\r', &self.waiting[self.seen..]);
        let Some(offset) = found else {
            self.seen = self.waiting.len();
            return None;
        };
        let content = self.seen + offset;
        let next = match (self.waiting[content], self.waiting.get(content + 1)) {
            (b'\r', Some(b'\n')) => content + 2,
            // A line feed may follow.
            (b'\r', None) => {
                self.seen = content;
                return None;
            }
            _ => content + 1,
        };
        Some(LineEnd { content, next })
    }
}

struct LineEnd {
    /// Where the line's content ends.
    content: usize,
    /// Where the next begins.
    next: usize,
}

/// Writes one event.
fn write(event: &[u8], policy: &ToolPolicy, out: &mut Vec<u8>) {
    let mut data: Option<Vec<u8>> = None;
    let mut others = Vec::new();
    for line in event.split(|byte| matches!(byte, b'\n' | b'\r')) {
        match line.strip_prefix(b"data:") {
            Some(value) => {
                let value = value.strip_prefix(b" ").unwrap_or(value);
                match &mut data {
                    Some(data) => {
                        data.push(b'\n');
                        data.extend_from_slice(value);
                    }
                    None => data = Some(value.to_vec()),
                }
            }
            None if line.is_empty() => {}
            None => {
                others.extend_from_slice(line);
                others.push(b'\n');
            }
        }
    }
    match data.and_then(|data| filtered(&data, policy)) {
        Some(data) => {
            out.extend_from_slice(&others);
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(data.as_bytes());
            out.extend_from_slice(b"\n\n");
        }
        None => out.extend_from_slice(event),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy() -> ToolPolicy {
        ToolPolicy {
            server: "s".to_owned(),
            default: Permission::Allow,
            tools: [("bad".to_owned(), Permission::Deny)].into(),
            timeout_ms: 1,
        }
    }

    const LIST: &str = r#"{"id":1,"result":{"tools":[{"name":"good"},{"name":"bad"}]}}"#;

    #[test]
    fn denied_tools_are_left_out() {
        let text = filtered(LIST.as_bytes(), &policy()).unwrap();
        assert_eq!(text, r#"{"id":1,"result":{"tools":[{"name":"good"}]}}"#);
        // Also where the names are written in another way.
        let escaped = LIST
            .replace("tools", r"tool\u0073")
            .replace("bad", r"\u0062ad");
        assert_eq!(filtered(escaped.as_bytes(), &policy()), Some(text.clone()));
        for other in [
            text.as_str(),
            "{}",
            "tools",
            r#"{"tools":[{"name":"bad"}]}"#,
        ] {
            assert_eq!(filtered(other.as_bytes(), &policy()), None, "{other}");
        }
    }

    #[test]
    fn events_are_filtered_one_by_one() {
        let stream = format!(": hi\n\nid: 7\r\ndata: {LIST}\r\n\r\ndata: {{\ndata: }}\n\nrest");
        let mut events = Events::default();
        let out = events.take(stream.as_bytes(), &policy()).unwrap();
        let text = String::from_utf8(out).unwrap();
        let list = r#"{"id":1,"result":{"tools":[{"name":"good"}]}}"#;
        assert_eq!(
            text,
            format!(": hi\n\nid: 7\ndata: {list}\n\ndata: {{\ndata: }}\n\n")
        );
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            parts in prop::collection::vec("(\n|\r|\r\n|data: |id: 1|LIST|x|:)", 0..30),
            cuts in prop::collection::vec(0_usize..200, 0..6),
        ) {
            let text = parts.concat().replace("LIST", LIST);
            let bytes = text.as_bytes();
            // What ends in a carriage return waits for what follows.
            let whole = Events::default().take(bytes, &policy()).unwrap();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
            cuts.push(bytes.len());
            cuts.sort_unstable();
            let (mut events, mut from, mut out) = (Events::default(), 0, Vec::new());
            for cut in cuts {
                out.extend(events.take(&bytes[from..cut], &policy()).unwrap());
                from = cut;
            }
            prop_assert_eq!(out, whole);
        }
    }
}
