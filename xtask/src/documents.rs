//! Tests of the documents: what they and the code's comments refer to is there.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold what is written by hand, and single files beside them.
const PLACES: &[&str] = &[
    "console",
    "docs",
    "fuzz",
    "host",
    "packaging",
    "plugins",
    "tests",
    "wit",
    "xtask",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    "runtimes.toml",
];
/// What builds and package managers leave there.
const GENERATED: &[&str] = &["node_modules", "target", ".venv"];

/// All files with one of these extensions.
fn files(extensions: &[&str]) -> Vec<PathBuf> {
    let root = crate::root();
    let mut waiting: Vec<PathBuf> = PLACES.iter().map(|place| root.join(place)).collect();
    let mut found = Vec::new();
    while let Some(path) = waiting.pop() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if !GENERATED.contains(&&*name) {
                let entries = fs::read_dir(&path).unwrap();
                waiting.extend(entries.map(|entry| entry.unwrap().path()));
            }
        } else if extensions.iter().any(|it| name.ends_with(it)) {
            found.push(path);
        }
    }
    assert!(found.len() > 10, "{found:?}");
    found
}

#[test]
fn links_in_documents_lead_somewhere() {
    let mut dead = Vec::new();
    for page in files(&[".md"]) {
        let text = fs::read_to_string(&page).unwrap();
        let folder = page.parent().unwrap();
        for link in text.split("](").skip(1) {
            let Some((target, _)) = link.split_once(')') else {
                continue;
            };
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            if file.contains("://") || file.contains('\n') {
                continue;
            }
            let file = match file {
                "" => page.clone(),
                _ => folder.join(file),
            };
            if !file.exists() || !(anchor.is_empty() || has_anchor(&file, anchor)) {
                dead.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

/// Whether a page has a heading that this anchor leads to.
fn has_anchor(page: &Path, anchor: &str) -> bool {
    let text = fs::read_to_string(page).unwrap_or_default();
    let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    headings
        .map(|heading| heading.trim_start_matches('#').trim().to_lowercase())
        .map(|heading| heading.replace(' ', "-"))
        .map(|heading| heading.replace(|c: char| !c.is_alphanumeric() && c != '-' && c != '_', ""))
        .any(|heading| heading == anchor)
}

#[test]
fn documents_that_comments_name_are_there() {
    let root = crate::root();
    let mut missing = Vec::new();
    for source in files(&[".rs", ".toml", ".wit", ".sql", ".sh", ".in"]) {
        let text = fs::read_to_string(&source).unwrap();
        let words = text.split('`').skip(1);
        for name in words.filter(|it| it.ends_with(".md") && !it.contains(char::is_whitespace)) {
            // Pages of the design, which were never here, began with a number; others that have
            // no folder are files that a program writes.
            let ours = name.contains('/') || name.starts_with(|c: char| c.is_ascii_digit());
            let ours = ours && !name.contains('<');
            let folder = source.parent().unwrap();
            if ours && !root.join(name).exists() && !folder.join(name).exists() {
                missing.push(format!("{}: {name}", source.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
