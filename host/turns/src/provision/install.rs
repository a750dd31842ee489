//! CLIs installed by declared steps: once per version, into a folder that sandboxes see read-only.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use aod_runtime::Cli;
use aod_runtime::types::InstallStep;
use aod_sandbox::{Mount, Network, SandboxDriver};
use aod_trees::Trash;
use uuid::Uuid;

use super::error::StageError;
use super::sandboxes::Sandboxes;
use super::step::{self, Output, Step};
use crate::Error;

/// Where an installed CLI is, inside a sandbox.
pub(super) const INSTALLED: &str = "/opt/aod/runtime";

/// Staging folders begin so; what an earlier process left half-done is never used.
const STAGING: &str = ".staging-";

/// The store of installed CLIs.
pub(crate) struct Installs {
    root: PathBuf,
    trash: Trash,
    /// One lock for each CLI: sessions that need the same one wait for the one installation.
    locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// A CLI that is there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Installation {
    /// What is mounted, and where.
    mounts: Vec<(PathBuf, PathBuf)>,
    /// Folders for `PATH`, on the host and inside.
    path: Vec<(PathBuf, PathBuf)>,
    /// Its version, where it could be read.
    pub(crate) version: Option<String>,
}

impl Installation {
    /// Adds to `mounts` what a sandbox mounts for it, and says what comes into `PATH`: folders as
    /// the command sees them, each with a colon behind it.
    pub(crate) fn enter(&self, driver: &dyn SandboxDriver, mounts: &mut Vec<Mount>) -> String {
        for (host, inside) in &self.mounts {
            let mount = Mount::new(host, inside);
            if !mounts.contains(&mount) {
                mounts.push(mount);
            }
        }
        let place = |(host, inside): &(PathBuf, PathBuf)| {
            format!("{}:", driver.place(host, inside).display())
        };
        self.path.iter().map(place).collect()
    }

    /// A program of it, as the command sees it. Where it has none of that name, the sandbox's
    /// `PATH` decides.
    pub(crate) fn program(&self, driver: &dyn SandboxDriver, name: &str) -> Option<String> {
        if name.contains('/') {
            return None;
        }
        let (host, inside) = self
            .path
            .iter()
            .find(|(host, _)| host.join(name).exists())?;
        Some(
            driver
                .place(host, inside)
                .join(name)
                .to_string_lossy()
                .into_owned(),
        )
    }

    /// A program of it, on the host.
    pub(crate) fn on_host(&self, name: &str) -> Option<PathBuf> {
        let files = self.path.iter().map(|(host, _)| host.join(name));
        files.into_iter().find(|file| file.is_file())
    }

    /// The Node.js of this machine, where it is not among what every sandbox sees: most CLIs are
    /// run by it, and so is what installs them.
    pub(crate) fn node() -> &'static Self {
        static NODE: LazyLock<Installation> =
            LazyLock::new(|| Installation::of_operator("node").unwrap_or_default());
        &NODE
    }

    /// What a program belongs to that stands in a `bin` folder and can be anywhere: seen at `inside`.
    pub(crate) fn movable(program: &Path, inside: &str) -> Option<Self> {
        let folder = program.parent()?;
        let root = folder.parent()?.canonicalize().ok()?;
        Some(Self {
            mounts: vec![(root, PathBuf::from(inside))],
            path: vec![(folder.to_owned(), Path::new(inside).join("bin"))],
            version: None,
        })
    }

    /// The host's folders that sandboxes see of it.
    pub(super) fn mounts(&self) -> impl Iterator<Item = &Path> {
        self.mounts.iter().map(|(host, _)| host.as_path())
    }

    /// A CLI that the operator installed: the system's, or one at a path of theirs.
    pub(super) fn of_operator(command: &str) -> io::Result<Self> {
        let path = match command.contains('/') {
            true => PathBuf::from(command),
            false => match in_path(command) {
                Some(path) => path,
                // It may be in the session's home.
                None => return Ok(Self::default()),
            },
        };
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        if ["/usr", "/bin", "/sbin"]
            .iter()
            .any(|system| folder.starts_with(system))
        {
            return Ok(Self::default());
        }
        // Links in a `bin` folder lead to packages beside it.
        let root = match (
            folder.file_name().and_then(|name| name.to_str()),
            folder.parent(),
        ) {
            (Some("bin" | ".bin"), Some(parent)) => parent.to_owned(),
            _ => folder.clone(),
        };
        let host = match std::fs::canonicalize(&root) {
            Ok(host) => host,
            // The launch says so, and what to do about it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        Ok(Self {
            mounts: vec![(host, root)],
            path: vec![(folder.clone(), folder)],
            version: None,
        })
    }
}

