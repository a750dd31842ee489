//! Backups of a data folder, taken while a server uses it, and put back into an empty one.
//!
//! The database is copied first, as it is at one moment. What a session's log has beyond that moment
//! is left out, so that the two agree as they do after a crash; what a server does about that is
//! what it does when a backup is started.

mod content;
mod draft;
mod error;
mod restore;

use std::os::fd::AsRawFd as _;
use std::path::Path;

use aod_log::Kind;
use aod_resources::Timestamp;
use aod_sandbox::disk_image;
use aod_store::{CopiedSession, Database};
use aod_trees::{Folder, Limits};
use serde::{Deserialize, Serialize};

use self::content::{copy_file, copy_files, copy_files_chosen, io_error, private_folder};
use self::draft::Draft;
pub use self::error::BackupError;
pub use self::restore::{INCOMPLETE, Restored, restore};
use crate::{Paths, VaultConfig};
use aod_turns::SessionPaths;

/// The version of a backup's form that this release writes, and the newest that it reads.
const FORMAT: u32 = 1;
/// What a backup says of itself; written last.
const MANIFEST: &str = "backup.json";
/// The SHA-256 of each of its files, as `sha256sum -c` takes it.
const SUMS: &str = "SHA256SUMS";
/// The database.
const DATABASE: &str = "aod.db";
/// What keeps two rotations of the vault apart, and is of no use elsewhere.
const LOCKS: [&str; 2] = ["lock", "rotation.lock"];
/// A key that is sealed to the vault's identity itself.
const SEALED_KEY: &str = "mac.age";

/// What a backup has besides the database, logs and events.
#[derive(Clone, Copy, Debug, Default)]
pub struct BackupOptions {
    /// Homes and workspaces of sessions, without which they can be read and not gone on with, and
    /// the CLIs that were installed for them.
    pub workspaces: bool,
    /// The vault's identity, with which all secrets can be opened.
    pub identity: bool,
}

/// What a backup says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of its form.
    pub format: u32,
    /// The release that took it.
    pub aod: String,
    /// The moment that it shows.
    pub taken_at: Timestamp,
    /// The version of the database's schema.
    pub schema: i64,
    /// The newest version of a log's format that may be in it.
    pub log_format: u32,
    /// How many sessions are in it.
    pub sessions: u64,
    /// Whether it has homes and workspaces.
    pub workspaces: bool,
    /// Whether it has the vault's identity.
    pub identity: bool,
    /// Trees that agents were changing so that not all of them could be packed, and why.
    #[serde(default)]
    pub partial: Vec<String>,
    /// How many files it has.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// SHA-256 of `SHA256SUMS`, in hex.
    pub sums: String,
}

/// Takes a backup of the data folder `data` into the folder `into`, which is made and must not be
/// there, or be empty. It has its name once it is whole.
///
/// # Errors
/// [`BackupError`]. What was begun is left beside `into`, and replaced by the next try.
pub fn take(
    data: &Path,
    vault: &VaultConfig,
    into: &Path,
    options: BackupOptions,
) -> Result<Manifest, BackupError> {
    if !data.join(DATABASE).is_file() {
        return Err(BackupError::NoDatabase(data.to_owned()));
    }
    if let (true, Some(file)) = (options.identity, &vault.identity_file) {
        return Err(BackupError::IdentityElsewhere(file.clone()));
    }
    let paths = crate::data_folder(data).map_err(|error| BackupError::Folder(error.to_string()))?;
    let live = Database::open(&paths.database())?;
    let draft = Draft::begin(into)?;
    let (copy, taken_at) = {
        // Secrets and what opens them are those of one moment.
        let lock = paths.vault().join("rotation.lock");
        let _alone = match paths.vault().is_dir() {
            true => Some(crate::vault::lock_rotation(&lock)?),
            false => None,
        };
        let copy = live.copy_to(&draft.path().join(DATABASE))?;
        copy_vault(&paths, &draft, options)?;
        (copy, Timestamp::now())
    };
    let adapters = draft.path().join("adapters");
    private_folder(&adapters)?;
    copy_files(&paths.adapters(), &adapters)?;
    let folder = draft.path().join("sessions");
    private_folder(&folder)?;
    let mut sessions = 0;
    let mut partial = Vec::new();
    for session in copy.sessions()? {
        let to = folder.join(session.id.to_string());
        let is_there = copy_session(&paths, &to, session, options, &mut partial)?;
        if is_there || live.has_session(session.id)? {
            sessions += 1;
            continue;
        }
        // It was deleted meanwhile, and what was copied of it may be a part.
        copy.forget_session(session.id)?;
        remove(&to)?;
    }
    if options.workspaces {
        let to = draft.path().join("runtimes.tar");
        partial.extend(pack(&paths.runtimes(), &to)?);
    }
    copy.note_files(options.workspaces, taken_at)?;
    let schema = copy.version();
    copy.close()?;
    draft.finish(Manifest {
        format: FORMAT,
        aod: env!("CARGO_PKG_VERSION").to_owned(),
        taken_at,
        schema,
        log_format: aod_log::FORMAT_VERSION,
        sessions,
        workspaces: options.workspaces,
        identity: options.identity,
        partial,
        files: 0,
        bytes: 0,
        sums: String::new(),
    })
}

