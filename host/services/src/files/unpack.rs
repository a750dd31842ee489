//! Archives that are unpacked into a folder of the workspace.
//!
//! They are read as they come. What describes an entry, such as a long name, has a bound of its
//! own; files are written aside and put in their place one by one, through no link.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead as _, BufReader, Read};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use aod_resources::FilePath;
use aod_trees::{Folder, Staging};
use bytes::Bytes;
use futures::Stream;
use tar::{Archive, Entry, EntryType, PaxExtensions};
use tokio::runtime::Handle;
use uuid::Uuid;

use super::body::{Body, failed};
use super::upload::Interrupted;
use super::zstandard::{Decompressor, MAGIC};
use super::{Files, FilesError, UploadLimits, blocking};
use crate::{Error, Result};

/// The most bytes that describe one entry: long names, and what else an archive says of it.
const DESCRIPTION: u64 = 64 << 10;

/// What other archives begin with, and no tar archive.
const OTHERS: [(&[u8], &str); 4] = [
    (b"\x1f\x8b\x08", "compressed with gzip"),
    (b"\xfd7zXZ\0", "compressed with xz"),
    (b"BZh91AY&SY", "compressed with bzip2"),
    (b"PK\x03\x04", "a zip archive"),
];

/// What was unpacked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Files, folders and links.
    pub entries: u64,
    /// The lengths of all files.
    pub bytes: u64,
}

impl Files {
    /// Unpacks a tar archive, compressed by Zstandard or not, into a folder, which is made where it
    /// is missing. Files and links that are there are replaced, folders are kept. What came before
    /// an entry that is refused stays.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Files`]; [`Error::FullDisk`].
    pub async fn unpack(
        &self,
        owner: Uuid,
        session: Uuid,
        path: FilePath,
        body: impl Stream<Item = Result<Bytes, Interrupted>> + Send + Unpin + 'static,
    ) -> Result<Unpacked> {
        let workspace = self.workspace(owner, session).await?;
        let permit = self.permits.take(owner)?;
        let (limits, staging) = (self.limits, self.staging.clone());
        let runtime = Handle::current();
        blocking(move || {
            let _permit = permit;
            let named = |error| FilesError::of(error, &path);
            let folder = workspace.make(path.as_path()).map_err(named)?;
            let body = Body::new(runtime, body, limits.bytes);
            let mut body = BufReader::new(body);
            let begin = body.fill_buf().map_err(|error| failed(error, &limits))?;
            let is_compressed = begin.starts_with(&MAGIC);
            if let Some((_, other)) = OTHERS.iter().find(|(magic, _)| begin.starts_with(magic)) {
                return Err(refused(format!(
                    "it is {other}: send a tar archive as it is, or compressed with Zstandard"
                )));
            }
            let mut work = Work {
                folder,
                staging,
                limits,
                done: Unpacked::default(),
            };
            if is_compressed {
                let mut decoder = Decompressor::new(body);
                work.unpack(&mut decoder)?;
                finish(decoder);
            } else {
                work.unpack(&mut body)?;
                finish(body);
            }
            Ok(work.done)
        })
        .await
    }
}

/// Reads what fills an archive up behind its end, so that the request comes to its own.
fn finish(body: impl Read) {
    // It is no part of the archive.
    let _ = io::copy(&mut body.take(1 << 20), &mut io::sink());
}

fn refused(problem: impl Into<String>) -> Error {
    FilesError::Archive {
        problem: problem.into(),
    }
    .into()
}

struct Work {
    folder: Folder,
    staging: Staging,
    limits: UploadLimits,
    done: Unpacked,
}

/// What an archive has said of the entry that comes next.
#[derive(Default)]
struct Described {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    more: HashMap<&'static str, String>,
}

