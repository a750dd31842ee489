//! What says of a checkpoint that it was copied, and since when the machine runs.

use std::io;
use std::path::Path;

use aod_trees::Error;

use super::failed;
use crate::paths::SessionPaths;

/// The note's name in the checkpoint.
const NOTE: &str = "copied";

/// What is noted of a checkpoint that was copied whole, until it is known to be on the disk.
#[derive(serde::Serialize, serde::Deserialize)]
struct CopyNote {
    /// Since when the machine has not been switched off: what was not on the disk by then may be half
    /// of what it was.
    boot: String,
    bytes: u64,
    new_bytes: u64,
}

/// What tells one start of the machine from another.
fn boot() -> io::Result<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
}

/// Notes that a checkpoint was copied whole.
pub(super) fn note_copied(draft: &Path, (bytes, new_bytes): (u64, u64)) -> Result<(), Error> {
    let path = draft.join(NOTE);
    let written = boot().and_then(|boot| {
        let note = CopyNote {
            boot,
            bytes,
            new_bytes,
        };
        std::fs::write(&path, serde_json::to_vec(&note)?)
    });
    written.map_err(|source| failed("write", &path, source))
}

/// What the checkpoint of a turn takes of the disk, and what of that is new, where it was copied whole
/// since the machine was started.
pub(in crate::checkpoints) fn copied(paths: &SessionPaths, turn: u32) -> Option<(u64, u64)> {
    noted(&paths.checkpoints().join(turn.to_string()))
}

/// The same of what is in a folder.
pub(super) fn noted(place: &Path) -> Option<(u64, u64)> {
    let note: CopyNote = serde_json::from_slice(&std::fs::read(place.join(NOTE)).ok()?).ok()?;
    (note.boot == boot().ok()?).then_some((note.bytes, note.new_bytes))
}
