//! Checkpoints on the disk: `checkpoints/<turn>/` in the session's folder, made aside and renamed
//! when they are whole.

mod note;
mod replacement;
mod unfinished;

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::Duration;

use aod_sandbox::disk_image;
use aod_store::AtLeast;
use aod_trees::{
    Bound, Copied, Copy, Earlier, Error, Folder, Known, Limits, Trash, TreeState, copy, copy_into,
    measure, read_regular, rename,
};
use uuid::Uuid;

pub(super) use self::note::copied;
use self::note::note_copied;
pub(super) use self::replacement::{copy_out, replace, replacement_name};
use self::unfinished::UNFINISHED;
use crate::disks::DiskUse;
use crate::paths::SessionPaths;

/// What is kept of a session's files.
const TREES: [&str; 2] = ["home", WORKSPACE];
/// The name of the workspace's copy.
pub(super) const WORKSPACE: &str = "workspace";
/// What files with several names are kept by while a tree is copied.
const NAMES: &str = "names";
/// Why there is no checkpoint where the machine went off before it was on the disk.
pub(super) const LOST: &str =
    "the server's machine went off before the copy was on its disk, and a later turn had begun";
/// Why there is no checkpoint where the session's next turn did not wait for it any longer.
pub(super) const OVERTAKEN: &str = "the next prompt came before home and workspace were copied";
/// What is being made has a name that begins so.
const DRAFT: &str = ".making-";

/// A tree is copied so often, where something writes to it meanwhile.
const ATTEMPTS: u32 = 3;
/// How many entries each tree may have, how deep it may be, and how long its copy may take.
const LIMITS: Limits = Limits {
    entries: 2_000_000,
    depth: 100_000,
    time: Duration::from_secs(120),
};
/// What provisioning has left is kept before the CLI is started, which waits for it.
const PROVISIONED: Limits = Limits {
    entries: 10_000,
    depth: 512,
    time: Duration::from_millis(300),
};
/// So much of it at most.
const PROVISIONED_BYTES: u64 = 16 << 20;
/// What git keeps of a repository is not looked at.
const GIT: &str = ".git";
/// As large as what tells known files may be: eight bytes for each.
const KNOWN: u64 = LIMITS.entries * 8;

/// Why a checkpoint was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MakeError {
    /// The server stops, or the session's next turn does not wait any longer.
    #[error("nobody waits for it")]
    Unwanted,
    /// There is more than is kept.
    #[error("the files are more than is kept: {0}")]
    TooMuch(Bound),
    /// No room is left.
    #[error("the server's disk is full")]
    FullDisk,
    /// Something else.
    #[error(transparent)]
    Other(Error),
}

impl MakeError {
    /// What the session's user is told.
    pub(super) fn told(&self) -> String {
        match self {
            Self::TooMuch(bound) => {
                format!("home and workspace have {bound}, which is the most that is kept")
            }
            Self::FullDisk => "the server's disk is full".to_owned(),
            Self::Unwanted | Self::Other(_) => {
                "the server failed to copy home and workspace; its log has the cause".to_owned()
            }
        }
    }
}

impl From<Error> for MakeError {
    fn from(error: Error) -> Self {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        match error {
            Error::Unwanted => Self::Unwanted,
            Error::Bound(bound) => Self::TooMuch(bound),
            error if matches!(error.kind(), Some(StorageFull | QuotaExceeded)) => Self::FullDisk,
            error => Self::Other(error),
        }
    }
}

/// Makes a folder for the server alone, whose parent is there.
pub(super) fn private_folder(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn folder(path: &Path) -> Result<Folder, Error> {
    private_folder(path).map_err(|source| failed("make", path, source))?;
    Folder::open(path)
}

/// Has a session's files at their paths.
fn disk(paths: &SessionPaths) -> Result<DiskUse, Error> {
    let disk = paths.disk();
    disk.map_err(|source| failed("mount the disk of", paths.root(), source))
}

fn failed(doing: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Io {
        doing,
        name: path.to_owned(),
        source,
    }
}

/// What checkpoint is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Make {
    pub(super) turn: u32,
    /// The last one before it.
    pub(super) earlier: Option<u32>,
    /// What the files are known to take of the disk.
    pub(super) bytes: Option<AtLeast>,
    /// So much of the disk may be taken.
    pub(super) max_bytes: u64,
    /// Whether something may still write to the files.
    pub(super) may_change: bool,
    /// Whether content is compressed that the file system cannot share.
    pub(super) compress: bool,
}

