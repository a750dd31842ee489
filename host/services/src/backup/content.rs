//! Files of the server's own, copied for their owner alone.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::BackupError;

/// What went wrong with a file.
pub(super) fn io_error<'a>(
    doing: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> BackupError + use<'a> {
    move |source| BackupError::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

/// Whether nothing is there, or an empty folder.
pub(super) fn is_free(path: &Path) -> bool {
    match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Makes a folder that its owner alone may enter.
pub(super) fn private_folder(path: &Path) -> Result<(), BackupError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(io_error("make", path))
}

/// Makes a file that its owner alone may read.
pub(super) fn make(path: &Path) -> Result<File, BackupError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(io_error("make", path))
}

/// Copies a file as it is now; one that is not there is no error.
pub(super) fn copy_file(from: &Path, to: &Path) -> Result<(), BackupError> {
    let source = match aod_trees::open_regular(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        source => source.map_err(io_error("open", from))?,
    };
    let size = source.metadata().map_err(io_error("look at", from))?.len();
    let mut copy = make(to)?;
    // What is written meanwhile is for the next backup.
    io::copy(&mut source.take(size), &mut copy).map_err(io_error("copy", from))?;
    copy.sync_all().map_err(io_error("sync", to))
}

/// Copies the files in a folder, and not what is in its folders.
pub(super) fn copy_files(from: &Path, to: &Path) -> Result<(), BackupError> {
    copy_files_chosen(from, to, |_| true)
}

/// The same for files with these names.
pub(super) fn copy_files_chosen(
    from: &Path,
    to: &Path,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<(), BackupError> {
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(io_error("list", from))?,
    };
    for entry in entries {
        let entry = entry.map_err(io_error("list", from))?;
        let name = entry.file_name();
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_file && name.to_str().is_some_and(&is_wanted) {
            copy_file(&entry.path(), &to.join(&name))?;
        }
    }
    Ok(())
}
