//! Where the data lies (see `docs/architecture.md`).

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aod_sandbox::{DiskBy, disk_image, project_quota};
use aod_trees::{Limits, Trash};
use uuid::Uuid;

use crate::disks::{self, DiskUse, Disks};

/// The sandbox's `$HOME`, in a session's folder.
pub(crate) const HOME: &str = "home";
/// What images of sessions' files are copied from, in the data folder.
const TEMPLATES: &str = "cache/disks";
/// The sandbox's workspace, in a session's folder.
pub(crate) const WORKSPACE: &str = "workspace";

/// The data folder.
#[derive(Clone, Debug)]
pub struct Paths {
    root: PathBuf,
    disks: Disks,
}

/// A folder of the server's cannot be made or used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the folder {}: {source}", path.display())]
pub struct FolderError {
    /// The folder.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl Paths {
    /// Makes the data folder, readable by its owner alone.
    ///
    /// # Errors
    /// When a folder cannot be made, or its permissions cannot be set.
    pub fn create(root: &Path) -> Result<Self, FolderError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            |source| FolderError { path, source }
        };
        private_dir(root).map_err(failed(root))?;
        let root = fs::canonicalize(root).map_err(failed(root))?;
        let disks = Disks::default();
        let paths = Self { root, disks };
        for dir in [
            paths.adapters(),
            paths.cwasm(),
            paths.runtimes(),
            paths.mirrors(),
            paths.packages(),
            paths.sessions(),
            paths.removals(),
        ] {
            private_dir(&dir).map_err(failed(&dir))?;
        }
        Ok(paths)
    }

    /// With new sessions' homes and workspaces bounded to `bytes` together, by what is wanted.
    #[must_use]
    pub fn with_disks(self, by: DiskBy, bytes: Option<u64>) -> Self {
        let disks = Disks::new(by, bytes, self.root.join(TEMPLATES));
        Self { disks, ..self }
    }

    /// Whether a server on this data folder may have to mount something: it makes images of sessions'
    /// files, or an earlier one has.
    #[must_use]
    pub fn may_mount(root: &Path, by: DiskBy) -> bool {
        by == DiskBy::Image || root.join(TEMPLATES).exists()
    }

    #[cfg(test)]
    pub(crate) fn disks(&self) -> &Disks {
        &self.disks
    }

    /// Unmounts what nobody uses any more.
    pub(crate) fn unmount_quiet(&self) {
        self.disks.unmount_quiet(disks::QUIET);
    }

    /// The store.
    pub fn database(&self) -> PathBuf {
        self.root.join("aod.db")
    }

    /// The folder of the vault's identity.
    pub fn vault(&self) -> PathBuf {
        self.root.join("vault")
    }

    /// Components that sessions began with.
    pub fn adapters(&self) -> PathBuf {
        self.root.join("adapters")
    }

    /// Compiled components.
    pub fn cwasm(&self) -> PathBuf {
        self.root.join("cache/cwasm")
    }

    /// Installed CLIs.
    pub fn runtimes(&self) -> PathBuf {
        self.root.join("runtimes")
    }

    /// Mirrors of repositories.
    pub fn mirrors(&self) -> PathBuf {
        self.root.join("mirrors")
    }

    /// Layers of packages.
    pub(crate) fn packages(&self) -> PathBuf {
        self.root.join("packages")
    }

    /// What was taken out of the way and is about to be removed.
    pub fn trash(&self) -> PathBuf {
        self.root.join("trash")
    }

    /// What is being uploaded to workspaces, until it is whole.
    pub fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    /// Notes of sessions that are being deleted.
    pub(crate) fn removals(&self) -> PathBuf {
        self.root.join("removals")
    }

    /// The folders of all sessions.
    pub fn sessions(&self) -> PathBuf {
        self.root.join("sessions")
    }

    /// The ids of all sessions that have a folder.
    ///
    /// # Errors
    /// When the folder of sessions cannot be read.
    pub fn list_sessions(&self) -> io::Result<Vec<Uuid>> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(self.sessions())? {
            let name = entry?.file_name();
            ids.extend(name.to_str().and_then(|name| Uuid::parse_str(name).ok()));
        }
        Ok(ids)
    }

    /// What belongs to one session.
    pub fn session(&self, id: Uuid) -> SessionPaths {
        SessionPaths {
            root: self.sessions().join(id.to_string()),
            disks: self.disks.clone(),
        }
    }
}

/// The folder of one session.
#[derive(Clone, Debug)]
pub struct SessionPaths {
    root: PathBuf,
    disks: Disks,
}

impl SessionPaths {
    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The log.
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// The normalized events.
    pub fn events(&self) -> PathBuf {
        self.root.join("events")
    }

    /// Images and files that came with prompts, by their ids.
    pub fn attachments(&self) -> PathBuf {
        self.root.join("attachments")
    }

