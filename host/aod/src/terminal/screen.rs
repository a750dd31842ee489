//! What an agent says and does, as it is told by events.

use std::io;

use aod_resources::event::{Event, EventBody, Level, Message, Role, TodoStatus, ToolCall};
use serde::Deserialize;

use super::{Markdown, Sink, short, tame};

/// A longer text about a tool is cut.
const SHORT: usize = 120;

/// What is shown where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// A turn that somebody waits for: what the agent says goes to stdout where that is a terminal;
    /// what it does goes to stderr, and so does all that is no answer where stdout is none.
    Progress,
    /// A record of what has been: all of it is the result.
    Record,
}

/// A terminal or a pipe.
pub(crate) struct Screen {
    words: Sink,
    asides: Sink,
    /// What the agent says, where it is rendered.
    markdown: Option<Markdown>,
    /// What came of the message that is being said.
    said: String,
    /// Whether a line has been begun where words are shown.
    within: bool,
    /// The last thing that the agent has said, where it may be the answer, which goes elsewhere:
    /// it is shown once it turns out that it is not.
    held: Option<String>,
}

impl Screen {
    pub(crate) fn new(show: Show) -> Self {
        let (words, asides) = match show {
            Show::Record => (Sink::Stdout, Sink::Stdout),
            Show::Progress if Sink::Stdout.is_terminal() => (Sink::Stdout, Sink::Stderr),
            Show::Progress => (Sink::Stderr, Sink::Stderr),
        };
        Self {
            words,
            asides,
            markdown: words.has_styles().then(Markdown::default),
            said: String::new(),
            within: false,
            held: None,
        }
    }

    /// Whether what the agent says was shown where the answer goes.
    pub(crate) fn has_shown_words(&self) -> bool {
        self.words == Sink::Stdout
    }

    /// The last thing that the agent has said, where it was not shown.
    pub(crate) fn take_held(&mut self) -> Option<String> {
        self.held.take()
    }

    /// Shows what turned out not to be the answer.
    fn show_held(&mut self) -> io::Result<()> {
        match self.held.take() {
            Some(text) => self.words.write(&format!("{}\n", tame(text.trim_end()))),
            None => Ok(()),
        }
    }

