//! Markdown for a terminal, block by block as it is told.

mod render;

use self::render::render;
use super::tame;

/// A longer block is shown as it stands.
const LONGEST: usize = 256 << 10;

/// A text that is told in pieces. A block is rendered once it is known where it ends.
#[derive(Debug, Default)]
pub(crate) struct Markdown {
    pending: String,
    /// Where the line begins that has not been looked at.
    line: usize,
    /// What a fence that is open was opened with.
    fence: Option<Fence>,
    /// Whether the line before was blank, outside of a fence.
    after_blank: bool,
    /// Whether something was rendered before.
    has_shown: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fence {
    mark: char,
    length: usize,
}

impl Markdown {
    /// Takes a piece, and gives what is complete by now.
    pub(crate) fn push(&mut self, piece: &str) -> String {
        self.pending.push_str(piece);
        let mut shown = String::new();
        while let Some(length) = self.pending[self.line..].find('\n') {
            let end = self.line + length + 1;
            let line = &self.pending[self.line..end];
            // What is indented may belong to the item or the quotation before.
            let begins = self.after_blank && !line.starts_with([' ', '\t', '\n', '\r']);
            let is_blank = line.trim().is_empty();
            let fence = next_fence(self.fence, line);
            if begins {
                let rest = self.pending.split_off(self.line);
                let block = std::mem::replace(&mut self.pending, rest);
                self.line = length + 1;
                shown.push_str(&self.block(&block));
            } else {
                self.line = end;
            }
            self.fence = fence;
            self.after_blank = is_blank && fence.is_none();
        }
        shown
    }

    /// What is left, now that the text has ended.
    pub(crate) fn finish(&mut self) -> String {
        let rest = std::mem::take(&mut self.pending);
        let shown = self.block(&rest);
        *self = Self::default();
        shown
    }

    fn block(&mut self, text: &str) -> String {
        if text.trim().is_empty() {
            return String::new();
        }
        let rendered = match text.len() > LONGEST {
            true => format!("{}\n", tame(text).trim_end()),
            false => render(text),
        };
        let gap = if self.has_shown { "\n" } else { "" };
        self.has_shown = true;
        format!("{gap}{rendered}")
    }
}

/// What fence is open behind a line.
fn next_fence(open: Option<Fence>, line: &str) -> Option<Fence> {
    // Within an item, a fence is indented.
    let line = line.trim();
    let mark = line.chars().next().filter(|mark| ['`', '~'].contains(mark));
    let Some(mark) = mark else { return open };
    let length = line.chars().take_while(|c| *c == mark).count();
    let has_info = line.len() > length;
    match open {
        None if length < 3 => None,
        // What is quoted in a line of its own.
        None if mark == '`' && line[length..].contains('`') => None,
        None => Some(Fence { mark, length }),
        Some(fence) if fence.mark == mark && length >= fence.length && !has_info => None,
        Some(fence) => Some(fence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without styles.
    fn plain(text: &str) -> String {
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("\x1b[") {
            plain.push_str(before);
            rest = after.split_once('m').map_or("", |(_, rest)| rest);
        }
        plain + rest
    }

    const TEXT: &str = "# Title\n\nOne *two* **three** `four`\nfive.\n\n- a\n\n  more of a\n- b\n\n\
        ```rust\nfn main() {}\n\n# no title\n```\n\n> said\n\n1. x\n2. y\n\n| a | bb |\n|---|---|\n\
        | 1 | 2 |\n\nend";

    #[test]
    fn it_reads_well() {
        let mut markdown = Markdown::default();
        let shown = markdown.push(TEXT) + &markdown.finish();
        assert_eq!(
            plain(&shown),
            "Title\n\nOne two three four\nfive.\n\n• a\n\n  more of a\n• b\n\n    fn main() {}\n\n    \
             # no title\n\n│ said\n\n1. x\n2. y\n\na  bb\n1  2\n\nend\n"
        );
    }

    #[test]
    fn it_is_the_same_however_it_is_told() {
        let mut whole = Markdown::default();
        let whole = whole.push(TEXT) + &whole.finish();
        for size in 1..TEXT.len() {
            let (mut markdown, mut shown) = (Markdown::default(), String::new());
            for piece in TEXT.as_bytes().chunks(size) {
                shown += &markdown.push(std::str::from_utf8(piece).unwrap());
            }
            shown += &markdown.finish();
            assert_eq!(shown, whole, "{size}");
        }
    }

    #[test]
    fn a_block_is_shown_before_the_text_ends_and_a_fence_only_as_a_whole() {
        let mut markdown = Markdown::default();
        assert_eq!(markdown.push("one\n\n"), "");
        assert_eq!(plain(&markdown.push("two\n")), "one\n");
        assert_eq!(plain(&markdown.push("\n```\na\n\nb\n")), "\ntwo\n");
        assert_eq!(markdown.push("\nc\n"), "");
        assert!(plain(&markdown.push("```\n\nd\n")).contains("c\n"));
    }

    #[test]
    fn nothing_of_it_steers_the_terminal() {
        let hostile = "a\x1b[2Jb &#27;]0;x&#7; `\x1b[31m` [l](\x1b]8;;http://x\x07)\n\n\
            ```\n\x1b[1A\u{202e}\n```\n\n<b \x1b[5m>\n\n| \x1b[7m |\n|---|\n| &#x9b;2J |\n";
        let mut markdown = Markdown::default();
        let shown = plain(&(markdown.push(hostile) + &markdown.finish()));
        let steers = |c: &char| c.is_control() && *c != '\n' || *c == '\u{202e}';
        assert_eq!(shown.chars().find(steers), None, "{shown:?}");
    }

    #[test]
    fn what_is_nested_without_end_stays_small() {
        let deep = ">".repeat(50_000) + " x\n" + &"- ".repeat(50_000) + "y\n";
        let mut markdown = Markdown::default();
        let shown = markdown.push(&deep) + &markdown.finish();
        assert!(shown.len() < 4 << 20, "{}", shown.len());
    }
}
