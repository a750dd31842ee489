use std::fs;
use std::path::{Path, PathBuf};

/// A recorded dialogue with a CLI that is spoken to: one JSON object a line.
#[derive(Debug, Clone)]
pub struct Dialogue {
    /// Its file's name, without the extension.
    pub name: String,
    /// The file.
    pub path: PathBuf,
}

impl Dialogue {
    /// All that was recorded.
    ///
    /// # Panics
    ///
    /// When the file cannot be read.
    #[must_use]
    #[allow(clippy::panic, reason = "helpers of tests fail as tests do")]
    pub fn read(&self) -> String {
        match fs::read_to_string(&self.path) {
            Ok(recorded) => recorded,
            Err(error) => panic!("{}: {error}", self.path.display()),
        }
    }
}

/// The recorded dialogues of a folder, by their names.
///
/// # Panics
///
/// When there are none, or they cannot be listed.
#[must_use]
#[allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
pub fn dialogues(folder: impl AsRef<Path>) -> Vec<Dialogue> {
    let entries = fs::read_dir(folder).unwrap();
    let mut found: Vec<_> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            Dialogue { name, path }
        })
        .collect();
    found.sort_by(|left, right| left.name.cmp(&right.name));
    assert!(!found.is_empty());
    found
}

/// Plays each dialogue of a folder, but for some, as it is and with a new conversation that goes on
/// from the state after each turn: what that makes of it is what the old one would have made.
///
/// # Panics
///
/// When it makes something else of one.
pub fn restarts_change_nothing(
    folder: impl AsRef<Path>,
    but_for: &[&str],
    play: impl Fn(&Dialogue, bool) -> String,
) {
    for dialogue in dialogues(folder) {
        if !but_for.contains(&&*dialogue.name) {
            let name = &dialogue.name;
            assert_eq!(play(&dialogue, true), play(&dialogue, false), "{name}");
        }
    }
}