/// Takes what an installer wrote out of the way.
fn discard(trash: &Trash, path: &Path) -> io::Result<()> {
    Ok(trash.discard_path(path, &aod_trees::Limits::default())?)
}

fn in_path(command: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(command))
        .find(|file| file.is_file())
}

impl Installs {
    pub(crate) fn new(root: PathBuf, trash: Trash) -> Self {
        if let Ok(entries) = std::fs::read_dir(&root) {
            for entry in entries.flatten() {
                if entry.file_name().to_string_lossy().starts_with(STAGING) {
                    // Another start tries again; nothing uses it.
                    if let Err(error) = discard(&trash, &entry.path()) {
                        tracing::warn!(%error, "a half-done installation cannot be removed");
                    }
                }
            }
        }
        Self {
            root,
            trash,
            locks: Mutex::default(),
        }
    }

    /// The CLI, if nothing has to be done for it.
    pub(crate) fn find(&self, cli: &Cli, key: Option<&str>) -> io::Result<Option<Installation>> {
        let Some(key) = key else {
            return Installation::of_operator(&cli.command).map(Some);
        };
        let dir = self.root.join(key);
        let prefix = dir.join("prefix");
        if !prefix.is_dir() {
            return Ok(None);
        }
        Ok(Some(Installation {
            path: vec![(prefix.join("bin"), Path::new(INSTALLED).join("bin"))],
            mounts: vec![(prefix, PathBuf::from(INSTALLED))],
            version: installed_version(&self.root, key),
        }))
    }

    /// Installs the CLI, or waits for the one that does.
    pub(crate) async fn install(
        &self,
        sandboxes: &Sandboxes,
        cli: &Cli,
        key: &str,
        output: &mut Output,
        cancelled: impl Future<Output = ()>,
    ) -> Result<Installation, StageError> {
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            locks.entry(key.to_owned()).or_default().clone()
        };
        tokio::pin!(cancelled);
        let _guard = tokio::select! {
            guard = lock.lock() => guard,
            () = &mut cancelled => return Err(StageError::Cancelled),
        };
        if let Some(found) = self.find(cli, Some(key))? {
            return Ok(found);
        }
        let staging = self.root.join(format!("{STAGING}{key}-{}", Uuid::new_v4()));
        let done = self
            .stage(sandboxes, cli, &staging, output, cancelled)
            .await;
        let finish = staging.clone();
        let target = self.root.join(key);
        let trash = self.trash.clone();
        let moved = tokio::task::spawn_blocking(move || {
            if done.is_ok() {
                // The home of the installer: caches, and what it wrote on the way.
                discard(&trash, &finish.join("home"))?;
                discard(&trash, &finish.join("work"))?;
                std::fs::rename(&finish, &target)?;
            } else {
                discard(&trash, &finish)?;
            }
            Ok::<_, io::Error>(done)
        });
        moved.await.map_err(Error::internal)???;
        let found = self.find(cli, Some(key))?;
        found.ok_or_else(|| StageError::Failed("the installation went away".to_owned()))
    }

    async fn stage(
        &self,
        sandboxes: &Sandboxes,
        cli: &Cli,
        staging: &Path,
        output: &mut Output,
        mut cancelled: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), StageError> {
        for folder in ["home", "work", "prefix/bin"] {
            std::fs::create_dir_all(staging.join(folder))?;
        }
        for install in &cli.install {
            let prefix = sandboxes
                .driver
                .place(&staging.join("prefix"), INSTALLED.as_ref());
            let argv = command(install, &prefix.to_string_lossy());
            let what = argv.join(" ");
            let spec = sandboxes.of_installer(staging, argv, Network::Host);
            let step = Step {
                spec,
                stdin: Vec::new(),
                what: &what,
                timeout: sandboxes.step_timeout,
            };
            step::run(sandboxes, step, output, cancelled.as_mut()).await?;
        }
        let version = version(sandboxes, cli, staging).await.unwrap_or_default();
        std::fs::write(staging.join("version"), version)?;
        Ok(())
    }
}

