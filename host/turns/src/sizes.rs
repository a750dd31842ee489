//! What a session's folders take of the disk.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use aod_resources::Sizes;
use aod_trees::{Folder, Limits, walk};

use crate::paths::SessionPaths;

/// How long each folder may be looked at: its turn's end waits for that.
const PATIENCE: Duration = Duration::from_secs(1);

/// Measures them, but for a workspace that was measured already. What cannot be measured is nothing,
/// and says that it is not all.
pub(crate) fn measure(paths: &SessionPaths, workspace: Option<(u64, bool)>) -> Sizes {
    // Where it cannot be mounted, nothing is there to be measured.
    let disk = paths.disk();
    let mut partial = disk.is_err();
    let mut take = |(bytes, whole): (u64, bool)| {
        partial |= !whole;
        bytes
    };
    Sizes {
        home: take(measured(&paths.home(), PATIENCE)),
        workspace: take(workspace.unwrap_or_else(|| measured(&paths.workspace(), PATIENCE))),
        log: take(measured(&paths.log(), PATIENCE)),
        // The store knows, as it decides which are kept.
        checkpoints: 0,
        partial,
    }
}

/// What is in a folder, and whether that is all.
fn measured(path: &Path, patience: Duration) -> (u64, bool) {
    let limits = Limits {
        time: patience,
        ..Limits::default()
    };
    let folder = match Folder::open(path) {
        Ok(folder) => folder,
        // There is none before a session was provisioned.
        Err(error) => return (0, error.kind() == Some(std::io::ErrorKind::NotFound)),
    };
    let mut bytes = 0u64;
    let walked = walk(&folder, &limits, &mut |found| {
        bytes = bytes.saturating_add(found.allocated);
        ControlFlow::Continue(())
    });
    if let Err(error) = &walked {
        tracing::debug!(%error, path = %path.display(), "a folder was not measured to its end");
    }
    (bytes, walked.is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_measured_as_far_as_that_may_take() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(measured(&folder.path().join("none"), PATIENCE), (0, true));
        std::fs::create_dir(folder.path().join("in")).unwrap();
        std::fs::write(folder.path().join("in/file"), vec![1; 1 << 20]).unwrap();
        // One that takes no room, whatever its length.
        let sparse = std::fs::File::create(folder.path().join("sparse")).unwrap();
        sparse.set_len(1 << 30).unwrap();
        let (bytes, whole) = measured(folder.path(), PATIENCE);
        assert!(whole && (1 << 20..2 << 20).contains(&bytes), "{bytes}");
        let (_, whole) = measured(folder.path(), Duration::ZERO);
        assert!(!whole);
    }
}
