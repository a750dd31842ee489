//! What all four APIs have in common: a conversation, and the tools on offer.

use serde_json::Value;

/// A request for the model's next reply, in no provider's words.
#[derive(Debug, Clone, Default)]
pub struct Call {
    /// The model that was asked for.
    pub model: String,
    /// Whether the reply should be streamed.
    pub stream: bool,
    /// The conversation so far, oldest first.
    pub items: Vec<Item>,
    /// The tools that the model may call.
    pub tools: Vec<Tool>,
    /// Names of tools that are on offer once they were looked up.
    pub deferred: Vec<String>,
}

/// One thing in a conversation.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// What a person typed.
    Prompt(String),
    /// What a tool gave back.
    ToolResult(String),
    /// What the look-up of a deferred tool gave back.
    Lookup,
    /// The CLI's word that work in the background has ended.
    Notification,
    /// Anything that the model said or asked for.
    Reply,
}

/// A tool on offer.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// The group that the tool was offered in, for APIs that have groups.
    pub namespace: Option<String>,
    /// Name by which the model calls it.
    pub name: String,
    /// JSON schema of its arguments.
    pub schema: Value,
}

impl Call {
    /// Adds a user's text, without what CLIs put into it on their own.
    pub fn push_user_text(&mut self, text: &str) {
        if text.contains(NOTIFICATION) {
            self.items.push(Item::Notification);
        }
        let typed = typed(text);
        if typed.starts_with(FORM)
            && let Some(Item::Prompt(prompt)) = self.items.last_mut()
        {
            prompt.push('\n');
            prompt.push_str(&typed);
        } else if !typed.is_empty() {
            self.items.push(Item::Prompt(typed));
        }
    }

    /// Adds a tool's output, without what CLIs put into it on their own.
    pub fn push_tool_result(&mut self, output: &str) {
        self.items.push(Item::ToolResult(without_injected(output)));
    }

    /// The latest prompt and what followed it.
    #[must_use]
    pub fn turn(&self) -> (&str, &[Item]) {
        let last = self
            .items
            .iter()
            .rposition(|item| matches!(item, Item::Prompt(_)));
        match last.map(|at| (&self.items[at], &self.items[at + 1..])) {
            Some((Item::Prompt(text), rest)) => (text, rest),
            _ => ("", &self.items),
        }
    }

    /// Whether a CLI asks on its own for a title, with the user's prompt as its material.
    #[must_use]
    pub fn wants_title(&self) -> bool {
        matches!(self.items.first(), Some(Item::Prompt(text)) if text.starts_with(TITLE_REQUEST))
    }

    /// All prompts before the latest, oldest first.
    #[must_use]
    pub fn earlier_prompts(&self) -> Vec<&str> {
        let mut prompts: Vec<&str> = self
            .items
            .iter()
            .filter_map(|item| match item {
                Item::Prompt(text) => Some(text.as_str()),
                _ => None,
            })
            .collect();
        prompts.pop();
        prompts
    }
}

/// Beginning of what the host adds to a prompt whose answer is to have a form.
const FORM: &str = "Answer with JSON alone";

/// How a CLI begins to tell that work in the background has ended.
const NOTIFICATION: &str = "<task-notification>";

/// Elements in which CLIs wrap what they add to a user's message.
const INJECTED: [&str; 5] = [
    "system-reminder",
    "environment_context",
    "user_instructions",
    "session_context",
    "turn_aborted",
];

/// Beginnings of user messages that no person typed.
const PREAMBLES: [&str; 3] = [
    "[Request interrupted by user",
    "# AGENTS.md instructions",
    "Tool loaded.",
];

/// Beginning of the first message of a request that only wants a title for a conversation.
const TITLE_REQUEST: &str = "Generate a title for this conversation";

/// A user's text without what the CLI added to it; empty when nothing was typed.
fn typed(text: &str) -> String {
    let text = without_injected(text);
    if PREAMBLES.iter().any(|preamble| text.starts_with(preamble)) {
        return String::new();
    }
    text
}

fn without_injected(text: &str) -> String {
    let mut text = text.to_owned();
    for tag in INJECTED {
        let (open, close) = (format!("<{tag}"), format!("</{tag}>"));
        while let Some(start) = text.find(&open) {
            let Some(length) = text[start..].find(&close) else {
                break;
            };
            text.replace_range(start..start + length + close.len(), "");
        }
    }
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(texts: &[&str]) -> Call {
        let mut call = Call::default();
        for text in texts {
            call.push_user_text(text);
        }
        call
    }

    #[test]
    fn what_a_cli_adds_is_no_prompt() {
        let call = call(&[
            "<system-reminder>\n[[hang]]</system-reminder>\n",
            "one <system-reminder>x</system-reminder>",
            "<system-reminder>y</system-reminder>two",
            "[Request interrupted by user for tool use]",
        ]);
        assert_eq!(call.turn(), ("two", &[][..]));
        assert_eq!(call.earlier_prompts(), ["one"]);
    }

    #[test]
    fn the_end_of_work_in_the_background_is_no_prompt() {
        let call = call(&[
            "one",
            "<system-reminder><task-notification>x</system-reminder>",
        ]);
        assert_eq!(call.turn(), ("one", &[Item::Notification][..]));
    }

    #[test]
    fn an_open_element_ends_the_search() {
        assert_eq!(
            call(&["a <system-reminder> b"]).turn().0,
            "a <system-reminder> b"
        );
    }

    #[test]
    fn a_turn_is_what_follows_the_latest_prompt() {
        let mut call = call(&["one"]);
        call.items.push(Item::ToolResult("old".into()));
        call.push_user_text("two");
        call.items
            .extend([Item::Reply, Item::ToolResult("new".into())]);
        assert_eq!(
            call.turn(),
            ("two", &[Item::Reply, Item::ToolResult("new".into())][..])
        );
    }
}
