//! Archives that must reach nothing outside of the folder, as a table.

use std::os::unix::ffi::OsStrExt as _;

use crate::archives::compressed;
use crate::attacks::Attacks;

/// An archive, with whatever in its headers.
pub(crate) struct Tar(Vec<u8>);

impl Tar {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    /// An entry as it is written.
    pub(crate) fn entry(
        &mut self,
        kind: u8,
        name: &[u8],
        link: &[u8],
        content: &[u8],
    ) -> &mut Self {
        let mut header = tar::Header::new_gnu();
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name);
        old.linkname[..link.len()].copy_from_slice(link);
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_size(content.len() as u64);
        header.set_mode(0o4777);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(&mut self, name: &str, content: &[u8]) -> &mut Self {
        self.entry(b'0', name.as_bytes(), b"", content)
    }

    /// What describes the entry behind it.
    pub(crate) fn described(&mut self, kind: u8, content: &[u8]) -> &mut Self {
        self.entry(kind, b"description", b"", content)
    }

    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let mut whole = std::mem::take(&mut self.0);
        whole.extend_from_slice(&[0; 1024]);
        whole
    }
}

/// A record of a pax header.
fn pax(key: &str, value: &[u8]) -> Vec<u8> {
    let mut length = key.len() + value.len() + 3;
    while length != key.len() + value.len() + 3 + length.to_string().len() {
        length = key.len() + value.len() + 3 + length.to_string().len();
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

#[tokio::test]
async fn no_archive_reaches_out() {
    let mut attacks = Attacks::new().await;
    let secret = attacks.outside.join("secret");
    let secret = secret.as_os_str().as_bytes();
    let archive = |kind: u8, name: &[u8], link: &[u8]| {
        let content: &[u8] = if kind == b'0' { b"evil" } else { b"" };
        Tar::new().entry(kind, name, link, content).finish()
    };
    let described = |kind: u8, content: &[u8], then: u8| {
        Tar::new()
            .described(kind, content)
            .entry(then, b"x", b"real/file", b"")
            .finish()
    };
    let through = |link: &[u8], kind: u8| {
        Tar::new()
            .entry(b'2', b"way", link, b"")
            .entry(
                kind,
                b"way/secret",
                b"x",
                if kind == b'0' { b"evil" } else { b"" },
            )
            .finish()
    };
    let archives: Vec<(&str, Vec<u8>)> = vec![
        ("a name that is absolute", archive(b'0', b"/tmp/evil", b"")),
        ("a name that leads up", archive(b'0', b"../evil", b"")),
        (
            "a name that leads up later",
            archive(b'0', b"a/../../evil", b""),
        ),
        ("a folder that leads up", archive(b'5', b"../evil/", b"")),
        (
            "a folder that is absolute",
            archive(b'5', b"/tmp/evil/", b""),
        ),
        ("a name through a link", archive(b'0', b"updir/evil", b"")),
        ("a file through a link", archive(b'0', b"updir/secret", b"")),
        (
            "a name through an absolute link",
            archive(b'0', b"absdir/evil", b""),
        ),
        (
            "a name through the session",
            archive(b'0', b"session/log/evil", b""),
        ),
        (
            "a folder through a link",
            archive(b'5', b"updir/evil/", b""),
        ),
        ("an absolute link", archive(b'2', b"link", b"/etc/passwd")),
        ("a link that leads up", archive(b'2', b"link", b"../x")),
        (
            "a link that leads up from below",
            archive(b'2', b"a/link", b"../../x"),
        ),
        ("a link without a target", archive(b'2', b"link", b"")),
        ("an absolute hard link", archive(b'1', b"link", secret)),
        (
            "a hard link that leads up",
            archive(b'1', b"link", b"../home/secret"),
        ),
        (
            "a hard link through a link",
            archive(b'1', b"link", b"updir/secret"),
        ),
        ("a hard link to a link", archive(b'1', b"link", b"up")),
        ("a hard link to a FIFO", archive(b'1', b"link", b"fifo")),
        ("a hard link to a folder", archive(b'1', b"link", b"real")),
        ("a character device", archive(b'3', b"null", b"")),
        ("a block device", archive(b'4', b"disk", b"")),
        ("a FIFO", archive(b'6', b"pipe", b"")),
        ("a sparse file", archive(b'S', b"sparse", b"")),
        ("an unknown kind", archive(b'Z', b"what", b"")),
        (
            "a long name that leads up",
            described(b'L', b"../evil\0", b'0'),
        ),
        (
            "a long name that is absolute",
            described(b'L', b"/tmp/evil\0", b'0'),
        ),
        (
            "a long link that leads up",
            described(b'K', b"../../evil\0", b'2'),
        ),
        (
            "a pax name that leads up",
            described(b'x', &pax("path", b"../evil"), b'0'),
        ),
        (
            "a pax name that is absolute",
            described(b'x', &pax("path", b"/tmp/evil"), b'0'),
        ),
        (
            "a pax name with a NUL",
            described(b'x', &pax("path", b"a\0b"), b'0'),
        ),
        (
            "a pax link that leads up",
            described(b'x', &pax("linkpath", b"../../evil"), b'2'),
        ),
        (
            "a pax size",
            described(b'x', &pax("size", b"99999999999"), b'0'),
        ),
        (
            "a pax sparse file",
            described(b'x', &pax("GNU.sparse.major", b"1"), b'0'),
        ),
        (
            "a pax header that is none",
            described(b'x', b"no records", b'0'),
        ),
        ("a link, and a file through it", through(b"real", b'0')),
        ("a link, and a link through it", through(b"real", b'2')),
        ("no name", archive(b'0', b"", b"")),
        ("the folder itself as a file", archive(b'0', b".", b"")),
        (
            "a name that is too long",
            described(b'L', &[b"n".repeat(256), vec![0]].concat(), b'0'),
        ),
    ];
    assert!(archives.len() >= 40);
    let tar = ("content-type", "application/x-tar");
    for (what, archive) in &archives {
        eprintln!("{what}");
        let statuses = &[400, 404, 409, 422];
        attacks.attempt("PUT", "", &[tar], archive, statuses).await;
        let compressed = compressed(archive);
        attacks
            .attempt("PUT", "", &[tar], &compressed, statuses)
            .await;
    }
    for evil in ["/tmp/evil", "/tmp/stolen"] {
        assert!(std::fs::symlink_metadata(evil).is_err(), "{evil}");
    }
    // What has permissions beyond those of files loses them.
    let archive = Tar::new().file("set-user-id", b"x").finish();
    attacks.attempt("PUT", "", &[tar], &archive, &[200]).await;
    let mode = std::fs::metadata(attacks.lab.workspace.join("set-user-id")).unwrap();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o7777,
        0o777
    );
}
