//! A run of git in a sandbox of its own.

use std::path::{Path, PathBuf};

use aod_sandbox::{Mount, Network, PrivateFile, SandboxSpec};
use aod_trees::{Folder, Limits, Trash};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::provision::{Sandboxes, StageError};

/// The most that a file may be in which a script leaves what it found out.
const MAX_RESULT: u64 = 4 << 20;

/// What git is told wherever it runs. Nothing of a repository's own, and no program that it names,
/// is to be used: no hooks, no monitor, no other transport than those given.
const SETTINGS: &str = "\
[protocol]
	allow = never
[core]
	hooksPath = /dev/null
	fsmonitor = false
	askPass =
[credential]
	helper =
[gc]
	auto = 0
[maintenance]
	auto = false
[safe]
	directory = *
[advice]
	detachedHead = false
[init]
	defaultBranch = main
[fetch]
	recurseSubmodules = false
[submodule]
	recurse = false
";

/// The variables of each run. The settings above are all that it reads besides the repository's.
fn variables(settings: &str) -> [(&'static str, String); 7] {
    [
        ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
        ("GIT_CONFIG_GLOBAL", settings.to_owned()),
        ("GIT_TERMINAL_PROMPT", "0".to_owned()),
        ("GIT_ATTR_NOSYSTEM", "1".to_owned()),
        ("GIT_PAGER", "cat".to_owned()),
        ("LC_ALL", "C".to_owned()),
        ("TERM", "dumb".to_owned()),
    ]
}

/// Where git is to work: a home that is gone afterwards, and a folder to write to.
pub(super) struct GitSandbox<'a> {
    pub(super) sandboxes: &'a Sandboxes,
    home: PathBuf,
    trash: &'a Trash,
}

/// A script of git commands, and what it is run with.
pub(super) struct Script<'a> {
    /// The shell script. What it finds out it leaves in files of its home.
    pub(super) text: &'static str,
    /// Its arguments. They are visible in the process list.
    pub(super) arguments: Vec<String>,
    /// The folder that it works in, and may change.
    pub(super) folder: &'a Path,
    /// What it may read besides.
    pub(super) shown: Vec<Mount>,
    /// Settings of git for this run.
    pub(super) settings: String,
    /// Files for this run alone, below the folder for those.
    pub(super) files: Vec<(&'static str, Zeroizing<Vec<u8>>)>,
    /// What it may reach.
    pub(super) network: Network,
}

impl<'a> GitSandbox<'a> {
    /// A place whose home is made below `root`.
    pub(super) fn make(
        sandboxes: &'a Sandboxes,
        root: &Path,
        trash: &'a Trash,
    ) -> std::io::Result<Self> {
        let home = root.join(format!("{HOME}{}", Uuid::new_v4()));
        std::fs::create_dir(&home)?;
        Ok(Self {
            sandboxes,
            home,
            trash,
        })
    }

    /// The home itself.
    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// Where a file for one run is inside.
    pub(super) fn private(&self, name: &str) -> String {
        let folder = self.sandboxes.driver.private_dir(&self.home);
        folder.join(name).to_string_lossy().into_owned()
    }

    /// A folder of the host's that a script may read, and where it finds it.
    pub(super) fn show(&self, host: &Path, name: &str) -> (Mount, String) {
        let inside = Path::new("/run/aod-git").join(name);
        let inside = self.sandboxes.driver.place(host, &inside);
        let path = inside.to_string_lossy().into_owned();
        (Mount::new(host, inside), path)
    }

    /// The sandbox of a script.
    pub(super) fn spec(&self, script: Script<'_>) -> SandboxSpec {
        let driver = &*self.sandboxes.driver;
        let home = driver.place(&self.home, aod_sandbox::HOME.as_ref());
        let argv = ["/bin/sh", "-euc", script.text, "git"].map(str::to_owned);
        let argv = argv.into_iter().chain(script.arguments).collect();
        let mut spec = SandboxSpec::new(argv, &self.home, script.folder);
        spec.cwd = driver.place(script.folder, aod_sandbox::WORKSPACE.as_ref());
        // A driver that isolates nothing cannot take the network away.
        spec.network = match driver.name() {
            "process" => Network::Host,
            _ => script.network,
        };
        spec.limits = self.sandboxes.limits.clone();
        spec.read_only = script.shown;
        let settings = format!("{SETTINGS}{}", script.settings);
        let settings = ("gitconfig", Zeroizing::new(settings.into_bytes()));
        for (name, content) in script.files.into_iter().chain([settings]) {
            spec.private_files.push(PrivateFile {
                path: self.private(name).into(),
                mode: 0o600,
                content,
            });
        }
        let variables = variables(&self.private("gitconfig"));
        let home = ("HOME", home.to_string_lossy().into_owned());
        for (name, value) in variables.into_iter().chain([home]) {
            spec.env.push((name.to_owned(), Zeroizing::new(value)));
        }
        spec
    }

    /// A file that the last script left in its home; empty where it left none.
    pub(super) fn result(&self, name: &str) -> Result<Vec<u8>, StageError> {
        let home = Folder::open(&self.home).map_err(crate::Error::internal)?;
        match home.read(name.as_ref(), MAX_RESULT) {
            Err(error) => match std::io::Error::from(error) {
                gone if gone.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
                error => Err(error.into()),
            },
            Ok(result) => Ok(result),
        }
    }
}

/// What the homes' names begin with.
pub(super) const HOME: &str = ".home-";

impl Drop for GitSandbox<'_> {
    fn drop(&mut self) {
        let discarded = self.trash.discard_path(&self.home, &Limits::default());
        if let Err(error) = discarded {
            tracing::warn!(%error, "a folder of git's cannot be removed");
        }
    }
}