/// Removes what a path of a backup names, if there is something.
fn remove(path: &Path) -> Result<(), BackupError> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(());
    };
    let parent = Folder::open(parent)?;
    loop {
        match aod_trees::remove(&parent, name, &Limits::default()) {
            // There is more of it: somebody may have put anything there since.
            Err(aod_trees::Error::Bound(_)) => {}
            removed => return Ok(removed.map(drop)?),
        }
    }
}

fn copy_vault(paths: &Paths, draft: &Draft, options: BackupOptions) -> Result<(), BackupError> {
    let to = draft.path().join("vault");
    private_folder(&to)?;
    copy_files_chosen(&paths.vault(), &to, |name| match name {
        SEALED_KEY => true,
        name => options.identity && !LOCKS.contains(&name),
    })
}

/// Copies what belongs to a session; says whether it was there all the time.
fn copy_session(
    paths: &Paths,
    to: &Path,
    session: CopiedSession,
    options: BackupOptions,
    partial: &mut Vec<String>,
) -> Result<bool, BackupError> {
    let from = paths.session(session.id);
    if !from.root().is_dir() {
        return Ok(false);
    }
    private_folder(to)?;
    let log = to.join("log");
    private_folder(&log)?;
    let last = session.turns;
    let is_known = |kind: Kind, turn: u32| {
        turn <= last && (session.is_settled || turn < last || !kind.is_terminal())
    };
    match aod_log::copy(&from.log(), &log, is_known) {
        Ok(()) => {}
        // What is damaged is looked at another day, and as it is.
        Err(aod_log::Error::Corrupt { .. }) => {
            tracing::warn!(session = %session.id, "a damaged log is copied as it is");
            remove(&log)?;
            private_folder(&log)?;
            copy_files_chosen(&from.log(), &log, |name| name.ends_with(".log"))?;
        }
        Err(error) => return Err(error.into()),
    }
    // What a turn that runs has told is derived again from its log.
    let events = to.join("events");
    private_folder(&events)?;
    let stored = aod_streams::events::stored_turns(&from.events());
    for turn in stored.map_err(io_error("list", &from.events()))? {
        if turn < last || (turn == last && session.is_settled) {
            let name = format!("{turn}.jsonl");
            copy_file(&from.events().join(&name), &events.join(&name))?;
        }
    }
    let attachments = to.join("attachments");
    private_folder(&attachments)?;
    copy_files(&from.attachments(), &attachments)?;
    copy_file(&from.provisioning(), &to.join("provisioning.log"))?;
    if options.workspaces {
        partial.extend(pack_trees(&from, to)?);
    }
    Ok(from.root().is_dir())
}

/// Packs a session's home and workspace; says why where they are not all there.
fn pack_trees(from: &SessionPaths, to: &Path) -> Result<Vec<String>, BackupError> {
    // A server may have an image mounted, where only it sees that: it is mounted once more, at no
    // path.
    let mounted = from.image().map(|image| (disk_image::open(&image), image));
    let (home, workspace) = match &mounted {
        None => (from.home(), from.workspace()),
        Some((Ok(root), _)) => {
            let root = Path::new("/proc/self/fd").join(root.as_raw_fd().to_string());
            (root.join("home"), root.join("workspace"))
        }
        Some((Err(error), image)) => return Ok(vec![format!("{}: {error}", image.display())]),
    };
    let packed = [
        pack(&home, &to.join("home.tar"))?,
        pack(&workspace, &to.join("workspace.tar"))?,
    ];
    Ok(packed.into_iter().flatten().collect())
}

/// Packs a tree that an agent shapes, and may be changing; says why where it is not all there: no
/// agent is to keep its operator from a backup.
fn pack(from: &Path, to: &Path) -> Result<Option<String>, BackupError> {
    if !from.is_dir() {
        return Ok(None);
    }
    let folder = Folder::open(from)?;
    let file = content::make(to)?;
    let (file, walked) = crate::files::pack_into(&folder, std::io::BufWriter::new(file))
        .map_err(io_error("pack", from))?;
    let file = file
        .into_inner()
        .map_err(|error| io_error("write", to)(error.into_error()))?;
    file.sync_all().map_err(io_error("sync", to))?;
    Ok(walked
        .err()
        .map(|error| format!("{}: {error}", from.display())))
}