/// Makes the checkpoint of a turn, from what the session's files are now. Says what it takes of the
/// disk, and what of that it does not share with the earlier one.
pub(super) fn make(
    paths: &SessionPaths,
    trash: &Trash,
    how: &Make,
    wanted: &dyn Fn() -> bool,
) -> Result<(u64, u64), MakeError> {
    let _disk = disk(paths)?;
    if how.earlier.is_none() {
        look_for_room(paths, how)?;
    }
    let turn = how.turn;
    // What provisioning left, if it was kept, is as good to share files with.
    let earlier = how.earlier.or_else(|| (turn == 1).then_some(0));
    let place = folder(&paths.checkpoints())?;
    let how = Make { earlier, ..*how };
    let mut attempt = 1;
    loop {
        let draft = OsString::from(format!("{DRAFT}{}", Uuid::new_v4().simple()));
        let at = paths.checkpoints().join(&draft);
        let ended = match attempt_at(paths, &at, &how, wanted) {
            // Where something is written all the time, each file is whole in the end, and that is as
            // good as it gets.
            Ok((sizes, is_still)) if is_still || attempt == ATTEMPTS => {
                failpoint("checkpoint.copied");
                let name = OsString::from(turn.to_string());
                let placed = note_copied(&at, sizes)
                    .and_then(|()| put(&place, &draft, &place, &name, trash));
                failpoint("checkpoint.placed");
                placed.map(|()| sizes)
            }
            Ok(_) => {
                unfinished::keep(&place, &draft, paths, trash)?;
                attempt += 1;
                continue;
            }
            Err(Error::Unwanted) => {
                let kept = unfinished::keep(&place, &draft, paths, trash);
                failpoint("checkpoint.unfinished");
                kept.and(Err(Error::Unwanted))
            }
            Err(error) => {
                // It may be what takes the room.
                let _ = trash.discard(&place, UNFINISHED.as_ref(), &Limits::default());
                Err(error)
            }
        };
        if ended.is_err() {
            // What went wrong first is what is told.
            let _ = trash.discard(&place, &draft, &Limits::default());
        }
        return Ok(ended?);
    }
}

/// Keeps what provisioning has left of the workspace, unless that is much.
pub(super) fn keep_provisioned(
    paths: &SessionPaths,
    trash: &Trash,
    wanted: &dyn Fn() -> bool,
) -> Result<(), Error> {
    let _disk = disk(paths)?;
    let place = folder(&paths.checkpoints())?;
    let draft = OsString::from(format!("{DRAFT}{}", Uuid::new_v4().simple()));
    let at = paths.checkpoints().join(&draft);
    let copied = folder(&at).and_then(|_| {
        let names = folder(&at.join(NAMES))?;
        let how = Copy {
            limits: PROVISIONED,
            bytes: PROVISIONED_BYTES,
            names: &names,
            earlier: &[],
            // It is little, and compared at once.
            compress: false,
            without: Some(GIT.as_ref()),
            wanted,
        };
        let from = Folder::open(&paths.workspace())?;
        let copied = copy(&from, &folder(&at.join(WORKSPACE))?, &how)?;
        keep_known(&at, WORKSPACE, &copied)
    });
    let kept = copied.and_then(|()| put(&place, &draft, &place, "0".as_ref(), trash));
    if kept.is_err() {
        // What went wrong first is what is told.
        let _ = trash.discard(&place, &draft, &Limits::default());
    }
    kept
}

/// Refuses at once what is far too much, rather than after each turn when all that may be kept was
/// copied. A file with several names is measured for each, so that only twice as much is certain to
/// be more; what is compressed may be a small part of what it was.
fn look_for_room(paths: &SessionPaths, how: &Make) -> Result<(), Error> {
    let most = how
        .max_bytes
        .saturating_mul(if how.compress { 8 } else { 2 });
    let bytes = match how.bytes {
        Some(known) if known.is_all || known.bytes > most => known.bytes,
        _ => {
            let mut bytes = 0u64;
            for tree in TREES {
                let folder = Folder::open(&paths.trees().join(tree))?;
                bytes = bytes.saturating_add(measure(&folder, &LIMITS)?.allocated);
            }
            bytes
        }
    };
    match bytes > most {
        true => Err(Error::Bound(Bound::Total(how.max_bytes))),
        false => Ok(()),
    }
}

