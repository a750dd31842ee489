//! A new identity for everything that is sealed.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use aod_e2e::{Server, Traced, TracedEnd, contains};
use serde_json::{Value, json};

use crate::{run, secret, server, succeed, trail};

/// All sealed values, as they are stored.
fn blobs(data: &Path) -> Vec<Vec<u8>> {
    let db = rusqlite::Connection::open(data.join("aod.db")).unwrap();
    db.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    let mut query = db.prepare("SELECT blob FROM sealed").unwrap();
    let found = query.query_map([], |row| row.get(0)).unwrap();
    found.collect::<Result<_, _>>().unwrap()
}

/// The values that are still on the disk somewhere, whole or in part: neither their keys nor their
/// ends are.
fn left(data: &Path, blobs: &[Vec<u8>]) -> usize {
    let mut files = Vec::new();
    let mut folders = vec![data.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            match entry.file_type().unwrap() {
                kind if kind.is_dir() => folders.push(entry.path()),
                kind if kind.is_file() => files.push(fs::read(entry.path()).unwrap()),
                _ => {}
            }
        }
    }
    let held = |part: &[u8]| files.iter().any(|file| contains(file, part));
    // Behind the format's own first line, which all share, stands what each is opened with.
    let parts = |blob: &Vec<u8>| held(&blob[32..72]) || held(&blob[blob.len() - 40..]);
    blobs.iter().filter(|blob| parts(blob)).count()
}

async fn filled() -> (Server, Vec<String>) {
    let server = server().await;
    let client = server.client();
    let values: Vec<String> = (0..3).map(|_| secret()).collect();
    for (index, value) in values.iter().enumerate() {
        let path = format!("/credentials/env:KEY_{index}");
        client
            .put(&path, &json!({"value": value}))
            .await
            .expect(200);
    }
    let body = json!({"name": "e", "env_vars": {"LONG": "x".repeat(20_000), "SHORT": "y"}});
    client.create_environment(&body).await;
    (server, values)
}

