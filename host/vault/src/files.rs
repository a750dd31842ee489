//! Files that only their owner may read, written so that a crash leaves the old or the new.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::Error;

pub(crate) fn io_error<'a>(
    doing: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> Error + use<'a> {
    move |source| Error::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

/// Makes the folder with mode 0700, or checks that it is one that others cannot enter.
pub(crate) fn private_folder(path: &Path) -> Result<(), Error> {
    if !path.try_exists().map_err(io_error("find", path))? {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(io_error("make", path))?;
        sync_folder_of(path)?;
    }
    let metadata = fs::metadata(path).map_err(io_error("look at", path))?;
    check_private(path, &metadata, 0o700)
}

/// The file's content, once it is known that nobody else can read it; `None` when there is none.
pub(crate) fn read_private(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    let mut file = match aod_trees::open_regular(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("open", path)(error)),
    };
    // Of the open file, so that what is checked is what is read.
    let metadata = file.metadata().map_err(io_error("look at", path))?;
    check_private(path, &metadata, 0o600)?;
    let size = usize::try_from(metadata.len()).unwrap_or(0);
    // With room to spare: reading to the end must not grow it, and so leave a copy behind.
    let mut content = Zeroizing::new(Vec::with_capacity(size + 64));
    file.read_to_end(&mut content)
        .map_err(io_error("read", path))?;
    Ok(Some(content))
}

fn check_private(path: &Path, metadata: &fs::Metadata, wanted: u32) -> Result<(), Error> {
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Error::Exposed {
            path: path.to_owned(),
            mode,
            wanted,
        });
    }
    let me = rustix::process::geteuid().as_raw();
    let owner = metadata.uid();
    if owner != me && owner != 0 {
        return Err(Error::ForeignOwner {
            path: path.to_owned(),
            owner,
            wanted: me,
        });
    }
    Ok(())
}

/// Writes a file with mode 0600 in the place of what was there; durable when this returns.
/// Callers hold the vault's lock, so the temporary file is nobody else's.
pub(crate) fn replace_private(path: &Path, content: &[u8]) -> Result<(), Error> {
    let temporary = temporary(path);
    write_new(&temporary, content)?;
    rename(&temporary, path)
}

pub(crate) fn temporary(path: &Path) -> PathBuf {
    with_suffix(path, ".tmp")
}

/// `path` with `suffix` added to its last component.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn write_new(path: &Path, content: &[u8]) -> Result<(), Error> {
    remove_if_there(path)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(io_error("make", path))?;
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .map_err(io_error("write", path))
}

/// Removes a file that a crash may have left.
pub(crate) fn remove_if_there(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Moves a file over another, durably.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).map_err(io_error("rename", from))?;
    sync_folder_of(to)
}

fn sync_folder_of(path: &Path) -> Result<(), Error> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(io_error("sync", folder))
}

/// Waits for the lock that whoever changes the vault's files holds; the kernel releases it with
/// the returned file.
pub(crate) fn lock(path: &Path) -> Result<File, Error> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(io_error("open", path))?;
    file.lock().map_err(io_error("lock", path))?;
    Ok(file)
}

/// What tells one content of a path from another without reading it; `None` when nothing is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

pub(crate) fn fingerprint(path: &Path) -> Option<Fingerprint> {
    let metadata = fs::metadata(path).ok()?;
    Some(Fingerprint {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}