    /// Has home and workspace at their paths for as long as the answer is kept. May wait for the
    /// disk.
    ///
    /// # Errors
    /// Where they are in an image that cannot be mounted.
    pub fn disk(&self) -> io::Result<DiskUse> {
        self.disks.mount(&self.root)
    }

    /// The image with home and workspace, for a session that has one.
    pub fn image(&self) -> Option<PathBuf> {
        disks::has_image(&self.root).then(|| self.root.join(disk_image::NAME))
    }

    /// Where home and workspace are. There is nothing where they are in an image and nobody has its
    /// [disk](Self::disk).
    pub(crate) fn trees(&self) -> PathBuf {
        disks::trees(&self.root)
    }

    /// The sandbox's `$HOME`, for those who have the [disk](Self::disk).
    pub fn home(&self) -> PathBuf {
        self.trees().join(HOME)
    }

    /// The sandbox's workspace, for those who have the [disk](Self::disk).
    pub fn workspace(&self) -> PathBuf {
        self.trees().join(WORKSPACE)
    }

    /// A folder of files that are to take the place of the session's.
    pub(crate) fn replacement(&self, name: &str) -> Self {
        Self {
            root: self.root.join(name),
            disks: self.disks.clone(),
        }
    }

    /// What home and workspace were at turns' ends.
    pub(crate) fn checkpoints(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    /// The running turn's supervisor.
    pub fn control(&self) -> PathBuf {
        self.root.join("control.sock")
    }

    /// The full output of provisioning steps.
    pub fn provisioning(&self) -> PathBuf {
        self.root.join("provisioning.log")
    }

    /// What a setup script leaves for the host, while it runs.
    pub(crate) fn setup(&self) -> PathBuf {
        self.root.join("setup")
    }

    /// There while a start of the host goes on with the session.
    pub(crate) fn recovering(&self) -> PathBuf {
        self.root.join("recovering")
    }

    /// Makes the folders that a log needs.
    ///
    /// # Errors
    /// Where they cannot be made.
    pub fn create(&self) -> io::Result<()> {
        private_dir(&self.root)?;
        // Readers may come before the first record does, and watch this folder.
        private_dir(&self.log())
    }

    /// Makes the folders that the sandbox sees. May wait for the disk.
    pub(crate) fn create_sandbox(&self) -> io::Result<()> {
        self.disks.create(&self.root, None)
    }

    /// The same, on what another session's are on.
    pub(crate) fn create_sandbox_like(&self, other: &Self) -> io::Result<()> {
        self.disks.create(&self.root, Some(&other.root))
    }

    /// Unmounts what is mounted in the session's folder: its files are about to go.
    pub(crate) fn release(&self) -> io::Result<()> {
        self.disks.release(&self.root)
    }

    /// Takes the limit of the sandbox's folders away, where the kernel holds one: they are about to
    /// go.
    pub(crate) fn forget_limit(&self) {
        if let Err(error) = project_quota::forget(&self.home()) {
            tracing::warn!(home = %self.home().display(), %error, "a project's limit stays");
        }
    }

    /// Takes the session's folder out of the way; it is removed in the background.
    ///
    /// # Errors
    /// Where it cannot be moved.
    pub fn discard(&self, trash: &Trash) -> io::Result<()> {
        self.release()?;
        self.forget_limit();
        Ok(trash.discard_path(&self.root, &Limits::default())?)
    }
}

/// Makes a folder and its parents, for their owner alone.
pub(crate) fn private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_goes_even_where_the_agent_took_its_permissions_away() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::create(&folder.path().join("data")).unwrap();
        let trash = Trash::open(&paths.trash()).unwrap();
        let session = paths.session(Uuid::new_v4());
        session.create().unwrap();
        assert!(
            session.log().is_dir(),
            "a reader may come before the first record"
        );
        session.create_sandbox().unwrap();
        let locked = session.workspace().join("a/b");
        fs::create_dir_all(&locked).unwrap();
        fs::write(locked.join("file"), "x").unwrap();
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
        session.discard(&trash).unwrap();
        assert!(!session.root().exists());
        session.discard(&trash).unwrap();
        trash.sweep(&Limits::default()).unwrap();
        assert!(trash.is_empty().unwrap());
    }

    #[test]
    fn the_data_folder_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("data");
        Paths::create(&root).unwrap();
        assert_eq!(
            fs::metadata(&root).unwrap().permissions().mode() & 0o777,
            0o700
        );
    }

    #[test]
    fn the_folder_that_cannot_be_used_is_named() {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        let paths = Paths::create(&data).unwrap();
        fs::remove_dir(paths.sessions()).unwrap();
        fs::write(paths.sessions(), "").unwrap();
        let error = Paths::create(&data).unwrap_err();
        assert_eq!(error.path, paths.sessions());
    }
}