/// Asks the CLI for its version, without a network.
async fn version(sandboxes: &Sandboxes, cli: &Cli, staging: &Path) -> Option<String> {
    let argv = [cli.command.clone()]
        .into_iter()
        .chain(cli.version_args.clone())
        .collect();
    let spec = sandboxes.of_installer(staging, argv, Network::None);
    let launch = sandboxes.driver.launch(&spec).ok()?;
    let mut said = String::new();
    let said = tokio::task::spawn_blocking(move || {
        let options = aod_sandbox::RunOptions {
            stdin: Vec::new(),
            timeout: Some(std::time::Duration::from_secs(30)),
            cancel: None,
        };
        let _ = aod_sandbox::run(&launch, &options, &mut |line| {
            if said.len() < 4096 {
                said.push_str(&String::from_utf8_lossy(line));
                said.push('\n');
            }
        });
        said
    });
    find_version(&said.await.ok()?)
}

/// The command of a step.
fn command(step: &InstallStep, prefix: &str) -> Vec<String> {
    match step {
        InstallStep::Npm(package) => {
            let words = [
                "npm",
                "install",
                "--global",
                "--prefix",
                prefix,
                "--no-audit",
                "--no-fund",
            ];
            let words = words.into_iter().chain(["--loglevel=warn", "--", package]);
            words.map(str::to_owned).collect()
        }
        InstallStep::Run(argv) => argv
            .iter()
            .map(|word| word.replace("$PREFIX", prefix))
            .collect(),
    }
}

/// The version of the CLI that is installed under this key below `root`, where it could be read.
pub fn installed_version(root: &Path, key: &str) -> Option<String> {
    let version = std::fs::read_to_string(root.join(key).join("version")).ok();
    version.filter(|version| !version.is_empty())
}

/// The first thing in a text that looks like a version.
fn find_version(text: &str) -> Option<String> {
    text.split(|c: char| c.is_whitespace() || c == '(' || c == ')' || c == ',')
        .map(|word| word.trim_start_matches('v'))
        .find(|word| {
            let mut numbers = word.split('-').next().unwrap_or_default().split('.');
            let number = |part: Option<&str>| {
                part.is_some_and(|part| {
                    !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit())
                })
            };
            number(numbers.next()) && number(numbers.next()) && number(numbers.next())
        })
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_clis_say() {
        for (said, version) in [
            ("2.1.331 (Some CLI)\n", Some("2.1.331")),
            ("some-cli 0.169.0", Some("0.169.0")),
            ("v1.18.33-beta.1\n", Some("1.18.33-beta.1")),
            ("no version here, sorry. 1.2", None),
        ] {
            assert_eq!(find_version(said).as_deref(), version, "{said}");
        }
    }

    #[test]
    fn steps_name_the_prefix() {
        let run = InstallStep::Run(vec!["sh".into(), "-c".into(), "cp x $PREFIX/bin".into()]);
        assert_eq!(command(&run, "/p"), ["sh", "-c", "cp x /p/bin"]);
        let npm = command(&InstallStep::Npm("@a/b@1.2.3".into()), "/p");
        assert_eq!(npm.last().unwrap(), "@a/b@1.2.3");
    }

    #[test]
    fn a_system_command_needs_no_mount_and_another_does() {
        assert!(
            Installation::of_operator("/usr/bin/sh")
                .unwrap()
                .mounts
                .is_empty()
        );
        assert!(Installation::of_operator("sh").unwrap().mounts.is_empty());
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("tools/bin");
        std::fs::create_dir_all(&bin).unwrap();
        let command = bin.join("cli");
        std::fs::write(&command, "").unwrap();
        let found = Installation::of_operator(command.to_str().unwrap()).unwrap();
        assert!(found.mounts[0].0.ends_with("tools"));
        assert_eq!(found.path[0].1, bin);
    }
}
