//! A view that is put together, of a folder in which something is mounted.
//!
//! An overlay shows one file system, and nothing of what is mounted inside of it. Here each folder
//! that leads to such a mount is one in memory. Its entries are the lower folder's or the upper one's,
//! as they are, or overlays where both have a folder of the name. What is mounted is seen as ever,
//! with the upper folder's files over it.

use std::collections::BTreeSet;
use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, DirBuilder, File, Metadata};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use super::{Overlay, open, over};

/// It holds names, and nothing else.
const IN_MEMORY: &str = "mode=755,size=16m";

/// Where something is mounted inside of a folder, as paths in it.
pub(super) fn mounts_inside(folder: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(inside(&fs::read("/proc/self/mountinfo")?, folder))
}

/// The same, by the text of `mountinfo`, in which names may be of any kind.
fn inside(mountinfo: &[u8], folder: &Path) -> Vec<PathBuf> {
    let lines = mountinfo.split(|byte| *byte == b'\n');
    let places = lines.filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    let places = places.map(|place| PathBuf::from(OsString::from_vec(unescaped(place))));
    let inside = places.filter_map(|place| Some(place.strip_prefix(folder).ok()?.to_owned()));
    inside.filter(|path| !path.as_os_str().is_empty()).collect()
}

/// A name of which blanks and the like were written as `\040`.
fn unescaped(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let [first, behind @ ..] = rest {
        let code = behind.get(..3).filter(|_| *first == b'\\');
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        let byte = code.and_then(|code| u8::from_str_radix(code, 8).ok());
        plain.push(byte.unwrap_or(*first));
        rest = byte.and_then(|_| behind.get(3..)).unwrap_or(behind);
    }
    plain
}

/// Mounts what comes of an overlay's upper folder over its lower one, in which something is mounted
/// at the paths `inside`.
pub(super) fn mount(overlay: &Overlay, inside: &[PathBuf], options: &str) -> io::Result<()> {
    let flags = libc::MS_NODEV | libc::MS_NOSUID;
    super::mount(Some(c"tmpfs"), &overlay.view, flags, IN_MEMORY)?;
    let mut waiting = vec![PathBuf::new()];
    while let Some(folder) = waiting.pop() {
        let of = |root: &OsStr| Path::new(root).join(&folder);
        let (upper, lower, view) = (of(&overlay.upper), of(&overlay.lower), of(&overlay.view));
        let mut names = entries(&upper)?;
        names.append(&mut entries(&lower)?);
        for name in names {
            let (upper, lower, view) = (upper.join(&name), lower.join(&name), view.join(&name));
            match (look(&upper)?, look(&lower)?) {
                (Some(it), _) if is_whiteout(&it) => {}
                (Some(it), Some(under)) if it.is_dir() && under.is_dir() => {
                    make_folder(&view)?;
                    let path = folder.join(&name);
                    let is_inside = |mount: &PathBuf| *mount != path && mount.starts_with(&path);
                    if inside.iter().any(is_inside) {
                        waiting.push(path);
                        continue;
                    }
                    let (upper, lower) = (open(upper.as_os_str())?, open(lower.as_os_str())?);
                    over(
                        upper.as_raw_fd(),
                        lower.as_raw_fd(),
                        view.as_os_str(),
                        options,
                    )?;
                }
                (Some(it), _) => show(&upper, &it, &view)?,
                (None, Some(it)) => show(&lower, &it, &view)?,
                // It has gone meanwhile.
                (None, None) => {}
            }
        }
    }
    Ok(())
}

/// The names in a folder.
fn entries(folder: &Path) -> io::Result<BTreeSet<OsString>> {
    let entries = fs::read_dir(folder)?;
    entries.map(|entry| Ok(entry?.file_name())).collect()
}

/// What has this name, if something does.
fn look(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether it stands for a name that was removed.
fn is_whiteout(found: &Metadata) -> bool {
    found.file_type().is_char_device() && found.rdev() == 0
}

/// Has something seen at another place, with what is mounted in it.
fn show(source: &Path, found: &Metadata, view: &Path) -> io::Result<()> {
    if found.is_symlink() {
        return symlink(fs::read_link(source)?, view);
    }
    match found.is_dir() {
        true => make_folder(view)?,
        false => drop(File::create_new(view)?),
    }
    let source = CString::new(source.as_os_str().as_bytes())?;
    let flags = libc::MS_BIND | libc::MS_REC;
    super::mount_from(&source, None, view.as_os_str(), flags, "")
}

fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o755).create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mounted_inside_of_a_folder_is_found() {
        let line = |place: &str| format!("36 35 98:0 / {place} rw shared:1 - ext4 /dev/a rw\n");
        let lines: String = [
            "/",
            "/usr",
            "/usr/lib/x",
            "/usrx/y",
            "/usr/a\\040b\\",
            "/etc/hosts",
        ]
        .map(line)
        .concat();
        let found = inside(lines.as_bytes(), Path::new("/usr"));
        assert_eq!(found, [Path::new("lib/x"), Path::new("a b\\")]);
        assert!(inside(b"", Path::new("/usr")).is_empty());
    }
}
