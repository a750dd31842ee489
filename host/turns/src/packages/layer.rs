//! A layer of packages that is there, and what a sandbox has of it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aod_resources::Timestamp;
use aod_sandbox::{Mount, SandboxDriver, SandboxSpec, SystemLayer};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Where packages are, inside of sandboxes.
pub(super) const PREFIX: &str = "/opt/aod/packages";
/// What is written last into a layer. When it was changed says when it was used last.
pub(super) const RECORD: &str = "layer.json";
/// The part of a layer that is seen at [`PREFIX`].
pub(super) const FILES: &str = "prefix";
/// The part that lies over the system.
pub(super) const SYSTEM: &str = "system";
/// The mount points of that.
pub(super) const VIEWS: &str = "views";

/// Folders of programs below the prefix.
pub(super) const PROGRAMS: [&str; 5] = ["python/bin", "node/bin", "gem/bin", "go/bin", "cargo/bin"];

/// Variables by which languages find packages: a folder below the prefix for each, and what stands
/// behind it.
const VARIABLES: [(&str, &str, &str); 3] = [
    ("PYTHONPATH", "python", ""),
    ("NODE_PATH", "node/lib/node_modules", ""),
    // An empty part is where Ruby looks by itself.
    ("GEM_PATH", "gem", ":"),
];

/// What a layer says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) built_at: Timestamp,
    pub(super) size_bytes: u64,
}

/// A layer that is whole.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    folder: PathBuf,
}

impl Layer {
    /// The layer in a folder, if it is there.
    pub(super) fn open(folder: PathBuf) -> Option<Self> {
        folder.join(RECORD).is_file().then_some(Self { folder })
    }

    /// Notes that it is used now.
    pub(super) fn touch(&self) -> io::Result<()> {
        File::open(self.folder.join(RECORD))?.set_modified(SystemTime::now())
    }

    /// What it says of itself, and when it was used last.
    pub(super) fn record(&self) -> io::Result<(Record, SystemTime)> {
        let path = self.folder.join(RECORD);
        let record = serde_json::from_slice(&std::fs::read(&path)?)?;
        Ok((record, path.metadata()?.modified()?))
    }

    /// Gives a sandbox the packages; says what comes into its `PATH`: folders, each with a colon
    /// behind it.
    pub(crate) fn enter(&self, driver: &dyn SandboxDriver, spec: &mut SandboxSpec) -> String {
        lay(&self.folder, spec);
        let files = self.folder.join(FILES);
        let place = driver.place(&files, PREFIX.as_ref());
        spec.read_only.push(Mount::new(&files, &place));
        for (name, folder, behind) in VARIABLES {
            if files.join(folder).is_dir() {
                let value = format!("{}{behind}", place.join(folder).display());
                spec.env.push((name.to_owned(), Zeroizing::new(value)));
            }
        }
        let programs = PROGRAMS.iter().filter(|folder| files.join(folder).is_dir());
        programs
            .map(|folder| format!("{}:", place.join(folder).display()))
            .collect()
    }
}

/// Lays what apt brought into `folder` over a sandbox's system.
pub(super) fn lay(folder: &Path, spec: &mut SandboxSpec) {
    let files = folder.join(SYSTEM);
    if ["usr", "etc", "opt"]
        .iter()
        .any(|name| files.join(name).is_dir())
    {
        spec.system_layer = Some(SystemLayer {
            files,
            views: folder.join(VIEWS),
        });
    }
}
