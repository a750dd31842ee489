//! Extended attributes: those of users, which anybody may set.

use std::ffi::{CString, OsStr};
use std::os::fd::AsFd;

use rustix::fs::{Mode, OFlags, XattrFlags, fgetxattr, flistxattr, fsetxattr, openat};
use rustix::io::Errno;

/// What the kernel lets names, or a value, take at most.
const LONGEST: usize = 64 << 10;
/// Those of this kind belong to users; others need rights, or are the file system's own.
const OURS: &[u8] = b"user.";

/// Gives a copy what its original has. A file system that has none, or has no room for more of them,
/// keeps nobody from a copy.
pub(super) fn copy(from: impl AsFd, to: impl AsFd) {
    // Most have none.
    let mut few = [0; 512];
    let mut many = Vec::new();
    let names = match flistxattr(&from, &mut few[..]) {
        Ok(length) => few.get(..length),
        Err(Errno::RANGE) => {
            many.resize(LONGEST, 0);
            let length = flistxattr(&from, &mut many[..]);
            length.ok().and_then(|length| many.get(..length))
        }
        Err(_) => None,
    };
    let mut value = Vec::new();
    for name in names.unwrap_or_default().split(|byte| *byte == 0) {
        if !name.starts_with(OURS) {
            continue;
        }
        let Ok(name) = CString::new(name) else {
            continue;
        };
        value.resize(LONGEST, 0);
        if let Ok(length) = fgetxattr(&from, &name, &mut value[..]) {
            let value = value.get(..length).unwrap_or_default();
            let set = fsetxattr(&to, &name, value, XattrFlags::empty());
            if let Err(error) = set {
                tracing::debug!(%error, ?name, "an extended attribute is not copied");
            }
        }
    }
}

/// The same for a folder that can be opened.
pub(super) fn of_folder(folder: impl AsFd, name: &OsStr, to: impl AsFd) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if let Ok(from) = openat(folder, name, flags, Mode::empty()) {
        copy(from, to);
    }
}