impl Work {
    fn unpack(&mut self, from: impl Read) -> Result<()> {
        let limits = self.limits;
        let mut archive = Archive::new(from);
        let entries = archive.entries().map_err(|error| failed(error, &limits))?;
        let mut described = Described::default();
        let mut seen = 0u64;
        // Raw: the library would read what describes an entry whole, however long it is.
        for entry in entries.raw(true) {
            let mut entry = entry.map_err(|error| failed(error, &limits))?;
            seen += 1;
            // An entry may have two that describe it.
            if seen > limits.entries.saturating_mul(3) {
                return Err(self.too_many());
            }
            match entry.header().entry_type() {
                EntryType::GNULongName => described.path = Some(self.text(&mut entry)?),
                EntryType::GNULongLink => described.link = Some(self.text(&mut entry)?),
                EntryType::XHeader => self.describe(&mut entry, &mut described)?,
                // Of the whole archive: comments.
                EntryType::XGlobalHeader => drop(self.text(&mut entry)?),
                kind => self.entry(&mut entry, kind, std::mem::take(&mut described))?,
            }
        }
        Ok(())
    }

    fn too_many(&self) -> Error {
        let most = self.limits.entries;
        refused(format!(
            "it has more than {most} entries (limits.upload_entries)"
        ))
    }

    /// What describes an entry, or is the end of a name.
    fn text<R: Read>(&self, entry: &mut Entry<'_, R>) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        let read = entry.take(DESCRIPTION + 1).read_to_end(&mut text);
        read.map_err(|error| failed(error, &self.limits))?;
        if text.len() as u64 > DESCRIPTION {
            return Err(refused(format!(
                "the name or description of an entry has more than {DESCRIPTION} bytes"
            )));
        }
        if text.last() == Some(&0) {
            text.pop();
        }
        Ok(text)
    }

