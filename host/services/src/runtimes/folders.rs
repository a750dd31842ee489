//! Where files may appear, change or vanish: the folders to watch for them.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Component, Path, PathBuf};

use inotify::{EventMask, WatchDescriptor, WatchMask, Watches};

/// How many symbolic links are followed for one path, as the kernel does.
const MAX_LINKS: u32 = 40;

/// Watches over folders, for the sake of some names in each.
///
/// Files themselves are not watched: editors replace them, and then a watch would stay with the
/// file that was.
pub(super) struct Folders {
    watches: Watches,
    names: HashMap<WatchDescriptor, HashSet<OsString>>,
}

impl Folders {
    pub(super) fn new(watches: Watches) -> Self {
        Self {
            watches,
            names: HashMap::new(),
        }
    }

    /// Watches for these files, and for nothing else. Says whether a folder is watched now that
    /// was not before, so that what happened there until now went unseen.
    pub(super) fn arm(&mut self, files: &[PathBuf]) -> bool {
        let mut wanted: HashMap<PathBuf, HashSet<OsString>> = HashMap::new();
        for file in files {
            for (folder, name) in places(file) {
                wanted.entry(folder).or_default().insert(name);
            }
        }
        let mask = WatchMask::CLOSE_WRITE
            | WatchMask::MODIFY
            | WatchMask::CREATE
            | WatchMask::DELETE
            | WatchMask::MOVE
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        let mut names: HashMap<WatchDescriptor, HashSet<OsString>> = HashMap::new();
        for (folder, wanted) in wanted {
            match self.watches.add(&folder, mask) {
                Ok(watch) => names.entry(watch).or_default().extend(wanted),
                Err(error) => {
                    tracing::warn!("{}: changes go unseen: {error}", folder.display());
                }
            }
        }
        let grown = names.keys().any(|watch| !self.names.contains_key(watch));
        for (watch, _) in std::mem::replace(&mut self.names, names) {
            if !self.names.contains_key(&watch) {
                // The folder may be gone, and the watch with it.
                let _ = self.watches.remove(watch);
            }
        }
        grown
    }

    /// Whether an event may concern one of the files.
    pub(super) fn concerns(
        &mut self,
        watch: &WatchDescriptor,
        mask: EventMask,
        name: Option<&OsStr>,
    ) -> bool {
        if mask.contains(EventMask::Q_OVERFLOW) {
            return true;
        }
        let Some(names) = self.names.get(watch) else {
            return false;
        };
        if mask.intersects(EventMask::IGNORED | EventMask::DELETE_SELF | EventMask::MOVE_SELF) {
            // Another folder may stand in its place by now.
            self.names.remove(watch);
            let _ = self.watches.remove(watch.clone());
            return true;
        }
        name.is_some_and(|name| names.contains(name))
    }
}

/// The folders and the names in them on which it depends what a path leads to: those of symbolic
/// links on the way, and that of the file or of what is missing first.
fn places(path: &Path) -> Vec<(PathBuf, OsString)> {
    let mut found = Vec::new();
    let Ok(mut path) = std::path::absolute(path) else {
        return found;
    };
    for _ in 0..MAX_LINKS {
        match next_link(&path, &mut found) {
            Some(leads_to) => path = leads_to,
            None => break,
        }
    }
    found
}

/// Walks along an absolute path up to its first symbolic link, and says where that leads.
fn next_link(path: &Path, found: &mut Vec<(PathBuf, OsString)>) -> Option<PathBuf> {
    let mut folder = PathBuf::from("/");
    let mut components = path.components();
    while let Some(component) = components.next() {
        let name = match component {
            Component::Normal(name) => name,
            Component::ParentDir => {
                folder.pop();
                continue;
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => continue,
        };
        let here = folder.join(name);
        let rest = components.as_path();
        match fs::symlink_metadata(&here) {
            Ok(there) if there.is_symlink() => {
                let target = fs::read_link(&here).ok();
                let leads_to = target.map(|target| folder.join(target).join(rest));
                found.push((folder, name.to_owned()));
                return leads_to;
            }
            Ok(there) if there.is_dir() && !rest.as_os_str().is_empty() => folder = here,
            _ => {
                found.push((folder, name.to_owned()));
                return None;
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn at(folder: &Path, name: &str) -> (PathBuf, OsString) {
        (folder.to_owned(), name.into())
    }

    #[test]
    fn a_file_depends_on_its_folder_or_on_what_is_missing_first() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::write(root.join("there"), "").unwrap();
        assert_eq!(places(&root.join("there")), [at(&root, "there")]);
        assert_eq!(places(&root.join("no/x/y")), [at(&root, "no")]);
        assert_eq!(places(&root.join("./there")), [at(&root, "there")]);
    }

    #[test]
    fn links_on_the_way_count() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("v1/sub")).unwrap();
        fs::write(root.join("v1/sub/file"), "").unwrap();
        symlink("v1", root.join("current")).unwrap();
        symlink("current/sub/file", root.join("file")).unwrap();
        let sub = root.join("v1/sub");
        assert_eq!(
            places(&root.join("file")),
            [at(&root, "file"), at(&root, "current"), at(&sub, "file")]
        );
        assert_eq!(
            places(&root.join("v1/sub/../../file"))[0],
            at(&root, "file")
        );
        symlink("loop", root.join("loop")).unwrap();
        assert_eq!(places(&root.join("loop")).len(), MAX_LINKS as usize);
    }
}
