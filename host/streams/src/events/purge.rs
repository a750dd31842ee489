//! Events go with the history that they came from.

use std::fs;
use std::io;
use std::path::Path;

use aod_resources::event::EventId;

use super::read::{id_at, open};
use super::{file_of, turns_in};

/// Deletes the events of turns that came whole from log entries before `first_entry`. The newest
/// turn's stay. Readers keep what they have open.
///
/// # Errors
/// Where a file cannot be read or removed.
pub fn purge_events(dir: &Path, first_entry: u64) -> io::Result<()> {
    let turns = turns_in(dir)?;
    // A turn's events lie before the first one of any later turn.
    let mut gone = 0;
    for (at, turn) in turns.iter().enumerate().skip(1) {
        let first: Option<EventId> = match open(dir, *turn)? {
            Some(file) => id_at(&file, 0)?,
            None => None,
        };
        match first {
            Some(first) if first.entry <= first_entry => gone = at,
            Some(_) => break,
            // It gave no events.
            None => {}
        }
    }
    for turn in &turns[..gone] {
        match fs::remove_file(file_of(dir, *turn)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_from_purged_entries_goes_and_nothing_else() {
        let stored = |first_entry| {
            let folder = tempfile::tempdir().unwrap();
            let write = |turn, text: &str| fs::write(file_of(folder.path(), turn), text).unwrap();
            write(1, "{\"id\":\"1.0\"}\n{\"id\":\"9.0\"}\n");
            write(2, "");
            write(3, "{\"id\":\"20.0\"}\n{\"id\":\"29.0\"}\n");
            write(4, "{\"id\":\"30.0\"}\n");
            purge_events(folder.path(), first_entry).unwrap();
            turns_in(folder.path()).unwrap()
        };
        assert_eq!(stored(1), [1, 2, 3, 4]);
        assert_eq!(stored(19), [1, 2, 3, 4]);
        assert_eq!(stored(20), [3, 4]);
        assert_eq!(stored(29), [3, 4]);
        assert_eq!(stored(30), [4]);
        assert_eq!(stored(1000), [4]);
        let none = tempfile::tempdir().unwrap();
        purge_events(&none.path().join("missing"), 5).unwrap();
    }
}
