//! What was copied of a checkpoint before its making was broken off: the next one shares it, so that
//! each try goes further than the one before.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use aod_trees::{Error, Folder, Limits, Trash};

use super::note::{note_copied, noted};
use super::{NAMES, TREES, known_path, put};
use crate::paths::SessionPaths;

/// Its name among the checkpoints.
pub(super) const UNFINISHED: &str = "unfinished";

/// Where it is, if it can be used: what was not on the disk when the machine went off may be half of
/// what it was.
pub(super) fn place(paths: &SessionPaths) -> Option<PathBuf> {
    let place = paths.checkpoints().join(UNFINISHED);
    noted(&place).map(|_| place)
}

/// Keeps a draft, unless one is kept that has more.
pub(super) fn keep(
    checkpoints: &Folder,
    draft: &OsStr,
    paths: &SessionPaths,
    trash: &Trash,
) -> Result<(), Error> {
    let at = paths.checkpoints().join(draft);
    if place(paths).is_some_and(|kept| known(&kept) > known(&at)) {
        return trash.discard(checkpoints, draft, &Limits::default());
    }
    trash.discard_path(&at.join(NAMES), &Limits::default())?;
    note_copied(&at, (0, 0))?;
    put(checkpoints, draft, checkpoints, UNFINISHED.as_ref(), trash)
}

/// How much is known of what a copy was made of.
fn known(copy: &Path) -> u64 {
    let length = |tree| std::fs::metadata(known_path(copy, tree)).map_or(0, |file| file.len());
    TREES.into_iter().map(length).sum()
}
