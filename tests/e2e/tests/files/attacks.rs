//! What must reach nothing outside of the workspace, as a table.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::Lab;
use crate::evil::Tar;
use crate::raw::{Raw, send};

/// What stands in every file outside that an attack is after.
const SECRET: &str = "the-secret-outside";

/// All that is below a folder, links not followed.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let (entry, path) = entry
                .map(|it| (it.file_type().unwrap(), it.path()))
                .unwrap();
            let content = match (entry.is_dir(), entry.is_symlink()) {
                (true, _) => {
                    folders.push(path.clone());
                    Vec::new()
                }
                (_, true) => std::fs::read_link(&path)
                    .unwrap()
                    .as_os_str()
                    .as_bytes()
                    .to_vec(),
                _ => std::fs::read(&path).unwrap(),
            };
            all.insert(path, content);
        }
    }
    all
}

pub(crate) struct Attacks {
    pub(crate) lab: Lab,
    pub(crate) outside: PathBuf,
    tried: usize,
}

impl Attacks {
    pub(crate) async fn new() -> Self {
        let lab = Lab::new().await;
        let outside = lab.server.data().parent().unwrap().join("outside");
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("secret"), SECRET).unwrap();
        std::fs::write(lab.workspace.with_file_name("home").join("secret"), SECRET).unwrap();
        let mut attacks = Self {
            lab,
            outside,
            tried: 0,
        };
        attacks.set_traps();
        attacks
    }

    fn set_traps(&mut self) {
        let (lab, outside) = (&self.lab, &self.outside);
        let up = Path::new("../../../../outside");
        lab.write("real/file", "inside");
        for (path, target) in [
            ("abs", outside.join("secret")),
            ("absdir", outside.clone()),
            ("up", up.join("secret")),
            ("updir", up.to_owned()),
            ("home", "../home".into()),
            ("session", "..".into()),
            ("proc", "/proc/self/root".into()),
            ("cwd", "/proc/self/cwd".into()),
            ("fd", "/proc/self/fd".into()),
            ("loop", "loop".into()),
            ("ping", "pong".into()),
            ("pong", "ping".into()),
            ("chain", "updir/secret".into()),
            ("real/twice", "../..".into()),
            ("real/inner", "../updir".into()),
        ] {
            let _ = std::fs::remove_file(lab.workspace.join(path));
            lab.link(target, path);
        }
        let at = |name: &str| lab.workspace.join(name);
        let _ = std::fs::remove_file(at("fifo"));
        let fifo = std::process::Command::new("mkfifo")
            .arg(at("fifo"))
            .status();
        assert!(fifo.unwrap().success());
        let _ = std::fs::remove_file(at("socket"));
        drop(std::os::unix::net::UnixListener::bind(at("socket")).unwrap());
        // Only where that is permitted.
        let _ = std::process::Command::new("mknod")
            .arg(at("device"))
            .args(["c", "1", "5"])
            .status();
    }

    fn outside(&self) -> Vec<BTreeMap<PathBuf, Vec<u8>>> {
        let session = self.lab.server.session_folder(&self.lab.session.id);
        let home = self.lab.workspace.with_file_name("home");
        let mut folders = vec![self.outside.clone(), home];
        folders.extend(["log", "events"].map(|name| session.join(name)));
        let mut all: Vec<_> = folders.iter().map(|it| snapshot(it)).collect();
        let own = std::fs::read_dir(session).unwrap();
        all.push(own.map(|it| (it.unwrap().path(), Vec::new())).collect());
        all
    }

    /// Tries one attack: it is answered as expected, without the secret, and nothing outside is
    /// another than before.
    pub(crate) async fn attempt(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        statuses: &[u16],
    ) -> Raw {
        let before = self.outside();
        let target = self.lab.at(path);
        let client = &self.lab.session.client;
        let reply = send(client, method, &target, headers, body).await;
        let about = format!("{method} {path}: {}", reply.head);
        assert!(statuses.contains(&reply.status), "{about}");
        let text = String::from_utf8_lossy(&reply.body);
        assert!(!text.contains(SECRET), "{about}: {text}");
        assert!(!text.contains("root:"), "{about}: {text}");
        if reply.status >= 400 {
            let envelope: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
            assert!(!envelope["detail"].is_null(), "{about}: {text}");
            assert!(reply.head.contains("x-request-id"), "{about}");
        }
        assert!(
            self.outside() == before,
            "{about}: something outside was changed"
        );
        self.tried += 1;
        self.set_traps();
        reply
    }
}

