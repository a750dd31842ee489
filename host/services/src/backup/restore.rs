//! A backup that is put back into an empty data folder.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Component, Path, PathBuf};

use super::content::{io_error, is_free, make, private_folder};
use super::draft::{Summed, sum_of};
use super::{BackupError, FORMAT, MANIFEST, Manifest, SUMS};
use crate::Paths;
use crate::owner::Owner;

/// In a data folder into which a backup is being put back: no server begins on it.
pub const INCOMPLETE: &str = "restore-incomplete";

/// What was put back.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What the backup says of itself.
    pub manifest: Manifest,
    /// Where the vault's identity should be, and is not.
    pub identity_missing: Option<PathBuf>,
}

/// Puts the backup in the folder `from` back into the data folder `data`, which is made and must
/// not be there, or be empty. Each file is held against its sum.
///
/// # Errors
/// [`BackupError`]. What was put back by then is of no use, and no server begins on it.
pub fn restore(from: &Path, data: &Path) -> Result<Restored, BackupError> {
    let manifest = read_manifest(from)?;
    check_sums(from, &manifest)?;
    if !is_free(data) {
        return Err(BackupError::NotEmpty(data.to_owned()));
    }
    private_folder(data)?;
    let mark = data.join(INCOMPLETE);
    make(&mark)?;
    let owner = Owner::take(data)?;
    let paths = Paths::create(data).map_err(|error| BackupError::Folder(error.to_string()))?;
    let sums = from.join(SUMS);
    let lines = BufReader::new(File::open(&sums).map_err(io_error("open", &sums))?).lines();
    for line in lines {
        let line = line.map_err(io_error("read", &sums))?;
        let (sum, path) = entry(&line, &sums)?;
        put_back(from, data, path, sum)?;
    }
    drop(owner);
    fs::remove_file(&mark).map_err(io_error("remove", &mark))?;
    let identity = paths.vault().join("identity.txt");
    Ok(Restored {
        manifest,
        identity_missing: (!identity.exists()).then_some(identity),
    })
}

fn read_manifest(from: &Path) -> Result<Manifest, BackupError> {
    let path = from.join(MANIFEST);
    let text = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(BackupError::NotWhole {
                folder: from.to_owned(),
            });
        }
        text => text.map_err(io_error("read", &path))?,
    };
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|source| BackupError::Manifest { path, source })?;
    let log_format = i64::from(aod_log::FORMAT_VERSION);
    for (what, found, supported) in [
        ("form", i64::from(manifest.format), i64::from(FORMAT)),
        ("database", manifest.schema, aod_store::SCHEMA_VERSION),
        ("log format", i64::from(manifest.log_format), log_format),
    ] {
        if found > supported {
            return Err(BackupError::Newer {
                aod: manifest.aod,
                what,
                found,
                supported,
            });
        }
    }
    Ok(manifest)
}

/// Holds the backup against its own account, before anything of it is put anywhere.
fn check_sums(from: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    let sums = from.join(SUMS);
    if sum_of(&sums)?.0 != manifest.sums {
        return Err(damaged(
            &sums,
            "it is not what it was when the backup was taken",
        ));
    }
    let lines = BufReader::new(File::open(&sums).map_err(io_error("open", &sums))?).lines();
    let mut files = 0;
    for line in lines {
        let line = line.map_err(io_error("read", &sums))?;
        let (sum, path) = entry(&line, &sums)?;
        let path = from.join(path);
        match sum_of(&path) {
            Ok((found, _)) if found == sum => files += 1,
            Ok(_) => {
                return Err(damaged(
                    &path,
                    "it is not what it was when the backup was taken",
                ));
            }
            Err(BackupError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Err(damaged(&path, "it is missing"));
            }
            Err(error) => return Err(error),
        }
    }
    match files == manifest.files {
        true => Ok(()),
        false => Err(damaged(&sums, "it does not list all files")),
    }
}

fn damaged(path: &Path, problem: &'static str) -> BackupError {
    BackupError::Damaged {
        path: path.to_owned(),
        problem,
    }
}

/// A line of the sums: the sum, and a path that leads down.
fn entry<'a>(line: &'a str, sums: &Path) -> Result<(&'a str, &'a Path), BackupError> {
    let (sum, path) = line
        .split_once("  ")
        .ok_or_else(|| damaged(sums, "a line of it is none"))?;
    let path = Path::new(path);
    let leads_down = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    match leads_down && path.file_name().is_some() {
        true => Ok((sum, path)),
        false => Err(damaged(sums, "a path in it leads elsewhere")),
    }
}

fn put_back(from: &Path, data: &Path, path: &Path, sum: &str) -> Result<(), BackupError> {
    let (source, target) = (from.join(path), data.join(path));
    if let Some(folder) = target.parent() {
        private_folder(folder)?;
    }
    if is_tree(path) {
        return unpack(&source, &target.with_extension(""));
    }
    let mut file = File::open(&source).map_err(io_error("open", &source))?;
    let mut copy = Summed::new(make(&target)?);
    io::copy(&mut file, &mut copy).map_err(io_error("copy", &source))?;
    let (copy, found) = copy.finish();
    if found != sum {
        return Err(damaged(&source, "it was changed while it was put back"));
    }
    copy.sync_all().map_err(io_error("sync", &target))
}

/// Whether a file of a backup is a packed tree.
fn is_tree(path: &Path) -> bool {
    let parts: Vec<_> = path.iter().filter_map(|part| part.to_str()).collect();
    matches!(
        parts[..],
        ["runtimes.tar"] | ["sessions", _, "home.tar" | "workspace.tar"]
    )
}

/// Unpacks a tree. No entry is written through a link of another.
fn unpack(archive: &Path, folder: &Path) -> Result<(), BackupError> {
    private_folder(folder)?;
    let file = File::open(archive).map_err(io_error("open", archive))?;
    let mut entries = tar::Archive::new(BufReader::new(file));
    entries.set_preserve_permissions(true);
    entries.unpack(folder).map_err(io_error("unpack", archive))
}