    fn describe<R: Read>(&self, entry: &mut Entry<'_, R>, described: &mut Described) -> Result<()> {
        let mut text = Vec::new();
        let read = entry.take(DESCRIPTION + 1).read_to_end(&mut text);
        read.map_err(|error| failed(error, &self.limits))?;
        if text.len() as u64 > DESCRIPTION {
            return Err(refused(format!(
                "the description of an entry has more than {DESCRIPTION} bytes"
            )));
        }
        for extension in PaxExtensions::new(&text) {
            let extension =
                extension.map_err(|_| refused("the description of an entry cannot be read"))?;
            match extension.key_bytes() {
                b"path" => described.path = Some(extension.value_bytes().to_vec()),
                b"linkpath" => described.link = Some(extension.value_bytes().to_vec()),
                b"size" => {
                    let size = String::from_utf8_lossy(extension.value_bytes()).into_owned();
                    described.more.insert("size", size);
                }
                key if key.starts_with(b"GNU.sparse") => {
                    described.more.insert("sparse", String::new());
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn entry<R: Read>(
        &mut self,
        entry: &mut Entry<'_, R>,
        kind: EntryType,
        described: Described,
    ) -> Result<()> {
        let header = entry.header();
        let name = match described.path {
            Some(path) => path,
            None => header.path_bytes().into_owned(),
        };
        let shown = String::from_utf8_lossy(&name).into_owned();
        let refuse = |problem: &str| refused(format!("{shown:?} {problem}"));
        self.done.entries += 1;
        if self.done.entries > self.limits.entries {
            return Err(self.too_many());
        }
        let path = FilePath::from_bytes(&name)
            .map_err(|problem| refuse(&format!("cannot be unpacked: {problem}")))?;
        if described.more.contains_key("sparse") {
            return Err(refuse("is a sparse entry: pack it without --sparse"));
        }
        let size = entry.size();
        if described
            .more
            .get("size")
            .is_some_and(|it| *it != size.to_string())
        {
            return Err(refuse("is too large"));
        }
        if path.is_workspace() {
            return match kind {
                EntryType::Directory => Ok(()),
                _ => Err(refuse("has no name")),
            };
        }
        let link = described
            .link
            .or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
        let mode = header.mode().unwrap_or(0o644);
        match kind {
            EntryType::Directory => {
                let made = self.folder.make(path.as_path());
                made.map(drop).map_err(|error| FilesError::of(error, &path))
            }
            EntryType::Regular | EntryType::Continuous => {
                self.done.bytes = self.done.bytes.saturating_add(size);
                if self.done.bytes > self.limits.bytes {
                    return Err(FilesError::TooLarge(self.limits.bytes).into());
                }
                self.file(entry, &path, mode)
            }
            EntryType::Symlink => {
                let target = link.unwrap_or_default();
                match stays_inside(&path, &target) {
                    true => self.symlink(&path, OsString::from_vec(target)),
                    false => Err(refuse(
                        "is a symbolic link that is absolute or leads out of the folder",
                    )),
                }
            }
            EntryType::Link => {
                let target = FilePath::from_bytes(&link.unwrap_or_default())
                    .and_then(FilePath::inside)
                    .map_err(|_| refuse("is another name of a file outside of the folder"))?;
                self.another_name(&path, &target)
            }
            EntryType::GNUSparse => Err(refuse("is a sparse entry: pack it without --sparse")),
            EntryType::Char | EntryType::Block => Err(refuse("is a device")),
            EntryType::Fifo => Err(refuse("is a FIFO")),
            _ => Err(refuse("is of a kind that is not known")),
        }
    }

    fn file<R: Read>(&self, entry: &mut Entry<'_, R>, path: &FilePath, mode: u32) -> Result<()> {
        let (staged, mut file) = self.staging.file().map_err(Error::internal)?;
        copy(entry, &mut file, &self.limits)?;
        let named = |error| FilesError::of(error, path);
        let (parent, name) = self.folder.parent_of(path.as_path(), true).map_err(named)?;
        let mode = mode & 0o777 | 0o600;
        let placed = staged.place_file(&file, &parent, &name, mode);
        placed.map(drop).map_err(named)
    }

    fn symlink(&self, path: &FilePath, target: OsString) -> Result<()> {
        let named = |error| FilesError::of(error, path);
        let (parent, name) = self.folder.parent_of(path.as_path(), true).map_err(named)?;
        let staged = self.staging.link(&target).map_err(named)?;
        staged.place(&parent, &name).map_err(named)
    }

    fn another_name(&self, path: &FilePath, target: &FilePath) -> Result<()> {
        let of_target = |error| FilesError::of(error, target);
        let named = |error| FilesError::of(error, path);
        let from = self.folder.parent_of(target.as_path(), false);
        let (from, file) = from.map_err(of_target)?;
        let staged = match self.staging.another_name(&from, &file) {
            // A link, a folder or anything else.
            Err(error)
                if matches!(
                    error.kind(),
                    Some(io::ErrorKind::InvalidInput | io::ErrorKind::PermissionDenied)
                ) =>
            {
                return Err(refused(format!(
                    "{:?} is another name of {:?}, which is no file",
                    path.to_string(),
                    target.to_string()
                )));
            }
            staged => staged.map_err(of_target)?,
        };
        let (parent, name) = self.folder.parent_of(path.as_path(), true).map_err(named)?;
        staged.place(&parent, &name).map_err(named)
    }
}

/// Copies a file's content. A disk that is full is not the archive's fault.
fn copy(from: &mut impl Read, to: &mut impl io::Write, limits: &UploadLimits) -> Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => to.write_all(&buffer[..read]).map_err(Error::internal)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error, limits)),
        }
    }
}

/// Whether a symbolic link leads to something inside, as far as its own text says.
fn stays_inside(link: &FilePath, target: &[u8]) -> bool {
    if target.is_empty() || target.starts_with(b"/") || target.contains(&0) {
        return false;
    }
    // How many folders are above what the link leads to.
    let mut depth = link.as_path().components().count().saturating_sub(1);
    for name in target.split(|byte| *byte == b'/') {
        match OsStr::from_bytes(name).as_encoded_bytes() {
            b"" | b"." => {}
            b".." => match depth.checked_sub(1) {
                Some(above) => depth = above,
                None => return false,
            },
            _ => depth += 1,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_lead_out_are_known_by_their_text() {
        let link = FilePath::from_bytes(b"a/b/link").unwrap();
        for (target, inside) in [
            ("x", true),
            ("../x", true),
            ("../../x", true),
            ("../../../x", false),
            ("../../a/../../x", false),
            ("./..//../a/.", true),
            ("/etc/passwd", false),
            ("", false),
            ("a\0b", false),
        ] {
            assert_eq!(stays_inside(&link, target.as_bytes()), inside, "{target:?}");
        }
    }
}
