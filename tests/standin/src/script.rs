//! What the stand-in answers: the latest prompt's directives, carried out step by step.

use std::time::Duration;

use crate::conversation::{Call, Item};
use crate::directive::{self, Directive};
use crate::tool::{self, Choice};

/// The answer to a prompt without directives.
pub const DEFAULT_ANSWER: &str = "Hello from the stand-in model";
/// The answer to a CLI that wants a title for the conversation.
const TITLE: &str = "A title from the stand-in";

/// A model's reply, in no provider's words.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reply {
    /// What it consists of, in order.
    pub parts: Vec<Part>,
    /// How long to wait before each delta.
    pub pace: Duration,
    /// How the reply ends.
    pub end: End,
    /// Why it ends, in the API's own word, where it is not as it should be.
    pub finish: Option<String>,
}

/// A piece of a reply.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Thinking aloud.
    Think(String),
    /// Text.
    Text(String),
    /// A tool call.
    Tool(Choice),
}

/// How a reply ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum End {
    /// As it should.
    #[default]
    Whole,
    /// Not at all: the connection stays open and silent.
    Hang,
    /// The connection breaks.
    Drop,
    /// It is over, and does not say why.
    Cut,
}

/// Seconds to wait that a 429 names unless the prompt says otherwise.
const RETRY_AFTER: u32 = 1;

/// What to answer a call with.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// A reply.
    Reply(Reply),
    /// An HTTP error: its status, and for how many seconds a 429 asks to be left alone.
    Fail(u16, u32),
}

impl Reply {
    /// Whether the reply asks for a tool.
    #[must_use]
    pub fn calls_tool(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Tool(_)))
    }
}

/// Decides what to answer. `spend(n)` says whether a failure that is to happen `n` times is still
/// due, and counts it.
pub fn answer(call: &Call, mut spend: impl FnMut(&str, u32) -> bool) -> Outcome {
    if call.wants_title() {
        // The prompt's directives are meant for the turn, which is a request of its own.
        let parts = vec![Part::Text(TITLE.to_owned())];
        return Outcome::Reply(Reply {
            parts,
            ..Reply::default()
        });
    }
    let (prompt, since) = call.turn();
    let mut directives = directive::parse(prompt);
    if directives.is_empty()
        && let Some(text) = then(call)
    {
        directives = directive::parse(&text);
        if directives.is_empty() {
            directives.push(Directive::Say(text));
        }
    }
    let results: Vec<&str> = since
        .iter()
        .filter_map(|item| match item {
            Item::ToolResult(output) => Some(output.as_str()),
            _ => None,
        })
        .collect();

    if since.contains(&Item::Notification)
        && let Some(Directive::Told(text)) = directives
            .iter()
            .find(|it| matches!(it, Directive::Told(_)))
    {
        let parts = vec![Part::Text(text.clone())];
        return Outcome::Reply(Reply {
            parts,
            ..Reply::default()
        });
    }

    let mut reply = Reply::default();
    let mut calls_before = results.len();
    for directive in &directives {
        if let Directive::Slow(pace) = directive {
            reply.pace = *pace;
            continue;
        }
        // Each tool result stands for one tool call that is done, with all that came before it.
        if calls_before > 0 {
            calls_before -= usize::from(directive.is_tool_call());
            continue;
        }
        match directive {
            Directive::Say(text) => reply.parts.push(Part::Text(text.clone())),
            Directive::Think(text) => reply.parts.push(Part::Think(text.clone())),
            Directive::Words(count) => reply.parts.push(Part::Text(words(*count))),
            Directive::Recall => reply.parts.push(Part::Text(recall(call))),
            Directive::Unknown(text) => {
                reply
                    .parts
                    .push(Part::Text(format!("Unknown directive: {text}")));
            }
            Directive::Status { code, times } => {
                if times.is_none_or(|times| spend(prompt, times)) {
                    return Outcome::Fail(*code, RETRY_AFTER);
                }
            }
            Directive::Quota(seconds) => return Outcome::Fail(429, *seconds),
            Directive::Cut { times } => {
                if times.is_none_or(|times| spend(prompt, times)) {
                    reply.end = End::Cut;
                    return Outcome::Reply(reply);
                }
            }
            Directive::Finish(word) => reply.finish = Some(word.clone()),
            Directive::Empty => return Outcome::Reply(reply),
            Directive::Hang => {
                reply.end = End::Hang;
                return Outcome::Reply(reply);
            }
            Directive::Drop => {
                reply.end = End::Drop;
                return Outcome::Reply(reply);
            }
            Directive::Bash(command) => {
                return with_tool(reply, tool::shell(&call.tools, command), "shell");
            }
            Directive::Write { path, content } => {
                return with_tool(reply, tool::write(&call.tools, path, content), "write");
            }
            Directive::Mcp { name, input } => {
                let choice = tool::named(&call.tools, name, input)
                    .or_else(|| look_up_once(call, since, name));
                return with_tool(reply, choice, name);
            }
            Directive::Slow(_) | Directive::Told(_) | Directive::Then(_) => {}
        }
    }
    if !reply.parts.iter().any(|part| matches!(part, Part::Text(_))) {
        reply.parts.push(Part::Text(match results.last() {
            Some(output) => format!("The tool said: {output}"),
            None => DEFAULT_ANSWER.to_owned(),
        }));
    }
    Outcome::Reply(reply)
}

