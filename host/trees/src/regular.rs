//! Reading files where somebody may have put something else.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};

/// Opens a regular file for reading, by a path of the host's own. It does not wait for a FIFO's
/// writer, and takes no device, socket or folder.
///
/// # Errors
/// Those of opening; [`io::ErrorKind::InvalidInput`] where it is no regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat(CWD, path, flags, Mode::empty())?;
    let kind = FileType::from_raw_mode(fstat(&file)?.st_mode);
    if kind != FileType::RegularFile {
        return Err(not_regular(kind));
    }
    Ok(File::from(file))
}

/// Reads a regular file of at most `max` bytes whole.
///
/// # Errors
/// As [`open_regular`]; [`io::ErrorKind::FileTooLarge`] where it is longer.
pub fn read_regular(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    read_at_most(open_regular(path)?, max)
}

pub(crate) fn read_at_most(file: impl Read, max: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    file.take(max.saturating_add(1)).read_to_end(&mut content)?;
    if content.len() as u64 > max {
        let problem = format!("longer than {max} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    Ok(content)
}

pub(crate) fn not_regular(kind: FileType) -> io::Error {
    let what = match kind {
        FileType::Directory => "a folder",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "something else",
    };
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("it is {what} and not a regular file"),
    )
}

#[cfg(test)]
mod tests {
    use rustix::fs::mknodat;

    use super::*;

    #[test]
    fn only_regular_files_are_read_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "content").unwrap();
        assert_eq!(read_regular(&at("file"), 7).unwrap(), b"content");
        let long = read_regular(&at("file"), 6).unwrap_err();
        assert_eq!(long.kind(), io::ErrorKind::FileTooLarge);

        mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        std::os::unix::fs::symlink(at("fifo"), at("link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        for name in ["fifo", "link", "", "socket"] {
            assert!(open_regular(&at(name)).is_err(), "{name:?}");
        }
        let error = open_regular(&at("fifo")).unwrap_err();
        assert!(error.to_string().contains("a FIFO"), "{error}");
        let missing = open_regular(&at("no")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        let device = open_regular(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(device.kind(), io::ErrorKind::InvalidInput);
    }
}
