//! A small disk of its own, to be filled up.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use tempfile::TempDir;

/// A mounted tmpfs; clones are one disk, which goes with the last of them.
#[derive(Clone, Debug)]
pub(crate) struct Disk(Arc<Mounted>);

#[derive(Debug)]
struct Mounted(TempDir);

impl Disk {
    /// Mounts one; none where that is not permitted.
    pub(crate) fn mount(size: &str) -> Option<Self> {
        let folder = match tempfile::Builder::new().prefix("aod-disk-").tempdir() {
            Ok(folder) => folder,
            Err(error) => panic!("no temporary folder: {error}"),
        };
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", size, "none"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        let is_mounted = mounted.is_ok_and(|status| status.success());
        is_mounted.then(|| Self(Arc::new(Mounted(folder))))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.0.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: a process of a test that failed may still be in there.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}
