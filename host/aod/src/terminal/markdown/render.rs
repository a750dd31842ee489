//! One block, or several, with the terminal's styles.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use unicode_width::UnicodeWidthStr as _;

use super::super::tame;

const BOLD: &str = "1";
const TITLE: &str = "1;4";
const ITALIC: &str = "3";
const UNDERLINED: &str = "4";
const STRUCK: &str = "9";
const CODE: &str = "36";

/// Deeper levels stand where this one does.
const DEEPEST: usize = 12;

/// Renders Markdown; what comes out ends with a line's end.
pub(super) fn render(text: &str) -> String {
    let options =
        Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut renderer = Renderer::default();
    for event in Parser::new_ext(text, options) {
        renderer.event(event);
    }
    renderer.end_line();
    renderer.out
}

#[derive(Default)]
struct Renderer {
    out: String,
    /// What is in force.
    styles: Vec<&'static str>,
    /// What each line begins with, level by level.
    margins: Vec<String>,
    /// The number that the next item has, where its list has numbers.
    lists: Vec<Option<u64>>,
    /// Whether a margin is due before the next text.
    at_start: bool,
    /// Whether an item has just begun, so that its text goes on beside its mark.
    is_beside_mark: bool,
    /// Where links lead.
    links: Vec<String>,
    /// Where the text of a link begins.
    link_starts: Vec<usize>,
    /// The cells of a table.
    table: Option<Vec<Vec<String>>>,
}

impl Renderer {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => self.text(&text),
            Event::Code(text) | Event::InlineMath(text) | Event::DisplayMath(text) => {
                self.style(CODE);
                self.text(&text);
                self.unstyle();
            }
            Event::Html(text) | Event::InlineHtml(text) => self.text(&text),
            Event::FootnoteReference(name) => self.text(&format!("[{name}]")),
            Event::SoftBreak | Event::HardBreak => self.text("\n"),
            Event::Rule => {
                self.begin_block();
                self.text(&"─".repeat(40));
                self.end_line();
            }
            Event::TaskListMarker(done) => self.text(if done { "[x] " } else { "[ ] " }),
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph | Tag::HtmlBlock | Tag::FootnoteDefinition(_) => self.begin_block(),
            Tag::Heading { level, .. } => {
                self.begin_block();
                self.style(match level {
                    HeadingLevel::H1 => TITLE,
                    _ => BOLD,
                });
            }
            Tag::BlockQuote(_) => {
                self.begin_block();
                self.is_beside_mark = true;
                self.margins.push("│ ".to_owned());
            }
            Tag::CodeBlock(_) => {
                self.begin_block();
                self.margins.push("    ".to_owned());
                self.style(CODE);
            }
            Tag::List(first) => {
                match self.lists.is_empty() {
                    true => self.begin_block(),
                    false => self.end_line(),
                }
                self.lists.push(first);
            }
            Tag::Item => {
                self.end_line();
                let mark = match self.lists.last_mut() {
                    Some(Some(number)) => {
                        let mark = format!("{number}. ");
                        *number = number.saturating_add(1);
                        mark
                    }
                    _ => "• ".to_owned(),
                };
                self.text(&mark);
                self.margins.push(" ".repeat(mark.width()));
                self.is_beside_mark = true;
            }
            Tag::Table(_) => {
                self.begin_block();
                self.table = Some(Vec::new());
            }
            Tag::TableHead | Tag::TableRow => {
                if let Some(rows) = &mut self.table {
                    rows.push(Vec::new());
                }
            }
            Tag::TableCell => {
                if let Some(row) = self.table.as_mut().and_then(|rows| rows.last_mut()) {
                    row.push(String::new());
                }
            }
            Tag::Emphasis => self.style(ITALIC),
            Tag::Strong => self.style(BOLD),
            Tag::Strikethrough => self.style(STRUCK),
            Tag::Link { dest_url, .. } => {
                self.links.push(tame(&dest_url));
                self.link_starts.push(self.out.len());
                self.style(UNDERLINED);
            }
            Tag::Image { dest_url, .. } => {
                self.links.push(tame(&dest_url));
                self.text("[image: ");
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph | TagEnd::HtmlBlock | TagEnd::FootnoteDefinition => self.end_line(),
            TagEnd::Heading(_) => {
                self.unstyle();
                self.end_line();
            }
            TagEnd::BlockQuote(_) => {
                self.end_line();
                self.margins.pop();
            }
            TagEnd::CodeBlock => {
                self.unstyle();
                self.end_line();
                self.margins.pop();
            }
            TagEnd::List(_) => {
                self.lists.pop();
            }
            TagEnd::Item => {
                self.end_line();
                self.margins.pop();
                self.is_beside_mark = false;
            }
            TagEnd::Table => {
                let rows = self.table.take().unwrap_or_default();
                self.rows(&rows);
            }
            TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough => self.unstyle(),
            TagEnd::Link => {
                self.unstyle();
                let link = self.links.pop().unwrap_or_default();
                let start = self.link_starts.pop().unwrap_or_default();
                let is_shown = self.out.get(start..).is_some_and(|it| it.contains(&link));
                if !is_shown && !link.is_empty() {
                    self.text(&format!(" ({link})"));
                }
            }
            TagEnd::Image => {
                let link = self.links.pop().unwrap_or_default();
                self.text(&format!("] ({link})"));
            }
            _ => {}
        }
    }

    /// A blank line before what begins, unless it begins the text or stands beside a mark.
    fn begin_block(&mut self) {
        if std::mem::take(&mut self.is_beside_mark) || self.out.is_empty() {
            self.at_start |= self.out.is_empty();
            return;
        }
        self.end_line();
        self.out.push('\n');
    }

    fn end_line(&mut self) {
        if !self.out.is_empty() && !self.at_start {
            self.out.push('\n');
            self.at_start = true;
        }
    }

    fn text(&mut self, text: &str) {
        let text = tame(text);
        if let Some(cell) = self.table.as_mut().and_then(|rows| rows.last_mut()) {
            if let Some(cell) = cell.last_mut() {
                cell.push_str(&text.replace('\n', " "));
            }
            return;
        }
        for line in text.split_inclusive('\n') {
            if line == "\n" && (self.at_start || self.out.is_empty()) {
                self.out.push('\n');
                continue;
            }
            if self.at_start || self.out.is_empty() {
                let skipped = self.margins.len().saturating_sub(DEEPEST);
                for margin in &self.margins[skipped..] {
                    self.out.push_str(margin);
                }
                self.at_start = false;
            }
            self.out.push_str(line.trim_end_matches('\n'));
            if line.ends_with('\n') {
                self.out.push('\n');
                self.at_start = true;
            }
        }
    }

    fn style(&mut self, style: &'static str) {
        self.styles.push(style);
        if self.table.is_none() {
            self.out.push_str(&format!("\x1b[{style}m"));
        }
    }

    fn unstyle(&mut self) {
        self.styles.pop();
        if self.table.is_some() {
            return;
        }
        self.out.push_str("\x1b[0m");
        let skipped = self.styles.len().saturating_sub(DEEPEST);
        for style in &self.styles[skipped..] {
            self.out.push_str(&format!("\x1b[{style}m"));
        }
    }

    fn rows(&mut self, rows: &[Vec<String>]) {
        let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| cell.width()).max().unwrap_or_default()
            })
            .collect();
        for (at, row) in rows.iter().enumerate() {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.push_str(&" ".repeat(width - cell.width() + 2));
            }
            if at == 0 {
                self.style(BOLD);
            }
            self.text(line.trim_end());
            if at == 0 {
                self.unstyle();
            }
            self.end_line();
        }
    }
}
