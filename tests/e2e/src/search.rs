//! Where a text can be found that should not be anywhere.

use std::fs;
use std::path::{Path, PathBuf};

use crate::process;

/// The files under a folder in which a text stands, whatever else they hold. Folders for which
/// `skip` says so are left out.
///
/// # Panics
/// When the folder cannot be searched: a search that saw nothing must not pass for one that found
/// nothing.
pub fn files_with(folder: &Path, text: &str, skip: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        // It went while it was looked at.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return found,
        Err(error) => panic!("cannot search {}: {error}", folder.display()),
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_dir() {
            if !skip(&path) {
                found.extend(files_with(&path, text, skip));
            }
        } else if kind.is_file() && path.extension() != Some("img".as_ref()) {
            // Images are what agents have written, and far larger than what is in them.
            let content = fs::read(&path).unwrap_or_default();
            if contains(&content, text.as_bytes()) {
                found.push(path);
            }
        }
    }
    found
}

/// The command lines in which a text stands.
#[must_use]
pub fn processes_with(text: &str) -> Vec<String> {
    let commands = process::all().into_iter().map(process::Process::command);
    commands.filter(|command| command.contains(text)).collect()
}

/// Whether some bytes stand somewhere among others.
#[must_use]
pub fn contains(content: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(content, part).is_some()
}