    /// Shows an event of the native stream as it is. What the end is called is shown by the
    /// session.
    pub(crate) fn native(&mut self, data: &str) -> anyhow::Result<()> {
        let event: Native = serde_json::from_str(data)?;
        match event.r#type.as_str() {
            "stage" => self.stage(&event)?,
            "output" if event.stream == "stderr" => Sink::Stderr.write(&event.data)?,
            "output" => Sink::Stdout.write(&match Sink::Stdout.is_terminal() {
                true => tame(&event.data),
                false => event.data,
            })?,
            "stale" => Sink::Stderr.write(&format!("{}\n", tame(&event.message)))?,
            _ => {}
        }
        Ok(())
    }

    /// Shows a stage of provisioning, and says whether this was one.
    fn stage(&self, event: &Native) -> io::Result<()> {
        let stage = tame(&event.stage);
        let styled = self.asides.has_styles();
        let start = if styled { "\r\x1b[2K" } else { "" };
        let took = event.duration_ms.unwrap_or_default();
        match event.state.as_str() {
            "started" if styled => self.asides.write(&format!("{stage} …")),
            "done" => self.asides.write(&format!("{start}{stage} ({took} ms)\n")),
            "failed" => {
                let message = tame(&event.message);
                self.asides
                    .write(&format!("{start}{stage} failed: {message}\n"))
            }
            _ => Ok(()),
        }
    }

    /// Shows a normalized event.
    pub(crate) fn event(&mut self, event: &Event) -> io::Result<()> {
        let is_inside = event.inside.is_some();
        match &event.body {
            // What a subagent says is not what the agent does.
            EventBody::MessageDelta(_) if is_inside || !self.has_shown_words() => {}
            EventBody::MessageDelta(delta) => {
                self.said.push_str(&delta.text);
                self.say(&delta.text)?;
            }
            EventBody::Message(message) if is_inside => {
                self.aside("»", &short(&message.text, SHORT))?;
            }
            EventBody::Message(message) => self.message(message)?,
            EventBody::MessageDiscarded(discarded) => {
                self.said.clear();
                self.end_words()?;
                self.aside("!", &format!("taken back: {}", discarded.reason))?;
            }
            EventBody::Reasoning(reasoning) => self.aside("…", &short(&reasoning.text, SHORT))?,
            EventBody::ToolCall(call) => self.aside("→", &called(call))?,
            EventBody::ToolResult(result) => {
                let mark = if result.is_error { "✗" } else { "←" };
                self.aside(mark, &summary(&result.output))?;
            }
            EventBody::FileChange(change) => {
                let kind = serde_json::to_string(&change.kind).unwrap_or_default();
                let kind = kind.trim_matches('"');
                self.aside("±", &format!("{kind} {}", change.path))?;
            }
            EventBody::Todo(todo) => {
                for item in &todo.items {
                    let mark = match item.status {
                        TodoStatus::Completed => "[x]",
                        TodoStatus::InProgress => "[>]",
                        TodoStatus::Pending => "[ ]",
                    };
                    self.aside(mark, &short(&item.text, SHORT))?;
                }
            }
            EventBody::Notice(notice) => {
                let mark = if notice.level == Level::Info {
                    "i"
                } else {
                    "!"
                };
                self.aside(mark, &notice.text)?;
            }
            EventBody::PermissionRequest(asked) => {
                let (id, title) = (&asked.request_id, short(&asked.title, SHORT));
                let choices: Vec<&str> = asked.choices.iter().map(|it| it.id.as_str()).collect();
                let choices = match choices.is_empty() {
                    true => String::new(),
                    false => format!("one of {}; ", choices.join(", ")),
                };
                let by_default = &asked.default;
                self.aside(
                    "?",
                    &format!("{title} ({choices}by default {by_default}; question {id})"),
                )?;
            }
            EventBody::PermissionAnswer(answer) => {
                self.aside("=", &short(&answer.answer, SHORT))?;
            }
            EventBody::TurnInput(input) => {
                if let Some(text) = &input.text {
                    self.aside("›", &short(text, SHORT))?;
                }
            }
            EventBody::Compaction(compaction) if compaction.done => {
                self.aside("i", "the conversation was made shorter")?;
            }
            EventBody::Unparsed(unparsed) => self.aside("|", &unparsed.data)?,
            // Usage and result are told once, at the end, from the session.
            _ => {}
        }
        Ok(())
    }

    fn message(&mut self, message: &Message) -> io::Result<()> {
        if message.role != Role::Assistant {
            return self.aside("›", &short(&message.text, SHORT));
        }
        if !self.has_shown_words() {
            self.show_held()?;
            self.held = Some(message.text.clone());
            return Ok(());
        }
        let said = std::mem::take(&mut self.said);
        // Its pieces have been shown, if there were any; a CLI may tell blanks in them otherwise.
        if !said.split_whitespace().eq(message.text.split_whitespace()) {
            self.end_words()?;
            self.say(&message.text)?;
        }
        self.end_words()
    }

    /// A line about the session, such as that a turn begins.
    pub(crate) fn note(&mut self, text: &str) -> io::Result<()> {
        self.aside("#", text)
    }

    /// Ends what has been begun.
    pub(crate) fn end_words(&mut self) -> io::Result<()> {
        if let Some(markdown) = &mut self.markdown {
            let rest = markdown.finish();
            return self.words.write(&rest);
        }
        if std::mem::take(&mut self.within) {
            self.words.write("\n")?;
        }
        Ok(())
    }

    fn say(&mut self, text: &str) -> io::Result<()> {
        if let Some(markdown) = &mut self.markdown {
            let shown = markdown.push(text);
            return self.words.write(&shown);
        }
        match self.words.is_terminal() {
            true => self.words.write(&tame(text))?,
            false => self.words.write(text)?,
        }
        self.within = !text.ends_with('\n') && (self.within || !text.is_empty());
        Ok(())
    }

    /// Shows what the agent does, as opposed to what it says.
    fn aside(&mut self, mark: &str, text: &str) -> io::Result<()> {
        self.end_words()?;
        self.show_held()?;
        let text = tame(text);
        let text = text.trim_end();
        match self.asides.has_styles() {
            true => self.asides.write(&format!("\x1b[2m{mark} {text}\x1b[0m\n")),
            false => self.asides.write(&format!("{mark} {text}\n")),
        }
    }
}

/// An event of the native stream.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Native {
    r#type: String,
    stream: String,
    data: String,
    message: String,
    stage: String,
    state: String,
    duration_ms: Option<u64>,
}

/// The call of a tool in one line.
fn called(call: &ToolCall) -> String {
    match &call.title {
        Some(title) => format!("{} {}", call.name, short(title, SHORT)),
        None => format!("{} {}", call.name, short(call.input.get(), SHORT)),
    }
}

/// The first line, and how many more there are.
fn summary(output: &str) -> String {
    let mut lines = output.trim().lines();
    let first = short(lines.next().unwrap_or_default(), SHORT);
    match lines.count() {
        0 if first.is_empty() => "(nothing)".to_owned(),
        0 => first,
        more => format!("{first} (and {more} more lines)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_summed_up() {
        assert_eq!(summary("one\ntwo\nthree\n"), "one (and 2 more lines)");
        assert_eq!(summary("\n"), "(nothing)");
    }
}
