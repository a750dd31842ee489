//! Where sessions' homes and workspaces lie: in their folders, or in an image that is mounted for as
//! long as somebody uses it, and for a while after.
//!
//! A session that has an image has its files nowhere else. Where it is not mounted there is nothing at
//! their paths, so that nobody takes an empty folder for them.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aod_sandbox::disk_image::{self, MOUNT, NAME};
use aod_sandbox::{DiskBy, project_quota};

use crate::paths::{HOME, WORKSPACE, private_dir};

/// What nobody uses is unmounted after so long …
pub(crate) const QUIET: Duration = Duration::from_secs(60);
/// … and when more than so many are mounted that nobody uses.
const MOST_QUIET: usize = 64;

/// Makes, mounts and unmounts what sessions' files lie on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disks(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    by: DiskBy,
    /// What home and workspace may hold together.
    bytes: Option<u64>,
    /// The folder of what images are copied from.
    templates: PathBuf,
    /// Those that were used, by the folder that each image is in.
    mounts: Mutex<HashMap<PathBuf, Arc<Mutex<Mount>>>>,
}

#[derive(Debug, Default)]
struct Mount {
    is_mounted: bool,
    users: usize,
    used_at: Option<Instant>,
}

/// Has a session's files at their paths for as long as it is kept.
#[derive(Debug)]
#[must_use]
pub struct DiskUse(Option<(Disks, Arc<Mutex<Mount>>)>);

/// Where home and workspace of a session's folder are.
pub(crate) fn trees(root: &Path) -> PathBuf {
    match has_image(root) {
        true => root.join(MOUNT),
        false => root.to_owned(),
    }
}

