//! Which versions of the interface are frozen: `wit/frozen.toml`.
//!
//! A release must not carry an interface that could still change, so that a component which was
//! written for it works with every later host.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};

/// Digests by version and file.
type Frozen = BTreeMap<String, BTreeMap<String, String>>;

/// Refuses a release whose interface is not frozen as it stands.
///
/// # Errors
///
/// Names the versions that are not frozen and what to do.
pub(crate) fn check(root: &Path) -> Result<()> {
    let frozen = read(root)?;
    let drafts: Vec<String> = versions(root)?
        .into_iter()
        .filter(|(version, files)| frozen.get(version) != Some(files))
        .map(|(version, _)| version)
        .collect();
    ensure!(
        drafts.is_empty(),
        "aod:runtime@{} is not frozen, and a release fixes it for good: `cargo xtask dist --freeze` \
         writes its digests to wit/frozen.toml; commit that, and never edit the version again",
        drafts.join(", ")
    );
    Ok(())
}

/// Freezes every version that is not frozen yet.
///
/// # Errors
///
/// A version that was frozen has been changed since.
pub(crate) fn freeze(root: &Path) -> Result<()> {
    let frozen = read(root)?;
    let path = root.join("wit/frozen.toml");
    let mut text = fs::read_to_string(&path)?;
    for (version, files) in versions(root)? {
        if let Some(known) = frozen.get(&version) {
            ensure!(
                *known == files,
                "wit/{version} was frozen and has been changed since: take the change back, and make \
                 a new version"
            );
            continue;
        }
        text.push_str(&format!("\n[{version:?}]\n"));
        for (file, digest) in files {
            text.push_str(&format!("{file:?} = {digest:?}\n"));
        }
        println!("aod:runtime@{version} is frozen from now on");
    }
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn read(root: &Path) -> Result<Frozen> {
    let path = root.join("wit/frozen.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("no {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("cannot read {}", path.display()))
}

/// The versions that are there, with the digests of their files.
fn versions(root: &Path) -> Result<Frozen> {
    let mut versions = Frozen::new();
    for entry in fs::read_dir(root.join("wit"))? {
        let folder = entry?.path();
        let Some(version) = folder.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if !folder.is_dir() {
            continue;
        }
        let mut files = BTreeMap::new();
        for file in fs::read_dir(&folder)? {
            let file = file?;
            let digest = Sha256::digest(fs::read(file.path())?);
            let hex = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            files.insert(file.file_name().to_string_lossy().into_owned(), hex);
        }
        versions.insert(version.to_owned(), files);
    }
    Ok(versions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_refused_until_it_is_frozen_and_a_frozen_version_stays() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let version = root.join("wit/1.0.0");
        fs::create_dir_all(&version).unwrap();
        fs::write(version.join("a.wit"), "a").unwrap();
        fs::write(root.join("wit/frozen.toml"), "# none yet\n").unwrap();
        let error = check(root).unwrap_err().to_string();
        assert!(
            error.contains("1.0.0") && error.contains("--freeze"),
            "{error}"
        );
        freeze(root).unwrap();
        check(root).unwrap();
        freeze(root).unwrap();
        fs::write(version.join("a.wit"), "b").unwrap();
        assert!(check(root).is_err());
        assert!(freeze(root).is_err());
    }
}