/// Copies the session's files; says whether they stayed what they were meanwhile.
fn attempt_at(
    paths: &SessionPaths,
    draft: &Path,
    how: &Make,
    wanted: &dyn Fn() -> bool,
) -> Result<((u64, u64), bool), Error> {
    folder(draft)?;
    let names = folder(&draft.join(NAMES))?;
    let (mut bytes, mut new_bytes) = (0u64, 0u64);
    let mut states = Vec::new();
    for tree in TREES {
        let from = Folder::open(&paths.trees().join(tree))?;
        let before = how
            .earlier
            .map(|turn| paths.checkpoints().join(turn.to_string()));
        let before = before.and_then(|place| Before::open(&place, tree, true));
        let unfinished = unfinished::place(paths);
        let unfinished = unfinished.and_then(|place| Before::open(&place, tree, false));
        let earlier: Vec<_> = [&before, &unfinished]
            .into_iter()
            .flatten()
            .map(Before::earlier)
            .collect();
        let mut copied = Copied::default();
        let ended = copy_into(
            &from,
            &folder(&draft.join(tree))?,
            &Copy {
                limits: LIMITS,
                bytes: how.max_bytes.saturating_sub(new_bytes),
                names: &names,
                earlier: &earlier,
                compress: how.compress,
                without: None,
                wanted,
            },
            &mut copied,
        );
        let kept = keep_known(draft, tree, &copied);
        // Of what may be kept of both trees, and not of what the first one has left.
        ended.map_err(|error| match error {
            Error::Bound(Bound::Total(_)) => Error::Bound(Bound::Total(how.max_bytes)),
            other => other,
        })?;
        kept?;
        bytes = bytes.saturating_add(copied.bytes);
        new_bytes = new_bytes.saturating_add(copied.new_bytes);
        states.push((from, copied.state));
    }
    aod_trees::remove(&Folder::open(draft)?, NAMES.as_ref(), &Limits::default())?;
    let mut is_still = true;
    // Nobody is left to write where no process is.
    for (from, state) in states.into_iter().filter(|_| how.may_change) {
        is_still &= TreeState::of(&from, &LIMITS, wanted)? == state;
    }
    Ok(((bytes, new_bytes), is_still))
}

/// Waits until all checkpoints of a session are on the disk. One call for the whole file system is
/// cheaper than one for each of many files.
pub(super) fn force_to_disk(paths: &SessionPaths) -> Result<(), Error> {
    let place = paths.checkpoints();
    let synced = File::open(&place).and_then(|folder| Ok(rustix::fs::syncfs(folder)?));
    synced.map_err(|source| failed("sync", &place, source))
}

/// An earlier copy of a tree.
struct Before {
    tree: Folder,
    known: Known,
    stays: bool,
}

impl Before {
    /// None where it cannot be used: nothing is shared then.
    fn open(place: &Path, tree: &str, stays: bool) -> Option<Self> {
        let known = read_regular(&known_path(place, tree), KNOWN).ok()?;
        Some(Self {
            tree: Folder::open(&place.join(tree)).ok()?,
            known: Known::read(&known),
            stays,
        })
    }

    const fn earlier(&self) -> Earlier<'_> {
        Earlier {
            tree: &self.tree,
            known: &self.known,
            stays: self.stays,
        }
    }
}

fn known_path(checkpoint: &Path, tree: &str) -> std::path::PathBuf {
    checkpoint.join(format!("known-{tree}"))
}

fn keep_known(draft: &Path, tree: &str, copied: &Copied) -> Result<(), Error> {
    let path = known_path(draft, tree);
    let written = File::create(&path).and_then(|file| copied.known.write(file));
    written.map_err(|source| failed("write", &path, source))
}

/// Gives something its name in the place of whatever has it.
fn put(from: &Folder, old: &OsStr, to: &Folder, new: &OsStr, trash: &Trash) -> Result<(), Error> {
    trash.discard(to, new, &Limits::default())?;
    rename((from, old), (to, new), false)
}

/// Removes all checkpoints but those of some turns, with what was begun and not ended.
pub(super) fn keep_only(paths: &SessionPaths, trash: &Trash, kept: &[u32]) -> Result<(), Error> {
    let all = Folder::open(&paths.checkpoints())?;
    for listed in all.list(100_000)? {
        let turn = listed.name.to_str().and_then(|name| name.parse().ok());
        // The first turn may be compared with what provisioning left.
        let is_kept = |turn: u32| kept.contains(&turn) || turn == 0 && kept.contains(&1);
        if !turn.is_some_and(is_kept) {
            trash.discard(&all, &listed.name, &Limits::default())?;
        }
    }
    Ok(())
}

/// Removes a session's files and checkpoints. Empty folders take the place of the files, for those
/// who list them.
pub(super) fn remove_all(paths: &SessionPaths, trash: &Trash) -> Result<(), Error> {
    paths.forget_limit();
    let unmounted = paths.release();
    unmounted.map_err(|source| failed("unmount", paths.root(), source))?;
    let root = paths.root();
    // The image last: as long as it is there, it is known that there was one.
    let files = [disk_image::MOUNT, disk_image::NAME];
    for name in TREES.into_iter().chain(["checkpoints"]).chain(files) {
        trash.discard_path(&root.join(name), &Limits::default())?;
    }
    for path in TREES.map(|tree| root.join(tree)) {
        private_folder(&path).map_err(|source| failed("make", &path, source))?;
    }
    Ok(())
}

/// Tests have the host die at a step: `AOD_FAILPOINT=<step>`.
pub(super) fn failpoint(step: &str) {
    if cfg!(debug_assertions) && std::env::var_os("AOD_FAILPOINT").is_some_and(|it| it == step) {
        std::process::abort();
    }
}

#[cfg(test)]
mod tests;