/// Whether the files of a session's folder are in an image.
pub(crate) fn has_image(root: &Path) -> bool {
    fs::symlink_metadata(root.join(NAME)).is_ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is in there is right at any moment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Disks {
    pub(crate) fn new(by: DiskBy, bytes: Option<u64>, templates: PathBuf) -> Self {
        Self(Arc::new(Inner {
            by,
            bytes,
            templates,
            ..Inner::default()
        }))
    }

    /// Makes an empty home and workspace in a folder, of which the kernel counts what they hold
    /// together, as the settings want it, or, with `like`, as another session's are. What is there
    /// already stays.
    pub(crate) fn create(&self, root: &Path, like: Option<&Path>) -> io::Result<()> {
        let (by, bytes) = (self.0.by, self.0.bytes);
        let wants_image = match like {
            Some(like) => has_image(like),
            None => by == DiskBy::Image,
        };
        let is_new = !has_image(root) && !root.join(HOME).exists();
        if let (true, true, Some(bytes)) = (is_new, wants_image, bytes) {
            private_dir(&self.0.templates)?;
            let image = root.join(NAME);
            disk_image::create(&image, &self.0.templates, bytes)?;
            // After a power loss it is to be a file system at least; nobody waits for that.
            let sync = move || File::open(image).and_then(|image| image.sync_all());
            let _ = std::thread::Builder::new().spawn(sync);
        }
        let _used = self.mount(root)?;
        let trees = trees(root);
        let (home, workspace) = (trees.join(HOME), trees.join(WORKSPACE));
        private_dir(&home)?;
        private_dir(&workspace)?;
        if has_image(root) || by == DiskBy::Watch {
            return Ok(());
        }
        if by == DiskBy::Quota && bytes.is_some() {
            let unsupported = |why| io::Error::new(io::ErrorKind::Unsupported, why);
            project_quota::check(root).map_err(unsupported)?;
        }
        if let Err(error) = project_quota::count_together(&[&home, &workspace]) {
            tracing::warn!(
                home = %home.display(), %error, "what a session holds is watched, not held"
            );
        }
        Ok(())
    }

    /// Mounts the image of a session's folder, if it has one and it is not mounted. It stays so while
    /// the answer is kept.
    pub(crate) fn mount(&self, root: &Path) -> io::Result<DiskUse> {
        if !has_image(root) {
            return Ok(DiskUse(None));
        }
        let entry = lock(&self.0.mounts)
            .entry(root.to_owned())
            .or_default()
            .clone();
        let mut mount = lock(&entry);
        let at = root.join(MOUNT);
        if mount.is_mounted
            && mount.users == 0
            && !File::open(&at).is_ok_and(|at| disk_image::is_intact(&at))
        {
            disk_image::unmount(&at, true)?;
            mount.is_mounted = false;
        }
        if !mount.is_mounted {
            private_dir(&at)?;
            disk_image::mount(&root.join(NAME), &at)?;
            mount.is_mounted = true;
        }
        mount.users += 1;
        drop(mount);
        Ok(DiskUse(Some((self.clone(), entry))))
    }

    /// Unmounts what is mounted in a folder and below, for those who use it, too: it goes.
    pub(crate) fn release(&self, root: &Path) -> io::Result<()> {
        let below = |path: &PathBuf| path.starts_with(root);
        let entries: Vec<_> = lock(&self.0.mounts)
            .iter()
            .filter(|(path, _)| below(path))
            .map(|(path, entry)| (path.clone(), entry.clone()))
            .collect();
        for (path, entry) in entries {
            let mut mount = lock(&entry);
            if mount.is_mounted {
                disk_image::unmount(&path.join(MOUNT), true)?;
                mount.is_mounted = false;
            }
        }
        self.forget();
        Ok(())
    }

    /// Unmounts what nobody has used for so long, and of the rest what was used least lately.
    pub(crate) fn unmount_quiet(&self, quiet: Duration) {
        let mut idle: Vec<_> = lock(&self.0.mounts)
            .iter()
            .filter_map(|(path, entry)| {
                // One that is being mounted is used.
                let mount = entry.try_lock().ok()?;
                let is_idle = mount.is_mounted && mount.users == 0;
                is_idle.then(|| (mount.used_at, path.clone(), entry.clone()))
            })
            .collect();
        idle.sort_by_key(|(used_at, ..)| *used_at);
        let too_many = idle.len().saturating_sub(MOST_QUIET);
        for (place, (used_at, path, entry)) in idle.into_iter().enumerate() {
            let is_old = used_at.is_none_or(|at| at.elapsed() >= quiet);
            let mut mount = lock(&entry);
            if !(is_old || place < too_many) || mount.users > 0 || !mount.is_mounted {
                continue;
            }
            match disk_image::unmount(&path.join(MOUNT), false) {
                Ok(()) => mount.is_mounted = false,
                // A file of it is still open: it is tried again.
                Err(error) => {
                    tracing::debug!(path = %path.display(), %error, "a disk stays mounted")
                }
            }
        }
        self.forget();
    }

    /// How many are mounted.
    #[cfg(test)]
    pub(crate) fn mounted(&self) -> usize {
        let mounts = lock(&self.0.mounts);
        mounts
            .values()
            .filter(|mount| lock(mount).is_mounted)
            .count()
    }

    /// Forgets those that nobody has mounted and nobody is about to mount.
    fn forget(&self) {
        lock(&self.0.mounts)
            .retain(|_, entry| Arc::strong_count(entry) > 1 || lock(entry).is_mounted);
    }

    fn too_many_are_quiet(&self) -> bool {
        lock(&self.0.mounts).len() > 2 * MOST_QUIET
    }
}

impl Drop for DiskUse {
    fn drop(&mut self) {
        let Some((disks, entry)) = self.0.take() else {
            return;
        };
        {
            let mut mount = lock(&entry);
            mount.users = mount.users.saturating_sub(1);
            mount.used_at = Some(Instant::now());
        }
        drop(entry);
        if disks.too_many_are_quiet() {
            // It waits for the disk, and whoever lets go of this does not. Where there is no thread
            // to be had, the next look does it.
            let unmount = move || disks.unmount_quiet(QUIET);
            let _ = std::thread::Builder::new().spawn(unmount);
        }
    }
}

#[cfg(test)]
mod tests;