#[tokio::test]
async fn no_path_leads_out() {
    let mut attacks = Attacks::new().await;
    let long_name = "n".repeat(256);
    let long_path = "d/".repeat(2100);
    let paths: &[(&str, &[u16])] = &[
        ("..", &[400]),
        ("../home/secret", &[400]),
        ("../../../../outside/secret", &[400]),
        ("real/../../home/secret", &[400]),
        ("%2e%2e/home/secret", &[400]),
        ("%2E%2E%2Fhome%2Fsecret", &[400]),
        (".%2e/home/secret", &[400]),
        ("..%2f..%2f..%2f..%2foutside%2fsecret", &[400]),
        ("real%2f..%2f..%2fhome%2fsecret", &[400]),
        ("/etc/passwd", &[400]),
        ("%2fetc%2fpasswd", &[400]),
        ("//etc/passwd", &[400]),
        ("real/file%00", &[400]),
        ("%00", &[400]),
        (&long_name, &[400]),
        (&long_path, &[400]),
        ("%252e%252e%252fhome%252fsecret", &[404]),
        ("..%5c..%5coutside%5csecret", &[404]),
        ("..;/home/secret", &[404]),
        ("%c0%ae%c0%ae/home/secret", &[404]),
        ("%e0%80%ae%e0%80%ae/home/secret", &[404]),
        ("real/file/", &[200]),
        ("real/file/below", &[404]),
        ("abs", &[409]),
        ("absdir/secret", &[409]),
        ("up", &[409]),
        ("updir", &[409]),
        ("updir/secret", &[409]),
        ("home/secret", &[409]),
        ("session/home/secret", &[409]),
        ("real/twice/home/secret", &[409]),
        ("real/inner/secret", &[409]),
        ("chain", &[409]),
        ("proc/etc/passwd", &[409]),
        ("cwd", &[409]),
        ("fd/0", &[409]),
        ("loop", &[409]),
        ("ping", &[409]),
        ("fifo", &[409]),
        ("socket", &[409]),
        ("device", &[404, 409]),
    ];
    assert!(paths.len() >= 40);
    for (path, statuses) in paths {
        attacks.attempt("GET", path, &[], b"", statuses).await;
        attacks
            .attempt(
                "GET",
                path,
                &[("range", "bytes=0-9")],
                b"",
                &[206, statuses[0], *statuses.last().unwrap()],
            )
            .await;
    }
    // The same where a path is a parameter.
    for (path, statuses) in paths
        .iter()
        .filter(|(path, _)| !path.starts_with("real/file"))
    {
        let statuses: Vec<u16> = statuses.iter().copied().chain([422]).collect();
        for query in [
            "path=",
            "recursive=true&path=",
            "format=tar&path=",
            "format=tar.zst&path=",
        ] {
            let query = format!("?{query}{path}");
            attacks.attempt("GET", &query, &[], b"", &statuses).await;
        }
        // A link itself may be looked at, and says no more than where it leads.
        let query = format!("?stat=true&path={path}");
        let statuses: Vec<u16> = statuses.iter().copied().chain([200, 404]).collect();
        attacks.attempt("GET", &query, &[], b"", &statuses).await;
    }
    for query in [
        "?glob=..%2F**",
        "?glob=%2Fetc%2F*",
        "?glob=**",
        "?recursive=true",
        "?format=tar",
    ] {
        attacks.attempt("GET", query, &[], b"", &[200]).await;
    }
    assert!(attacks.tried > 250, "{}", attacks.tried);
}

#[tokio::test]
async fn nothing_outside_is_written_moved_or_deleted() {
    let mut attacks = Attacks::new().await;
    let refused: &[u16] = &[400, 404, 409];
    for path in [
        "../evil",
        "%2e%2e%2fevil",
        "../home/evil",
        "/tmp/evil",
        "%2ftmp%2fevil",
        "real/../../home/secret",
        "updir/evil",
        "updir/secret",
        "absdir/evil",
        "absdir/secret",
        "home/evil",
        "session/evil",
        "session/log/evil",
        "real/twice/evil",
        "real/inner/evil",
        "proc/tmp/evil",
        "fd/1",
        "loop/evil",
        "ping/evil",
        "evil%00",
        "chain/evil",
        "socket/evil",
    ] {
        attacks.attempt("PUT", path, &[], b"evil", refused).await;
        attacks.attempt("DELETE", path, &[], b"", refused).await;
        let body = json!({"to": "stolen"}).to_string();
        let kind = ("content-type", "application/json");
        attacks
            .attempt("POST", path, &[kind], body.as_bytes(), refused)
            .await;
        assert!(std::fs::symlink_metadata(attacks.lab.workspace.join("stolen")).is_err());
        let archive = Tar::new().file("evil", b"evil").finish();
        let tar = ("content-type", "application/x-tar");
        attacks
            .attempt("PUT", path, &[tar], &archive, refused)
            .await;
    }
    for to in [
        "../evil",
        "/tmp/evil",
        "updir/evil",
        "updir/secret",
        "absdir/evil",
        "home/evil",
        "session/evil",
        "real/inner/evil",
        "real/twice/evil",
        "evil\u{0}",
        "..",
        ".",
        "loop/x",
    ] {
        for overwrite in [false, true] {
            let body = json!({"to": to, "overwrite": overwrite}).to_string();
            attacks
                .attempt("POST", "real/file", &[], body.as_bytes(), &[400, 409, 422])
                .await;
        }
    }
    // What a link leads to stays; the link itself is replaced, moved, deleted.
    for path in [
        "abs", "up", "updir", "absdir", "home", "session", "proc", "loop", "chain", "fifo",
        "socket",
    ] {
        attacks.attempt("PUT", path, &[], b"evil", &[200]).await;
        attacks.attempt("DELETE", path, &[], b"", &[200]).await;
        let body = json!({"to": "moved"}).to_string();
        attacks
            .attempt("POST", path, &[], body.as_bytes(), &[200])
            .await;
        attacks.attempt("DELETE", "moved", &[], b"", &[200]).await;
    }
}
