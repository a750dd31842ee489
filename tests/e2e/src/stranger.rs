//! An ordinary user, for servers of a test that root runs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustix::thread::UnshareFlags;

use crate::program::{program, repository};

/// Who has no rights of their own: `nobody`.
const ID: u32 = 65_534;

/// An ordinary user to whom the programs and the repository are shown, wherever these lie; clones
/// are one user.
#[derive(Clone, Debug)]
pub struct Stranger {
    shown: Arc<Shown>,
}

/// A folder with nothing in it but mount points. It is never removed with what is in it: that would
/// be the repository.
#[derive(Debug)]
struct Shown(PathBuf);

impl Stranger {
    /// Shows them by mounts, in a mount namespace that the calling thread, and what it starts from
    /// now on, have for themselves.
    ///
    /// # Panics
    /// When they cannot be mounted.
    #[must_use]
    pub fn new() -> Self {
        // SAFETY: descriptors stay shared.
        let alone = unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) };
        assert!(alone.is_ok(), "no mount namespace: {alone:?}");
        run(Command::new("mount").args(["--make-rprivate", "/"]));
        let folder = tempfile::Builder::new().prefix("aod-shown-").tempdir();
        let folder = match folder {
            Ok(folder) => folder.keep(),
            Err(error) => panic!("no temporary folder: {error}"),
        };
        run(Command::new("chmod").arg("755").arg(&folder));
        let shown = Shown(folder);
        for (name, what) in [("programs", profile()), ("repository", repository())] {
            let place = shown.0.join(name);
            run(Command::new("mkdir").arg(&place));
            let mut mount = Command::new("mount");
            run(mount.args(["--bind", "-o", "ro"]).args([&what, &place]));
        }
        Self {
            shown: Arc::new(shown),
        }
    }

    /// One of the project's programs, run by them.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        command
            .args([
                format!("--reuid={ID}"),
                format!("--regid={ID}"),
                "--clear-groups".to_owned(),
                "--inh-caps=-all".to_owned(),
            ])
            .arg(self.place(program));
        command
    }

    /// A text with the paths that they see.
    pub(crate) fn translate(&self, text: &str) -> String {
        let place = self.shown.0.join("repository");
        text.replace(
            &*repository().to_string_lossy(),
            &place.display().to_string(),
        )
    }

    /// Gives a folder, and what is in it, to them.
    ///
    /// # Panics
    /// When it cannot be given.
    pub(crate) fn own(&self, folder: &Path) {
        run(Command::new("chown")
            .args(["-R", &format!("{ID}:{ID}")])
            .arg(folder));
    }

    fn place(&self, program: &Path) -> PathBuf {
        let name = program.file_name().unwrap_or_default();
        self.shown.0.join("programs").join(name)
    }
}

impl Default for Stranger {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        for name in ["programs", "repository"] {
            let place = self.0.join(name);
            // Lazily: a process of a test that failed may still be in there.
            let _ = Command::new("umount").arg("-l").arg(&place).status();
            let _ = std::fs::remove_dir(place);
        }
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Where the programs lie.
fn profile() -> PathBuf {
    let program = program("aod");
    program.parent().unwrap_or(&program).to_owned()
}

fn run(command: &mut Command) {
    let status = command.status();
    assert!(
        status.as_ref().is_ok_and(std::process::ExitStatus::success),
        "{command:?}: {status:?}"
    );
}
