//! What `aod run` shows: what the agent says on stdout, everything else on stderr.

use std::io::{IsTerminal as _, Write as _};

use anyhow::Result;
use serde_json::Value;

/// A longer text about a tool is cut.
const SHORT: usize = 120;

/// A terminal or a pipe.
pub(super) struct Screen {
    /// Whether stderr is a terminal that takes colours.
    terminal: bool,
    /// Whether stdout is a terminal: what an agent says must not steer it.
    guarded: bool,
    /// What came of the message that is being said.
    said: String,
    /// Whether stdout stands within a line.
    within: bool,
}

impl Screen {
    pub(super) fn new() -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            terminal: std::io::stderr().is_terminal() && !no_color,
            guarded: std::io::stdout().is_terminal(),
            said: String::new(),
            within: false,
        }
    }

    /// Shows an event of the native stream as it is. What the end is called is shown by the
    /// session.
    pub(super) fn native(&mut self, event: &Value) -> Result<()> {
        match text(event, "type") {
            "stage" => self.stage(event),
            "output" if event["stream"] == "stderr" => eprint!("{}", text(event, "data")),
            "output" => self.say(text(event, "data"))?,
            "stale" => eprintln!("{}", text(event, "message")),
            _ => {}
        }
        Ok(())
    }

    /// Shows a stage of provisioning.
    pub(super) fn stage(&self, event: &Value) {
        let stage = text(event, "stage");
        let start = if self.terminal { "\r\x1b[2K" } else { "" };
        match text(event, "state") {
            "started" if self.terminal => eprint!("{stage} …"),
            "done" => eprintln!("{start}{stage} ({} ms)", event["duration_ms"]),
            "failed" => eprintln!("{start}{stage} failed: {}", text(event, "message")),
            _ => {}
        }
    }

    /// Shows a normalized event.
    pub(super) fn event(&mut self, event: &Value) -> Result<()> {
        match text(event, "type") {
            "message.delta" => {
                let piece = text(event, "text");
                self.said.push_str(piece);
                self.say(piece)?;
            }
            "message" if event["role"] == "assistant" => {
                let said = std::mem::take(&mut self.said);
                // Its pieces have been shown, if there were any.
                if said.trim_end() != text(event, "text").trim_end() {
                    self.end_line()?;
                    self.say(text(event, "text"))?;
                }
                self.end_line()?;
            }
            "reasoning" => self.aside("…", &short(text(event, "text")))?,
            "tool.call" => {
                let input = short(&event["input"].to_string());
                self.aside("→", &format!("{} {input}", text(event, "name")))?;
            }
            "tool.result" => {
                let mark = match event["is_error"] == true {
                    true => "✗",
                    false => "←",
                };
                self.aside(mark, &summary(text(event, "output")))?;
            }
            "file.change" => {
                self.aside(
                    "±",
                    &format!("{} {}", text(event, "kind"), text(event, "path")),
                )?;
            }
            "todo" => {
                for item in event["items"].as_array().into_iter().flatten() {
                    let mark = match text(item, "status") {
                        "completed" => "[x]",
                        "in_progress" => "[>]",
                        _ => "[ ]",
                    };
                    self.aside(mark, &short(text(item, "text")))?;
                }
            }
            "notice" => self.aside("!", text(event, "text"))?,
            "permission.request" => {
                let (title, default) = (text(event, "title"), text(event, "default"));
                self.aside("?", &format!("{} (by default: {default})", short(title)))?;
            }
            "permission.answer" => self.aside("=", &short(text(event, "answer")))?,
            "unparsed" => self.aside("|", text(event, "data"))?,
            // Usage and result are told once, at the end, from the session.
            _ => {}
        }
        Ok(())
    }

    /// Ends what stands within a line.
    pub(super) fn end_line(&mut self) -> Result<()> {
        if self.within {
            self.say("\n")?;
        }
        Ok(())
    }

    fn say(&mut self, text: &str) -> Result<()> {
        let mut out = std::io::stdout().lock();
        match self.guarded {
            true => out.write_all(tame(text).as_bytes())?,
            false => out.write_all(text.as_bytes())?,
        }
        out.flush()?;
        self.within = !text.ends_with('\n') && (self.within || !text.is_empty());
        Ok(())
    }

    /// Shows what the agent does, as opposed to what it says.
    fn aside(&mut self, mark: &str, text: &str) -> Result<()> {
        self.end_line()?;
        let text = tame(text);
        let text = text.trim_end();
        match self.terminal {
            true => eprintln!("\x1b[2m{mark} {text}\x1b[0m"),
            false => eprintln!("{mark} {text}"),
        }
        Ok(())
    }
}

fn text<'a>(event: &'a Value, field: &str) -> &'a str {
    event[field].as_str().unwrap_or_default()
}

/// Without what steers a terminal.
fn tame(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect()
}

/// One line, not too long.
fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHORT) {
        Some((cut, _)) => format!("{} …", &line[..cut]),
        None => line,
    }
}

/// The first line, and how many more there are.
fn summary(output: &str) -> String {
    let mut lines = output.trim().lines();
    let first = short(lines.next().unwrap_or_default());
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
    fn long_texts_are_cut_between_characters() {
        let long = short(&"ä\n ".repeat(SHORT));
        assert_eq!(long.chars().count(), SHORT + 2);
        assert!(long.ends_with('…'));
        assert_eq!(short(" a\n b "), "a b");
        assert_eq!(summary("one\ntwo\nthree\n"), "one (and 2 more lines)");
        assert_eq!(summary("\n"), "(nothing)");
    }

    #[test]
    fn an_agent_does_not_steer_the_terminal() {
        assert_eq!(tame("\x1b]0;x\x07a\tb\n\u{9b}2J"), "]0;xa\tb\n2J");
    }
}
