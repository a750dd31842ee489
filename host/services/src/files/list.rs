//! Lists of a workspace's files, page by page and in order, without any of them in memory but the
//! page's own.

use std::collections::BinaryHeap;
use std::time::Duration;

use aod_resources::{FileEntry, FilePath};
use aod_trees::{Found, Kind, Limits, Step, walk_chosen};
use globset::{GlobBuilder, GlobMatcher};
use uuid::Uuid;

use super::{Files, FilesError, blocking, entry};
use crate::Result;

/// How long a list may be looked for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which files to list.
#[derive(Clone, Debug)]
pub struct ListFiles {
    /// The folder whose content is listed.
    pub path: FilePath,
    /// Whether what is in its folders is listed as well.
    pub recursive: bool,
    /// Only what has a path, relative to the folder, that this fits. It is looked for in all
    /// folders.
    pub glob: Option<String>,
    /// Go on behind what `next` says.
    pub after: Option<String>,
    /// The most entries.
    pub limit: usize,
}

/// A page of a list.
#[derive(Clone, Debug)]
pub struct FilePage {
    /// The entries, a folder before what is in it, and else by the bytes of their names.
    pub entries: Vec<FileEntry>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

impl Files {
    /// Lists files.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`]; [`crate::Error::Files`].
    pub async fn list(&self, owner: Uuid, session: Uuid, wanted: ListFiles) -> Result<FilePage> {
        let glob = wanted.glob.as_deref().map(read_glob).transpose()?;
        let after = match wanted.after.as_deref().map(FilePath::decode) {
            None => None,
            Some(Ok(after)) => Some(key(after.as_bytes())),
            Some(Err(_)) => return Err(FilesError::After.into()),
        };
        let workspace = self.workspace(owner, session).await?;
        let deep = wanted.recursive || glob.is_some();
        let permit = deep.then(|| self.permits.take(owner)).transpose()?;
        blocking(move || {
            let _permit = permit;
            let path = &wanted.path;
            let named = |error| FilesError::of(error, path);
            let node = workspace.find(path.as_path()).map_err(named)?;
            if node.status.kind != Kind::Directory {
                return Err(FilesError::NoFolder {
                    path: path.to_string(),
                }
                .into());
            }
            let mut page = Page {
                way: Way::new(path),
                glob,
                recursive: wanted.recursive,
                after,
                limit: wanted.limit,
                found: BinaryHeap::new(),
            };
            let limits = Limits {
                time: PATIENCE,
                ..Limits::default()
            };
            let folder = node.folder().map_err(named)?;
            walk_chosen(&folder, &limits, &mut |found| page.visit(found)).map_err(named)?;
            Ok(page.finish())
        })
        .await
    }
}

fn read_glob(text: &str) -> Result<GlobMatcher, FilesError> {
    let glob = GlobBuilder::new(text)
        .literal_separator(true)
        .backslash_escape(true)
        .build();
    let glob = glob.map_err(|error| FilesError::Glob(error.kind().to_string()))?;
    Ok(glob.compile_matcher())
}

/// Bytes by which paths are in order: a slash comes before all that a name can have, so that a
/// folder's content follows it at once.
fn key(path: &[u8]) -> Vec<u8> {
    let order = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    path.iter().map(order).collect()
}

/// The path of what a walk shows.
pub(super) struct Way {
    path: Vec<u8>,
    /// How much of it comes before the name, by depth.
    lengths: Vec<usize>,
    base: usize,
}

impl Way {
    /// Of a walk that begins at this folder.
    pub(super) fn new(base: &FilePath) -> Self {
        let mut path = base.as_bytes().to_vec();
        if !path.is_empty() {
            path.push(b'/');
        }
        Self {
            base: path.len(),
            lengths: vec![path.len()],
            path,
        }
    }

    /// Takes the walk's next entry; none where its path is longer than any that can be named.
    pub(super) fn enter(&mut self, found: &Found<'_>) -> Option<FilePath> {
        use std::os::unix::ffi::OsStrExt as _;
        // The walk shows each folder before what is in it.
        self.lengths.truncate(found.depth);
        let before = self.lengths.last().copied().unwrap_or(self.base);
        self.path.truncate(before);
        self.path.extend_from_slice(found.name.as_bytes());
        let path = FilePath::from_bytes(&self.path).ok()?;
        if found.kind == Kind::Directory {
            self.path.push(b'/');
            self.lengths.push(self.path.len());
        }
        Some(path)
    }

    /// A path without the folder where the walk began.
    pub(super) fn below<'a>(&self, path: &'a FilePath) -> &'a [u8] {
        &path.as_bytes()[self.base..]
    }
}

struct Page {
    way: Way,
    glob: Option<GlobMatcher>,
    recursive: bool,
    after: Option<Vec<u8>>,
    limit: usize,
    /// The first entries behind `after`, one more than fit on the page.
    found: BinaryHeap<Candidate>,
}

struct Candidate {
    key: Vec<u8>,
    entry: FileEntry,
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

impl Page {
    fn visit(&mut self, found: &Found<'_>) -> Step {
        let Some(path) = self.way.enter(found) else {
            return Step::Skip;
        };
        let key = key(path.as_bytes());
        let deeper = self.recursive || self.glob.is_some();
        let step = match deeper && found.kind == Kind::Directory && self.may_have(&key) {
            true => Step::Enter,
            false => Step::Skip,
        };
        if self.wants(&path, &key) {
            let target = match found.kind {
                Kind::Symlink => aod_trees::link_target(found.folder, found.name),
                _ => None,
            };
            let entry = entry::of(&path, &found.stat, target);
            self.found.push(Candidate { key, entry });
            if self.found.len() > self.limit + 1 {
                self.found.pop();
            }
        }
        step
    }

    /// Whether it belongs on the page, as far as is known by now.
    fn wants(&self, path: &FilePath, key: &Vec<u8>) -> bool {
        use std::os::unix::ffi::OsStrExt as _;
        let comes = self.after.as_ref().is_none_or(|after| key > after);
        let fits = self.is_short() || self.found.peek().is_some_and(|last| *key < last.key);
        let below = std::ffi::OsStr::from_bytes(self.way.below(path));
        comes && fits && self.glob.as_ref().is_none_or(|glob| glob.is_match(below))
    }

    /// Whether something in a folder can belong on the page.
    fn may_have(&self, folder: &[u8]) -> bool {
        // All that is in it lies between these two.
        let [first, last] = [0, 1].map(|next| [folder, &[next]].concat());
        let comes = self.after.as_ref().is_none_or(|after| last > *after);
        comes && (self.is_short() || self.found.peek().is_some_and(|it| first < it.key))
    }

    fn is_short(&self) -> bool {
        self.found.len() <= self.limit
    }

    fn finish(self) -> FilePage {
        let limit = self.limit;
        let sorted = self.found.into_sorted_vec();
        let more = sorted.len() > limit;
        let mut entries: Vec<FileEntry> = sorted.into_iter().map(|it| it.entry).collect();
        entries.truncate(limit);
        let last = entries.last().filter(|_| more);
        FilePage {
            next: last.map(|last| last.encoded_path.clone()),
            entries,
        }
    }
}