/// What the prompt before the latest one wants said to that.
fn then(call: &Call) -> Option<String> {
    let before = call.earlier_prompts().pop()?.to_owned();
    directive::parse(&before)
        .into_iter()
        .find_map(|it| match it {
            Directive::Then(text) => Some(text),
            _ => None,
        })
}

fn with_tool(mut reply: Reply, choice: Option<Choice>, wanted: &str) -> Outcome {
    reply.parts.push(match choice {
        Some(choice) => Part::Tool(choice),
        None => Part::Text(format!("No tool for {wanted} is on offer")),
    });
    Outcome::Reply(reply)
}

/// Looks a deferred tool up, unless the last thing that happened was a look-up in vain.
fn look_up_once(call: &Call, since: &[Item], name: &str) -> Option<Choice> {
    match since.last() {
        Some(Item::Lookup) => None,
        _ => tool::lookup(&call.tools, &call.deferred, name),
    }
}

fn words(count: usize) -> String {
    let words: Vec<String> = (1..=count).map(|n| format!("word{n}")).collect();
    words.join(" ")
}

fn recall(call: &Call) -> String {
    let earlier = call.earlier_prompts();
    if earlier.is_empty() {
        "You said nothing before".to_owned()
    } else {
        format!("You said: {}", earlier.join(" | "))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::conversation::Tool;

    fn call(prompt: &str, results: &[&str]) -> Call {
        let schema = json!({"properties": {"command": {"type": "string"}}});
        let mut call = Call {
            tools: vec![Tool {
                namespace: None,
                name: "bash".into(),
                schema,
            }],
            ..Call::default()
        };
        call.push_user_text(prompt);
        for result in results {
            call.items
                .extend([Item::Reply, Item::ToolResult((*result).into())]);
        }
        call
    }

    fn reply(call: &Call) -> Reply {
        match answer(call, |_, _| false) {
            Outcome::Reply(reply) => reply,
            Outcome::Fail(status, _) => panic!("status {status}"),
        }
    }

    fn text(text: &str) -> Part {
        Part::Text(text.into())
    }

    #[test]
    fn steps_follow_tool_results() {
        let prompt = "[[say a]] [[bash one]] [[say b]] [[bash two]]";
        let first = reply(&call(prompt, &[]));
        assert_eq!(first.parts[0], text("a"));
        assert!(matches!(&first.parts[1], Part::Tool(c) if c.input == json!({"command": "one"})));
        let second = reply(&call(prompt, &["1"]));
        assert_eq!(second.parts[0], text("b"));
        assert!(matches!(&second.parts[1], Part::Tool(c) if c.input == json!({"command": "two"})));
        assert_eq!(
            reply(&call(prompt, &["1", "2"])).parts,
            [text("The tool said: 2")]
        );
    }

    #[test]
    fn a_prompt_without_directives_gets_the_default() {
        assert_eq!(reply(&call("hi", &[])).parts, [text(DEFAULT_ANSWER)]);
        assert_eq!(
            reply(&call("[[think x]]", &[])).parts,
            [Part::Think("x".into()), text(DEFAULT_ANSWER)]
        );
    }

    #[test]
    fn slowness_lasts_for_the_turn() {
        let prompt = "[[slow 5]] [[bash x]] [[words 2]]";
        let slow = reply(&call(prompt, &["out"]));
        assert_eq!(
            (slow.pace, &slow.parts[..]),
            (Duration::from_millis(5), &[text("word1 word2")][..])
        );
    }

    #[test]
    fn failures_end_when_they_are_spent() {
        let call = call("[[status 500 1]] [[say ok]]", &[]);
        assert_eq!(answer(&call, |_, _| true), Outcome::Fail(500, 1));
        assert_eq!(reply(&call).parts, [text("ok")]);
        assert_eq!(
            answer(&self::call("[[status 401]]", &[]), |_, _| false),
            Outcome::Fail(401, 1)
        );
    }

    #[test]
    fn hang_and_drop_keep_what_came_before() {
        let hung = reply(&call("[[say a]] [[hang]] [[say b]]", &[]));
        assert_eq!((hung.end, hung.parts), (End::Hang, vec![text("a")]));
        assert_eq!(reply(&call("[[drop]]", &[])).end, End::Drop);
    }

    #[test]
    fn recall_tells_earlier_prompts() {
        let mut call = call("my number is 42", &[]);
        call.items.push(Item::Reply);
        call.push_user_text("[[recall]]");
        assert_eq!(reply(&call).parts, [text("You said: my number is 42")]);
        assert_eq!(
            reply(&self::call("[[recall]]", &[])).parts,
            [text("You said nothing before")]
        );
    }

    #[test]
    fn the_end_of_work_in_the_background_has_an_answer_of_its_own() {
        let mut call = call("[[say a]] [[told b]]", &[]);
        assert_eq!(reply(&call).parts, [text("a")]);
        call.items.extend([Item::Reply, Item::Notification]);
        assert_eq!(reply(&call).parts, [text("b")]);
    }

    #[test]
    fn a_title_is_not_the_turn() {
        let mut call = call("Generate a title for this conversation:\n", &[]);
        call.push_user_text("[[hang]]");
        assert_eq!(reply(&call).parts, [text(TITLE)]);
    }

    #[test]
    fn a_deferred_tool_is_looked_up_once() {
        let mut call = call("[[mcp echo]]", &[]);
        call.deferred.push("mcp__x__echo".into());
        call.tools.push(Tool {
            namespace: None,
            name: "ToolSearch".into(),
            schema: json!({}),
        });
        let looked_up = reply(&call).parts;
        assert!(
            matches!(&looked_up[..], [Part::Tool(c)]
                if c.name == "ToolSearch" && c.input == json!({"query": "select:mcp__x__echo"})),
            "{looked_up:?}"
        );
        call.items.extend([Item::Reply, Item::Lookup]);
        assert_eq!(reply(&call).parts, [text("No tool for echo is on offer")]);
        call.tools.push(Tool {
            namespace: None,
            name: "mcp__x__echo".into(),
            schema: json!({}),
        });
        let called = reply(&call).parts;
        assert!(
            matches!(&called[..], [Part::Tool(c)] if c.name == "mcp__x__echo"),
            "{called:?}"
        );
    }

    #[test]
    fn a_reply_may_end_without_a_reason_or_say_nothing() {
        let call = call("[[say a]] [[cut 1]] [[say b]]", &[]);
        let Outcome::Reply(first) = answer(&call, |_, _| true) else {
            panic!("it fails");
        };
        assert_eq!((first.parts.len(), first.end), (1, End::Cut));
        assert_eq!(reply(&call).parts.len(), 2);
        assert_eq!(reply(&self::call("[[empty]]", &[])).parts, []);
    }

    #[test]
    fn a_missing_tool_is_said() {
        assert_eq!(
            reply(&call("[[mcp nothing]]", &[])).parts,
            [text("No tool for nothing is on offer")]
        );
    }
}
