//! Files of a session's workspace, and the paths that name them.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

use crate::Timestamp;

/// What programs can name by one path: `PATH_MAX` without the byte that ends it.
const LONGEST: usize = 4095;
/// What a file system takes as a name.
const LONGEST_NAME: usize = 255;

/// What an encoded path has as it is: the letters, digits and signs that RFC 3986 reserves for
/// nothing, and what stands between two names.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// A path inside a workspace: names, none of which is `.` or `..`, or none at all for the workspace
/// itself. A name may be any bytes but `/` and NUL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FilePath(Vec<u8>);

/// Why a text is no path inside a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PathProblem {
    /// It begins with a slash.
    #[error("the path should be relative to the workspace, without a slash at its beginning")]
    Absolute,
    /// It has `..`.
    #[error("the path should not contain `..`: it leads nowhere but down")]
    Parent,
    /// It has a NUL character.
    #[error("the path should not contain a NUL character")]
    Nul,
    /// It is too long.
    #[error("the path should have at most {LONGEST} bytes, and each name in it {LONGEST_NAME}")]
    Long,
    /// It names the workspace itself.
    #[error("the path should name something in the workspace")]
    Empty,
}

impl FilePath {
    /// Reads a path's bytes. Slashes and names `.` that change nothing are left out.
    ///
    /// # Errors
    /// It is no path inside a workspace.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PathProblem> {
        if bytes.starts_with(b"/") {
            return Err(PathProblem::Absolute);
        }
        if bytes.contains(&0) {
            return Err(PathProblem::Nul);
        }
        if bytes.len() > LONGEST {
            return Err(PathProblem::Long);
        }
        let mut path = Vec::with_capacity(bytes.len());
        for name in bytes.split(|byte| *byte == b'/') {
            match name {
                b"" | b"." => continue,
                b".." => return Err(PathProblem::Parent),
                name if name.len() > LONGEST_NAME => return Err(PathProblem::Long),
                _ => {}
            }
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name);
        }
        Ok(Self(path))
    }

    /// Reads a path as it stands in a URL. It is decoded once and as a whole, so `%2F` is the same
    /// as a slash: no name can contain one.
    ///
    /// # Errors
    /// It is no path inside a workspace.
    pub fn decode(encoded: &str) -> Result<Self, PathProblem> {
        let bytes: Vec<u8> = percent_decode_str(encoded).collect();
        Self::from_bytes(&bytes)
    }

    /// The path as a URL has it. [`FilePath::decode`] reads it back, whatever its bytes are.
    #[must_use]
    pub fn encode(&self) -> String {
        percent_encode(&self.0, ENCODED).to_string()
    }

    /// The path, unless it is the workspace itself.
    ///
    /// # Errors
    /// [`PathProblem::Empty`].
    pub fn inside(self) -> Result<Self, PathProblem> {
        match self.is_workspace() {
            true => Err(PathProblem::Empty),
            false => Ok(self),
        }
    }

    /// Whether it is the workspace itself.
    #[must_use]
    pub const fn is_workspace(&self) -> bool {
        self.0.is_empty()
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path for the system.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// Its last name; none for the workspace.
    #[must_use]
    pub fn name(&self) -> Option<&[u8]> {
        self.0
            .rsplit(|byte| *byte == b'/')
            .next()
            .filter(|name| !name.is_empty())
    }
}

/// For people: what is not UTF-8 is replaced.
impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// What something in a workspace is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Symlink,
    /// A FIFO, a socket or a device, which can be deleted and moved and nothing else.
    Other,
}

/// Something in a workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileEntry {
    /// Its path, relative to the workspace. Bytes that are not UTF-8 are replaced by `U+FFFD`.
    pub path: String,
    /// The same as URLs have it, behind `/sessions/{id}/files/`: percent-encoded bytes, exact
    /// whatever they are.
    pub encoded_path: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: FileKind,
    /// Its length in bytes; 0 for what is no file.
    pub size: u64,
    /// When it was changed last.
    pub modified_at: Timestamp,
    /// Its permissions, in octal, such as `0644`.
    pub mode: String,
    /// Whether it is a file that its owner may execute.
    pub executable: bool,
    /// Where a symbolic link leads, as it says itself; absent for what is none. Bytes that are not
    /// UTF-8 are replaced by `U+FFFD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub target: Option<String>,
    /// A file's version, as the header `ETag` has it; absent for what is no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub etag: Option<String>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_lead_down_and_nowhere_else() {
        for (encoded, expected) in [
            ("a/b.txt", "a/b.txt"),
            ("a//./b/", "a/b"),
            ("a%2Fb", "a/b"),
            ("%61", "a"),
            ("%252e%252e", "%2e%2e"),
            ("...", "..."),
            ("a%", "a%"),
            ("..a/b..", "..a/b.."),
            ("a\\..\\b", "a\\..\\b"),
            ("", ""),
            (".", ""),
        ] {
            let path = FilePath::decode(encoded).unwrap();
            assert_eq!(path.as_bytes(), expected.as_bytes(), "{encoded}");
        }
        for (encoded, problem) in [
            ("..", PathProblem::Parent),
            ("a/../b", PathProblem::Parent),
            ("%2e%2e/etc", PathProblem::Parent),
            (".%2e%2fetc", PathProblem::Parent),
            ("/etc/passwd", PathProblem::Absolute),
            ("%2Fetc%2Fpasswd", PathProblem::Absolute),
            ("a%00b", PathProblem::Nul),
            (&"a".repeat(256), PathProblem::Long),
            (&"a/".repeat(2048), PathProblem::Long),
        ] {
            assert_eq!(FilePath::decode(encoded), Err(problem), "{encoded}");
        }
        let workspace = FilePath::decode("./").unwrap();
        assert!(workspace.is_workspace() && workspace.name().is_none());
        assert_eq!(workspace.inside(), Err(PathProblem::Empty));
        let file = FilePath::decode("a/%FF").unwrap();
        assert_eq!(file.name(), Some(&b"\xff"[..]));
        assert_eq!(
            (file.encode(), file.to_string()),
            ("a/%FF".into(), "a/\u{fffd}".into())
        );
    }

    proptest! {
        #[test]
        fn what_is_read_reads_back_and_stays_inside(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(path) = FilePath::from_bytes(&bytes) {
                prop_assert_eq!(FilePath::decode(&path.encode()), Ok(path.clone()));
                let names = path.as_path().components();
                prop_assert!(names.into_iter().all(|it| matches!(it, std::path::Component::Normal(_))));
            }
        }
    }
}
