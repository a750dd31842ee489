//! Mount points inside folders that a sandboxed command controls.
//!
//! bubblewrap makes missing mount points itself, as the server's user, and while the whole host is
//! still mounted beside the sandbox. In a folder that an earlier command could write to, a symbolic
//! link would lead it to make files and folders of its choice on the host. So mount points there
//! are made here, component by component, following no link.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::SandboxError;

/// What is going to be mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A folder.
    Folder,
    /// A regular file.
    File,
}

/// Makes sure that `path` below the folder `base` is a mount point of this kind and that no
/// component below `base` is a symbolic link. Makes what is missing if `create`.
pub(crate) fn prepare(
    base: &Path,
    path: &Path,
    kind: Kind,
    create: bool,
) -> Result<(), SandboxError> {
    let whole = base.join(path);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut folder = rustix::fs::open(base, flags, Mode::empty())
        .map_err(|source| SandboxError::io(format!("open `{}`", base.display()), source))?;
    let mut reached = base.to_path_buf();
    let mut names = path.components().map(|part| part.as_os_str()).peekable();
    while let Some(name) = names.next() {
        reached.push(name);
        let unsafe_point = || SandboxError::UnsafeMountPoint {
            path: whole.clone(),
            culprit: reached.clone(),
        };
        let result = if names.peek().is_none() && kind == Kind::File {
            return file(&folder, name, create).map_err(|errno| match errno {
                Errno::EXIST => unsafe_point(),
                errno => failed(&reached, errno),
            });
        } else {
            enter(&folder, name, create)
        };
        folder = result.map_err(|errno| match errno {
            Errno::NOTDIR | Errno::LOOP => unsafe_point(),
            errno => failed(&reached, errno),
        })?;
    }
    Ok(())
}

fn failed(path: &Path, errno: Errno) -> SandboxError {
    SandboxError::io(format!("make the mount point `{}`", path.display()), errno)
}

fn enter(folder: &OwnedFd, name: &OsStr, create: bool) -> Result<OwnedFd, Errno> {
    if create {
        match rustix::fs::mkdirat(folder, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, flags, Mode::empty())
}

/// `EXIST` means that something else than a regular file is there.
fn file(folder: &OwnedFd, name: &OsStr, create: bool) -> Result<(), Errno> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::RegularFile => Ok(()),
        Ok(_) => Err(Errno::EXIST),
        Err(Errno::NOENT) if create => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            rustix::fs::openat(folder, name, flags, Mode::RUSR | Mode::WUSR).map(drop)
        }
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn makes_what_is_missing_and_accepts_what_is_there() {
        let base = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            prepare(base.path(), Path::new("a/b/file"), Kind::File, true).unwrap();
            prepare(base.path(), Path::new("a/c"), Kind::Folder, true).unwrap();
        }
        assert_eq!(fs::read(base.path().join("a/b/file")).unwrap(), b"");
        assert!(base.path().join("a/c").is_dir());
    }

    #[test]
    fn makes_nothing_when_not_asked_to() {
        let base = tempfile::tempdir().unwrap();
        assert!(prepare(base.path(), Path::new("a"), Kind::Folder, false).is_err());
        assert!(prepare(base.path(), Path::new("a"), Kind::File, false).is_err());
        assert!(!base.path().join("a").exists());
    }

    #[test]
    fn follows_no_link_anywhere() {
        let outside = tempfile::tempdir().unwrap();
        let base = tempfile::tempdir().unwrap();
        symlink(outside.path(), base.path().join("link")).unwrap();
        symlink(outside.path().join("new"), base.path().join("dangling")).unwrap();
        for (path, kind) in [
            ("link/x", Kind::File),
            ("link/x", Kind::Folder),
            ("link", Kind::Folder),
            ("link", Kind::File),
            ("dangling", Kind::File),
            ("dangling/x", Kind::File),
        ] {
            let error = prepare(base.path(), Path::new(path), kind, true).unwrap_err();
            assert!(
                matches!(error, SandboxError::UnsafeMountPoint { .. }),
                "{path}: {error}"
            );
        }
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