#[tokio::test]
async fn a_running_server_goes_on_with_a_new_identity() {
    let (mut server, values) = filled().await;
    let client = server.client().clone();
    let identity = server.data().join("vault/identity.txt");
    let old = (fs::read(&identity).unwrap(), blobs(&server.data()));
    let mac = fs::read(server.data().join("vault/mac.age")).unwrap();
    let before = succeed(server.command(&["vault", "export-recipient"]), "");
    assert!(before.starts_with("age1"), "{before}");

    // Meanwhile values are set and used.
    let rotate = server.command(&["vault", "rotate", "--json"]);
    let rotate = tokio::task::spawn_blocking(move || succeed(rotate, ""));
    let mut set = 0;
    while !rotate.is_finished() {
        let path = format!("/credentials/env:NEW_{}", set % 20);
        client
            .put(&path, &json!({"value": secret()}))
            .await
            .expect(200);
        set += 1;
    }
    assert!(set > 0);
    let done: Value = serde_json::from_str(&rotate.await.unwrap()).unwrap();
    assert!(done["resealed"].as_u64().unwrap() >= 5, "{done}");

    let status = succeed(server.command(&["vault", "status", "--json"]), "");
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(
        (&status["rotating"], &status["left"]),
        (&json!(false), &json!(0))
    );
    assert_eq!(status["recipient"], done["recipient"]);
    assert_ne!(status["recipient"], before.trim());
    succeed(server.command(&["vault", "verify"]), "");
    assert_eq!(
        left(&server.data(), &old.1),
        0,
        "the old identity opens something"
    );
    assert_eq!(
        left(&server.data(), &[mac]),
        0,
        "the old identity opens the key for hashes"
    );
    assert_ne!(fs::read(&identity).unwrap(), old.0);
    // The search finds what is there.
    let new = blobs(&server.data());
    assert_eq!(left(&server.data(), &new), new.len());

    // The server has not noticed more than it had to.
    let session = client
        .demo_session("$ printenv KEY_0 KEY_1 KEY_2 >keys")
        .await;
    session.ended().await.completed();
    let keys = server.workspace_file(&session.id, "keys").unwrap();
    assert_eq!(keys, format!("{}\n", values.join("\n")));
    let of_key: Vec<_> = trail(&client, 200)
        .await
        .iter()
        .filter(|it| it["credential"] == "env:KEY_0")
        .map(|it| it["action"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(of_key, ["use", "rotate", "create"]);

    // With the old identity in its place nothing opens.
    server.stop().await;
    fs::write(&identity, &old.0).unwrap();
    let verified = run(server.command(&["vault", "verify"]), "");
    assert!(!verified.status.success());
}

#[tokio::test]
async fn a_rotation_that_is_killed_at_any_write_leaves_a_vault_that_opens() {
    let (mut server, _) = filled().await;
    server.stop().await;
    let first = server.data();
    let before = blobs(&first);
    let work = tempfile::tempdir().unwrap();
    let mut nth = 1;
    loop {
        let data = work.path().join(nth.to_string());
        copy(&first, &data);
        let command = |arguments: &[&str]| {
            let mut command = server.command(&[&["vault"], arguments].concat());
            command.env("AOD_DATA_DIR", &data);
            command
        };
        let rotate = || -> Command { command(&["rotate", "--grace", "0s"]) };
        let mut traced = rotate();
        traced.stdout(Stdio::null()).stderr(Stdio::null());
        let ended = Traced::start(traced, nth).ended();
        let verified = succeed(command(&["verify"]), "");
        assert!(
            verified.contains("5 values open, 0 do not"),
            "killed at {nth}: {verified}"
        );
        if ended == TracedEnd::Killed {
            succeed(rotate(), "");
            succeed(command(&["verify"]), "");
        }
        assert_eq!(left(&data, &before), 0, "killed at {nth}");
        fs::remove_dir_all(&data).unwrap();
        if let TracedEnd::Exited { code, .. } = ended {
            assert_eq!(code, 0);
            break;
        }
        nth += 1;
    }
    // The identities' files, five values and the rewritten database take more than a few.
    assert!(nth > 20, "only {nth} writes were seen");
    eprintln!("killed at each of {} changes to files", nth - 1);
}

#[tokio::test]
async fn a_passphrase_protects_the_next_identity() {
    let (mut server, _) = filled().await;
    server.stop().await;
    let passphrase = server.data().join("../passphrase");
    fs::write(&passphrase, "correct horse battery staple\n").unwrap();
    let mut rotate = server.command(&["vault", "rotate", "--grace", "0s"]);
    rotate.env("AOD_VAULT_PASSPHRASE_FILE", &passphrase);
    succeed(rotate, "");
    let refused = run(server.command(&["vault", "verify"]), "");
    assert!(!refused.status.success());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("passphrase"), "{said}");
    let mut verify = server.command(&["vault", "verify"]);
    verify.env("AOD_VAULT_PASSPHRASE_FILE", &passphrase);
    succeed(verify, "");
}

#[tokio::test]
async fn a_vault_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let (mut server, _) = filled().await;
    server.stop().await;
    let identity = server.data().join("vault/identity.txt");
    fs::set_permissions(&identity, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = run(server.command(&["vault", "status"]), "");
    assert!(!refused.status.success());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("chmod 600"), "{said}");
}

/// Copies what a rotation changes: the database and the vault.
fn copy(from: &Path, to: &Path) {
    for folder in ["", "vault"] {
        let (from, to) = (from.join(folder), to.join(folder));
        fs::create_dir_all(&to).unwrap();
        fs::set_permissions(&to, fs::metadata(&from).unwrap().permissions()).unwrap();
        for entry in fs::read_dir(from).unwrap().flatten() {
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
    }
}
