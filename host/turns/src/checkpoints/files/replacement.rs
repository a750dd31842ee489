//! Checkpoints that become a session's files, or those of a new one.

use std::ffi::OsStr;
use std::io;

use aod_sandbox::disk_image;
use aod_trees::{Copy, Error, Folder, Limits, Trash, copy};
use uuid::Uuid;

use super::{NAMES, TREES, disk, failed, failpoint, folder, put};
use crate::paths::SessionPaths;

/// What is to take the place of a session's files has a name that begins so.
const REPLACEMENT: &str = "replacement-";

/// Copies a checkpoint's trees into the folder of a new session.
pub(in crate::checkpoints) fn copy_out(
    paths: &SessionPaths,
    trash: &Trash,
    turn: u32,
    to: &SessionPaths,
    wanted: &dyn Fn() -> bool,
) -> Result<(), Error> {
    let made = match to.root().parent() == Some(paths.root()) {
        // A session's files stay on what they were on.
        true => to.create_sandbox_like(paths),
        false => to.create_sandbox(),
    };
    made.map_err(|source| failed("make", to.root(), source))?;
    let _disk = disk(to)?;
    let checkpoint = paths.checkpoints().join(turn.to_string());
    let to = to.trees();
    let names = folder(&to.join(NAMES))?;
    for tree in TREES {
        let how = Copy {
            limits: Limits::default(),
            bytes: u64::MAX,
            names: &names,
            // Whoever has it changes it.
            earlier: &[],
            compress: false,
            without: None,
            wanted,
        };
        copy(
            &Folder::open_copy(&checkpoint.join(tree))?,
            &folder(&to.join(tree))?,
            &how,
        )?;
        failpoint("copy.half");
    }
    trash.discard_path(&to.join(NAMES), &Limits::default())
}

/// The name of a folder with what is to take the place of a session's files.
pub(in crate::checkpoints) fn replacement_name() -> String {
    format!("{REPLACEMENT}{}", Uuid::new_v4().simple())
}

/// Puts a folder's trees in the place of a session's. What is not in the folder is in its place
/// already, as an earlier host may have begun.
pub(in crate::checkpoints) fn replace(
    paths: &SessionPaths,
    trash: &Trash,
    name: &str,
) -> Result<(), Error> {
    let session = Folder::open(paths.root())?;
    let from = paths.root().join(name);
    match Folder::open(&from) {
        Err(error) if error.kind() == Some(io::ErrorKind::NotFound) => {}
        opened => {
            let replacement = opened?;
            // What comes in their place is counted by itself.
            paths.forget_limit();
            let unmounted = paths.release();
            unmounted.map_err(|source| failed("unmount", paths.root(), source))?;
            // An image, for a session that has one.
            for tree in TREES.into_iter().chain([disk_image::NAME]) {
                let tree = OsStr::new(tree);
                if replacement.status(tree)?.is_some() {
                    put(&replacement, tree, &session, tree, trash)?;
                    failpoint("replacement.half");
                }
            }
        }
    }
    for listed in session.list(1000)? {
        // Those of earlier attempts, too, of which nobody knows any more.
        if listed
            .name
            .as_encoded_bytes()
            .starts_with(REPLACEMENT.as_bytes())
        {
            trash.discard(&session, &listed.name, &Limits::default())?;
        }
    }
    Ok(())
}
