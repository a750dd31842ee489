//! The shell blocks of a page, and what comments before them say for the test.
//!
//! | comment | means |
//! |---|---|
//! | `<!-- not run: REASON -->` | the block is not run |
//! | `<!-- needs: claude -->` | it is run where Claude Code is installed |
//! | `<!-- until: TEXT -->` | its last command goes on until it is stopped: once it has printed this |
//! | `<!-- before: COMMANDS -->` | what the page takes for given is made by these |
//! | `<!-- prints -->` | the `text` block is what the shell block before it prints; `…` stands for anything |
//!
//! Neither the book nor a site that renders Markdown shows them.

/// A page of the documents.
pub(super) struct Page {
    pub(super) name: String,
    pub(super) blocks: Vec<Block>,
}

/// A block of shell commands.
pub(super) struct Block {
    /// The line at which it begins.
    pub(super) line: usize,
    pub(super) text: String,
    pub(super) before: String,
    pub(super) fate: Fate,
    /// What it is shown to print.
    pub(super) prints: Vec<String>,
}

/// What the test does with a block.
pub(super) enum Fate {
    Run,
    NeedsClaude,
    Until(String),
    NotRun(String),
}

/// What the comments before a block have said so far.
#[derive(Default)]
struct Notes {
    fate: Option<Fate>,
    before: String,
    prints: bool,
}

impl Notes {
    fn is_empty(&self) -> bool {
        self.fate.is_none() && self.before.is_empty() && !self.prints
    }

    /// Takes a comment's text, if it is for the test.
    fn take(&mut self, comment: &str, place: &str) {
        let (key, value) = comment.split_once(':').unwrap_or((comment, ""));
        let value = value.trim();
        let fate = match key.trim() {
            "not run" => Fate::NotRun(value.to_owned()),
            "until" => Fate::Until(value.to_owned()),
            "needs" => {
                assert_eq!(value, "claude", "{place}: nothing else can be needed");
                Fate::NeedsClaude
            }
            "before" => {
                self.before = format!("{value}\n");
                return;
            }
            "prints" => {
                self.prints = true;
                return;
            }
            _ => return,
        };
        assert!(
            !matches!(&fate, Fate::NotRun(text) | Fate::Until(text) if text.is_empty()),
            "{place}: {key} needs a text"
        );
        assert!(self.fate.is_none(), "{place}: one of these at a time");
        self.fate = Some(fate);
    }
}

impl Page {
    /// Reads a page.
    ///
    /// # Panics
    /// When a comment is for no block, or commands stand in a block that is not a shell's.
    pub(super) fn read(name: &str, text: &str) -> Self {
        let mut blocks: Vec<Block> = Vec::new();
        let mut notes = Notes::default();
        let mut lines = text.lines().enumerate();
        while let Some((at, line)) = lines.next() {
            let place = format!("{name}:{}", at + 1);
            let indent = line.len() - line.trim_start().len();
            let line = line.trim_start();
            if let Some(comment) = line.strip_prefix("<!--") {
                let mut comment = comment.to_owned();
                while !comment.contains("-->") {
                    let (_, more) = lines.next().expect("a comment ends");
                    comment = format!("{comment}\n{}", more.get(indent..).unwrap_or(""));
                }
                let (comment, _) = comment.split_once("-->").unwrap();
                notes.take(comment.trim(), &place);
            } else if let Some(language) = line.strip_prefix("```") {
                let inside = lines
                    .by_ref()
                    .map(|(_, line)| line.get(indent..).unwrap_or_default())
                    .take_while(|line| !line.starts_with("```"));
                let text: String = inside.flat_map(|line| [line, "\n"]).collect();
                let notes = std::mem::take(&mut notes);
                match (language, notes) {
                    ("sh", notes) => {
                        assert!(!notes.prints, "{place}: `prints` is for a text block");
                        blocks.push(Block {
                            line: at + 1,
                            text,
                            before: notes.before,
                            fate: notes.fate.unwrap_or(Fate::Run),
                            prints: Vec::new(),
                        });
                    }
                    ("text", notes) if notes.prints => {
                        let block = blocks.last_mut().expect("a block that prints");
                        block.prints.push(text);
                    }
                    (_, notes) => {
                        assert!(notes.is_empty(), "{place}: comments for no shell block");
                        let hidden = text
                            .lines()
                            .find(|it| it.starts_with("aod ") || it.starts_with("curl "));
                        assert!(
                            hidden.is_none(),
                            "{place}: {hidden:?} belongs in a `sh` block"
                        );
                    }
                }
            } else if !line.is_empty() {
                assert!(notes.is_empty(), "{place}: a comment for no block");
            }
        }
        Self {
            name: name.to_owned(),
            blocks,
        }
    }
}

/// Finds the lines of a shown text in an output, in their order; the first that is not there.
pub(super) fn find<'a>(shown: &'a str, output: &str) -> Result<(), &'a str> {
    let mut lines = output.lines().map(str::trim_end);
    let shown = shown.lines().map(str::trim_end);
    for expected in shown.filter(|line| !line.is_empty() && *line != "…") {
        if !lines.any(|line| fits(expected, line)) {
            return Err(expected);
        }
    }
    Ok(())
}

/// Whether a line is the shown one, in which `…` stands for anything.
fn fits(shown: &str, line: &str) -> bool {
    let mut pieces = shown.split('…');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else {
        return false;
    };
    let Some(last) = pieces.next_back() else {
        return rest.is_empty();
    };
    for piece in pieces {
        let Some(at) = rest.find(piece) else {
            return false;
        };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn blocks_have_what_comments_before_them_say() {
    let page = Page::read(
        "p.md",
        "# P\n\n<!-- before: a=1\n\nb=2 -->\n<!-- until: ready -->\n```sh\nserve $a\n```\n\n\
         <!-- prints -->\n```text\nready\n```\n\n- x\n\n  <!-- not run: why -->\n  ```sh\n  if\n    x\n  ```\n",
    );
    let [first, second] = page.blocks.as_slice() else {
        panic!("two blocks");
    };
    assert_eq!((first.line, first.text.as_str()), (7, "serve $a\n"));
    assert_eq!(first.before, "a=1\n\nb=2\n");
    assert!(matches!(&first.fate, Fate::Until(text) if text == "ready"));
    assert_eq!(first.prints, ["ready\n"]);
    assert_eq!(second.text, "if\n  x\n");
    assert!(matches!(&second.fate, Fate::NotRun(text) if text == "why"));
}

#[test]
fn shown_lines_are_found_in_order() {
    let output = "id: 1\ndata: {\"id\":1,\"x\":2}\nend\n";
    assert_eq!(find("data: {\"id\":…,…}\n\n…\nend\n", output), Ok(()));
    assert_eq!(find("end\nid: 1\n", output), Err("id: 1"));
    assert_eq!(find("data: {\"id\":1\n", output), Err("data: {\"id\":1"));
    assert_eq!(find("id: 1…1\n", output), Err("id: 1…1"));
}
