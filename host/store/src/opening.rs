//! Whether the write-ahead log beside a database file is its own.
//!
//! SQLite lays whatever `-wal` it finds over the file, and copies it into the file when it closes.
//! Where somebody has put a copy of a database back and left the log that was there, that hides the
//! copy and then destroys it. So each opening that finds no log gives the database a new word, and
//! `aod.db-opening` has the words that the file may bear beside the log that is begun then: the new
//! one, and the one before as long as the new one is in the log alone. A file with any other word
//! was put there since.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, OpenFlags};

use crate::{Error, Result};

/// Two words of 32 characters, and room for what somebody may have added.
const LONGEST: u64 = 1 << 10;

/// An opening of the database, which no other process begins meanwhile.
pub(crate) struct Opening {
    path: PathBuf,
    words: PathBuf,
    /// Locked until this is dropped.
    file: File,
    /// The word in the file without its log; none where the file has none yet.
    word: Option<String>,
    has_log: bool,
}

impl Opening {
    /// Refuses the log of another file, and changes neither. Where the file bears no word, since it
    /// is older than that or all of it is in the log yet, nothing can be told.
    pub(crate) fn begin(path: &Path) -> Result<Self> {
        let (words, log) = (beside(path, "-opening"), beside(path, "-wal"));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&words)
            .map_err(failed(&words))?;
        file.lock().map_err(failed(&words))?;
        let opening = Self {
            path: path.to_owned(),
            has_log: fs::metadata(&log).is_ok_and(|meta| meta.len() > 0),
            word: word_in_file(path),
            words,
            file,
        };
        if opening.has_log && !opening.is_expected()? {
            return Err(Error::ForeignLog {
                path: path.to_owned(),
                log,
                words: opening.words,
            });
        }
        Ok(opening)
    }

    /// Whether the file's word is one of those that were noted, as far as both are there.
    fn is_expected(&self) -> Result<bool> {
        let mut noted = String::new();
        (&self.file)
            .take(LONGEST)
            .read_to_string(&mut noted)
            .map_err(failed(&self.words))?;
        Ok(match &self.word {
            Some(word) => noted.is_empty() || noted.lines().any(|noted| noted == word),
            None => true,
        })
    }

    /// Gives the database a new word if a log was begun with this opening. To be called before
    /// anything that must not be lost is written.
    pub(crate) fn finish(mut self, connection: &Connection) -> Result<()> {
        if self.has_log {
            return Ok(());
        }
        let new: String =
            connection.query_row("SELECT lower(hex(randomblob(16)))", [], |row| row.get(0))?;
        // What migrations have just made may be in the log alone.
        let before = self.word.take().or_else(|| word_in_file(&self.path));
        let words = format!("{}\n{new}\n", before.unwrap_or_default());
        self.note(&words).map_err(failed(&self.words))?;
        connection.execute("UPDATE opening SET id = ?", [&new])?;
        // Into the file itself. While others read or write, a later checkpoint does it.
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        if word_in_file(&self.path).as_ref() == Some(&new) {
            self.note(&new).map_err(failed(&self.words))?;
        }
        Ok(())
    }

    fn note(&mut self, words: &str) -> io::Result<()> {
        self.file.rewind()?;
        self.file.set_len(0)?;
        self.file.write_all(words.as_bytes())?;
        self.file.sync_all()
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    |source| Error::Io {
        path,
        source: Arc::new(source),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// The word in the file without its log. None where it cannot be read: others may be writing the
/// file, and what is read meanwhile may be of two moments.
fn word_in_file(path: &Path) -> Option<String> {
    let path = percent_encode(path.as_os_str().as_bytes(), NON_ALPHANUMERIC);
    // SQLite looks for no log beside a file that does not change.
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let file = Connection::open_with_flags(format!("file:{path}?immutable=1"), flags).ok()?;
    let word: String = file
        .query_row("SELECT id FROM opening", [], |row| row.get(0))
        .ok()?;
    let is_word = word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_word.then_some(word)
}
