//! Folders for what is tried out on this machine.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use aod_trees::{Folder, Limits};

/// Where they are, below the data folder.
const PLACE: &str = "cache/probe";

/// How often another process may have removed a folder in the moment before it was locked.
const TRIES: usize = 10;

/// A folder that goes with this, or, where the process is killed before, with the next one that is
/// made in the same place.
///
/// It is in the data folder where there is one: what works there is what matters, and the system's
/// temporary folder fills up with nothing.
pub(super) struct Scratch {
    folder: tempfile::TempDir,
    /// The kernel lets go of it with the process, and so others tell what is left over.
    _lock: Option<File>,
}

impl Scratch {
    /// Makes one, below `data` if that is there and can be written to.
    pub(super) fn new(data: Option<&Path>) -> io::Result<Self> {
        if let Some(data) = data.filter(|data| data.is_dir())
            && let Ok(scratch) = Self::within(&data.join(PLACE))
        {
            return Ok(scratch);
        }
        Ok(Self {
            folder: tempfile::tempdir()?,
            _lock: None,
        })
    }

    fn within(place: &Path) -> io::Result<Self> {
        fs::create_dir_all(place)?;
        remove_left_over(place);
        for _ in 0..TRIES {
            let folder = tempfile::tempdir_in(place)?;
            if let Some(lock) = lock(folder.path()) {
                return Ok(Self {
                    folder,
                    _lock: Some(lock),
                });
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A folder in it.
    pub(super) fn folder(&self, name: &str) -> io::Result<PathBuf> {
        let folder = self.path().join(name);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}

/// Locks a folder that is still there and that nobody else has locked.
fn lock(folder: &Path) -> Option<File> {
    let file = File::open(folder).ok()?;
    file.try_lock().ok()?;
    folder.is_dir().then_some(file)
}

fn remove_left_over(place: &Path) {
    let Ok(parent) = Folder::open(place) else {
        return;
    };
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        if let Some(_lock) = lock(&entry.path()) {
            // Whoever comes next tries it again.
            let _ = aod_trees::remove(&parent, &entry.file_name(), &Limits::default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_goes_and_what_another_uses_stays() {
        let data = tempfile::tempdir().unwrap();
        let left = data.path().join(PLACE).join(".tmpleft");
        fs::create_dir_all(left.join("home/deep")).unwrap();
        let other = Scratch::new(Some(data.path())).unwrap();
        assert!(!left.exists());
        let own = Scratch::new(Some(data.path())).unwrap();
        for scratch in [&other, &own] {
            assert!(scratch.path().starts_with(data.path()));
            assert!(scratch.folder("home").unwrap().is_dir());
        }
        let paths = [other.path().to_owned(), own.path().to_owned()];
        drop((other, own));
        assert!(paths.iter().all(|path| !path.exists()), "{paths:?}");
    }

    #[test]
    fn a_data_folder_that_is_not_there_is_not_made() {
        let data = tempfile::tempdir().unwrap();
        let missing = data.path().join("missing");
        let scratch = Scratch::new(Some(&missing)).unwrap();
        assert!(scratch.path().is_dir());
        assert!(!missing.exists());
    }
}
