//! `runtimes.toml`: which runtimes there are.
//!
//! A mistake in one runtime's tables is that runtime's error, and the others load all the same.

mod oauth;
mod position;
mod read;
mod units;
mod usage;

pub use position::{Location, Position};

use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use crate::digest::Digest;
use crate::settings::Settings;

/// The largest `runtimes.toml` that is read, in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// A `runtimes.toml` as it was read.
#[derive(Debug)]
pub struct Manifest {
    /// Where it lies.
    pub path: PathBuf,
    /// The runtimes in the order in which they stand there.
    pub runtimes: IndexMap<String, Result<Declaration, ManifestError>>,
    /// Mistakes that belong to no runtime.
    pub errors: Vec<ManifestError>,
    /// Whether the text is TOML. Otherwise runtimes that are not here may stand behind the
    /// mistake.
    pub complete: bool,
}

/// One runtime's tables.
#[derive(Clone, Debug, PartialEq)]
pub struct Declaration {
    /// The component; relative paths in the file are relative to its folder, and resolved here.
    pub component: PathBuf,
    /// Where the component is named.
    pub component_at: Position,
    /// What the component is pinned to.
    pub sha256: Option<Digest>,
    /// Where it is pinned.
    pub sha256_at: Option<Position>,
    /// Whether the runtime is to be used.
    pub enabled: bool,
    /// Everything else about it.
    pub settings: Settings,
    /// Models to add, replace or hide.
    pub models: Vec<ModelEntry>,
}

/// A `[[runtime.NAME.models]]` table.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelEntry {
    /// The canonical id.
    pub id: String,
    /// A name for people.
    pub label: Option<String>,
    /// Whether this runtime does not serve the model, although its adapter names it.
    pub hidden: bool,
    /// Where the id stands.
    pub at: Position,
}

/// A mistake in `runtimes.toml`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {problem}")]
pub struct ManifestError {
    /// Where.
    pub at: Location,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl Manifest {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// The file cannot be read or is no UTF-8. Everything else is an entry's own error.
    pub fn read(path: &Path) -> Result<Self, ManifestError> {
        let failed = |problem: String| ManifestError {
            at: Location {
                file: path.to_owned(),
                position: Position::START,
            },
            problem,
        };
        let bytes =
            aod_trees::read_regular(path, MAX_BYTES).map_err(|error| match error.kind() {
                std::io::ErrorKind::FileTooLarge => {
                    failed(format!("is larger than {} MiB", MAX_BYTES >> 20))
                }
                _ => failed(error.to_string()),
            })?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(Self::parse(path, text)),
            Err(error) => {
                let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
                let position = Position::at(&before, before.len());
                let at = Location {
                    file: path.to_owned(),
                    position,
                };
                Err(ManifestError {
                    at,
                    problem: "is not UTF-8".to_owned(),
                })
            }
        }
    }

    /// Reads a text as if it stood in a file.
    #[must_use]
    pub fn parse(path: &Path, text: &str) -> Self {
        read::manifest(path, text)
    }

    /// What is wrong, in the order of the file.
    pub fn problems(&self) -> impl Iterator<Item = &ManifestError> {
        let entries = self
            .runtimes
            .values()
            .filter_map(|entry| entry.as_ref().err());
        self.errors.iter().chain(entries)
    }
}
