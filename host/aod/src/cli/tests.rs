use std::fs;
use std::path::Path;

use clap::error::ErrorKind;

use super::*;

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

/// The words of a command as a shell takes them apart, up to where another command begins or its
/// output goes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut in_substitution = false;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, c) if in_substitution => {
                in_substitution = c != ')';
                word.push(c);
            }
            (None, '(') if word.ends_with('$') => {
                in_substitution = true;
                word.push(c);
            }
            (None, '"' | '\'') => quote = Some(c),
            (None, '|' | '>' | '<' | '&' | ';' | '#' | ')') => break,
            (None, c) if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            (_, c) => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// The commands of this program in the code of a document.
fn commands(text: &str) -> Vec<Vec<String>> {
    let mut is_code = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
            continue;
        }
        if !is_code {
            continue;
        }
        let mut rest = line;
        // What stands alone, behind `$(`, behind a pipe, or behind the name of another user.
        while let Some(at) = rest.find("aod ") {
            let before = &rest[..at];
            let is_command = before.is_empty()
                || before.ends_with(['(', ' ', '/'])
                    && !before.ends_with("-u ")
                    && !before.contains('"');
            // A picture of the program's parts names it, too, and so does a path.
            let is_drawn = before.contains('│');
            let given = words(&rest[at..]);
            if is_command && !is_drawn && given.len() > 1 {
                found.push(given);
            }
            rest = &rest[at + 4..];
        }
    }
    found
}

/// The commands of this program that stand in a document's text, such as `aod doctor`, or
/// `aod session ls / show`, which are two.
fn mentioned(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let outside = text.split("```").step_by(2);
    let spans = outside.flat_map(|text| text.split('`').skip(1).step_by(2));
    for span in spans.filter(|span| span.starts_with("aod ")) {
        let mut alternatives = span.split(" / ");
        let first = words(alternatives.next().unwrap_or_default());
        let above = &first[..first.len().saturating_sub(1)];
        for last in alternatives.filter(|last| *last != "…") {
            found.push([above, &words(last)].concat());
        }
        found.push(first);
    }
    found
}

/// Whether an error is for want of what the reader is to fill in: words such as ID stand for that.
fn is_unfinished(error: &clap::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ValueValidation
            | ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::MissingRequiredArgument
            | ErrorKind::MissingSubcommand
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    )
}

/// A document that tells people to type what this program does not take helps nobody.
#[test]
fn commands_of_the_documents_are_commands() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut pages = vec![root.join("README.md"), root.join("plugins/README.md")];
    for entry in fs::read_dir(root.join("docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "md") {
            pages.push(path);
        }
    }
    let mut count = 0;
    let mut wrong = Vec::new();
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for words in mentioned(&text) {
            let words = words.into_iter().filter(|word| word != "…");
            let Err(error) = Cli::try_parse_from(words) else {
                continue;
            };
            if !is_unfinished(&error) {
                wrong.push(format!("{}: {error}", page.display()));
            }
        }
        for words in commands(&text) {
            count += 1;
            let Err(error) = Cli::try_parse_from(&words) else {
                continue;
            };
            // Words such as ID stand for what the reader has.
            let is_placeholder = error.kind() == ErrorKind::ValueValidation;
            let is_help =
                error.kind() == ErrorKind::DisplayHelp || error.kind() == ErrorKind::DisplayVersion;
            if !is_placeholder && !is_help {
                wrong.push(format!("{}: {words:?}: {error}", page.display()));
            }
        }
    }
    assert!(count > 25, "only {count} commands were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
