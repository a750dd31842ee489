//! What is told of a file.

use std::ffi::OsString;

use aod_resources::{FileEntry, FileKind, FilePath};
use aod_trees::{Kind, Status};

/// What has a name, for those who decide by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Present<'a> {
    /// Nothing.
    Nothing,
    /// Something that is no file.
    Other,
    /// A file of this version, as `ETag` has it.
    File(&'a str),
}

/// What is told of something at a path.
pub(super) fn of(path: &FilePath, status: &Status, target: Option<OsString>) -> FileEntry {
    let kind = match status.kind {
        Kind::RegularFile => FileKind::File,
        Kind::Directory => FileKind::Folder,
        Kind::Symlink => FileKind::Symlink,
        _ => FileKind::Other,
    };
    FileEntry {
        path: path.to_string(),
        encoded_path: path.encode(),
        kind,
        size: match kind {
            FileKind::File => status.size,
            _ => 0,
        },
        modified_at: status.modified.into(),
        mode: format!("{:04o}", status.mode),
        executable: kind == FileKind::File && status.mode & 0o100 != 0,
        target: target
            .filter(|_| kind == FileKind::Symlink)
            .map(|target| target.to_string_lossy().into_owned()),
        etag: etag(status),
    }
}

/// A file's version: another whenever its content was changed, put in its place or taken for
/// another's. None for what is no file.
///
/// It is made of the time that programs cannot set, so that one which restores the other kind, as
/// `cp -p` does, deceives nobody.
pub(super) fn etag(status: &Status) -> Option<String> {
    (status.kind == Kind::RegularFile).then(|| {
        format!(
            "\"{:x}-{:x}-{:x}\"",
            status.inode, status.size, status.changed
        )
    })
}

/// What it is, in a sentence.
pub(super) const fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::RegularFile => "a file",
        Kind::Directory => "a folder",
        Kind::Symlink => "a symbolic link",
        Kind::Fifo => "a FIFO",
        Kind::Socket => "a socket",
        Kind::CharacterDevice | Kind::BlockDevice => "a device",
        _ => "something unknown",
    }
}
