//! Files that the host writes into a sandbox's own folders.
//!
//! The agent owns these folders and may have put anything there, symbolic links above all. Every
//! path is resolved by the kernel beneath the folder and through no link, so that nothing outside
//! is ever reached.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};

use super::error::StageError;

/// A folder of a sandbox, held open.
#[derive(Debug)]
pub(crate) struct Folder(OwnedFd);

/// A file that cannot be placed.
#[derive(Debug, thiserror::Error)]
#[error("cannot place {path:?} in the sandbox: {source}")]
pub(crate) struct PlaceError {
    path: String,
    source: io::Error,
}

impl From<PlaceError> for StageError {
    fn from(error: PlaceError) -> Self {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        match error.source.kind() {
            StorageFull | QuotaExceeded => crate::Error::internal(error).into(),
            // Something of the agent's is in the way, or the path is none.
            _ => Self::Failed(error.to_string()),
        }
    }
}

const INSIDE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);

impl Folder {
    /// Opens the folder itself, which is the host's own path.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// Writes a file, in the place of whatever is there, making folders as needed.
    pub(crate) fn write(&self, path: &str, mode: u32, content: &[u8]) -> Result<(), PlaceError> {
        let (parent, name) = self.parent(path, true)?;
        remove(&parent, name).map_err(|error| explained(path, error))?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(mode & 0o777);
        let file = rustix::fs::openat2(&parent, name, flags, mode, INSIDE)
            .map_err(|error| explained(path, error.into()))?;
        // The umask took some of them away.
        rustix::fs::fchmod(&file, mode).map_err(|error| explained(path, error.into()))?;
        File::from(file)
            .write_all(content)
            .map_err(|error| explained(path, error))
    }

    /// Deletes a file, or a folder with all that is in it; one that is not there is no error.
    pub(crate) fn delete(&self, path: &str) -> Result<(), PlaceError> {
        let (parent, name) = match self.parent(path, false) {
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => return Ok(()),
            found => found?,
        };
        remove(&parent, name).map_err(|error| explained(path, error))
    }

    /// The folder of a path and the path's last part.
    fn parent<'a>(&self, path: &'a str, make: bool) -> Result<(OwnedFd, &'a OsStr), PlaceError> {
        let mut parts: Vec<&OsStr> = Vec::new();
        for component in Path::new(path).components() {
            match component {
                Component::Normal(part) => parts.push(part),
                Component::CurDir => {}
                _ => return Err(explained(path, io::ErrorKind::InvalidInput.into())),
            }
        }
        let Some(name) = parts.pop() else {
            return Err(explained(path, io::ErrorKind::InvalidInput.into()));
        };
        let mut folder = self.0.try_clone().map_err(|error| explained(path, error))?;
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        for part in parts {
            if make {
                match rustix::fs::mkdirat(&folder, part, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                    Err(error) => return Err(explained(path, error.into())),
                }
            }
            folder = rustix::fs::openat2(&folder, part, flags, Mode::empty(), INSIDE)
                .map_err(|error| explained(path, error.into()))?;
        }
        Ok((folder, name))
    }
}

/// Removes whatever has that name in a folder.
fn remove(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        // The standard library follows no link below the path; that leads to the folder held open.
        Err(rustix::io::Errno::ISDIR) => {
            let folder = Path::new("/proc/self/fd").join(parent.as_raw_fd().to_string());
            std::fs::remove_dir_all(folder.join(name))
        }
        Err(error) => Err(error.into()),
    }
}

fn explained(path: &str, source: io::Error) -> PlaceError {
    PlaceError {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn writes_replaces_and_deletes() {
        let folder = tempfile::tempdir().unwrap();
        let home = Folder::open(folder.path()).unwrap();
        home.write(".x/y/settings.json", 0o600, b"1").unwrap();
        home.write(".x/y/settings.json", 0o640, b"2").unwrap();
        let path = folder.path().join(".x/y/settings.json");
        assert_eq!(std::fs::read(&path).unwrap(), b"2");
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o640
        );
        home.delete(".x/y/settings.json").unwrap();
        home.delete(".x/y/settings.json").unwrap();
        home.delete("not/there").unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_in_the_way_is_removed_with_all_in_it() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("victim"), "kept").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let home = Folder::open(folder.path()).unwrap();
        let place = folder.path().join("place");
        let in_the_way = || {
            std::fs::create_dir_all(place.join("deep/er")).unwrap();
            std::fs::write(place.join("deep/file"), "").unwrap();
            symlink(outside.path(), place.join("deep/link")).unwrap();
        };
        in_the_way();
        home.delete("place").unwrap();
        assert!(!place.exists());
        in_the_way();
        home.write("place", 0o600, b"file").unwrap();
        assert_eq!(std::fs::read(&place).unwrap(), b"file");
        let kept = std::fs::read(outside.path().join("victim")).unwrap();
        assert_eq!(kept, b"kept");
    }

    #[test]
    fn a_link_leads_nowhere() {
        let outside = tempfile::tempdir().unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("victim"), "kept").unwrap();
        symlink(outside.path(), folder.path().join("dir")).unwrap();
        symlink(outside.path().join("victim"), folder.path().join("file")).unwrap();
        let home = Folder::open(folder.path()).unwrap();
        assert!(home.write("dir/new", 0o600, b"x").is_err());
        assert!(home.delete("dir/victim").is_err());
        assert!(home.write("../escape", 0o600, b"x").is_err());
        assert!(home.write("/etc/x", 0o600, b"x").is_err());
        // A link in the place of the file itself is replaced.
        home.write("file", 0o600, b"new").unwrap();
        assert_eq!(
            std::fs::read(outside.path().join("victim")).unwrap(),
            b"kept"
        );
        assert_eq!(std::fs::read(folder.path().join("file")).unwrap(), b"new");
    }
}
