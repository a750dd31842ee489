//! Adapters that an earlier server of the tests has compiled: two hundred servers need not do it
//! again each.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::program::target;

/// Where they are kept between servers.
fn shelf() -> PathBuf {
    target().join("tmp/compiled-adapters")
}

/// Where a server keeps its own.
fn own(data: &Path) -> PathBuf {
    data.join("cache/cwasm")
}

/// Gives a server that has not been started yet what there is.
///
/// # Panics
/// When it cannot be copied.
pub(super) fn lend(data: &Path) {
    let mut folder = DirBuilder::new();
    folder.recursive(true).mode(0o700);
    let lent = folder
        .create(own(data))
        .and_then(|()| copy(&shelf(), &own(data)));
    if let Err(error) = lent {
        panic!("cannot lend compiled adapters: {error}");
    }
}

/// Keeps what a server has compiled.
///
/// # Panics
/// When it cannot be copied.
pub(super) fn keep(data: &Path) {
    let kept = fs::create_dir_all(shelf()).and_then(|()| copy(&own(data), &shelf()));
    if let Err(error) = kept {
        panic!("cannot keep compiled adapters: {error}");
    }
}

/// Copies what is missing: first the code, then the checksums without which it is not used. Other
/// tests may be at it, too.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort_by_key(|path| path.extension() == Some("sum".as_ref()));
    for file in files {
        let Some(name) = file.file_name() else {
            continue;
        };
        let (place, draft) = (
            to.join(name),
            to.join(format!("draft-{}", uuid::Uuid::new_v4())),
        );
        if !place.exists() {
            fs::copy(&file, &draft)?;
            fs::rename(&draft, &place)?;
        }
    }
    Ok(())
}
