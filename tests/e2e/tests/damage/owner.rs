//! One server has a data folder, and it is the folder that its database belongs to.

use std::fs;

use aod_e2e::{Runtimes, Server, ServerOptions};
use serde_json::json;

#[tokio::test]
async fn a_second_server_is_told_who_has_the_data_folder() {
    let mut server = Server::demo().await;
    let session = server.client().demo_session("hello").await;
    let refused = server.start_another().await;
    let pid = server.process().pid.to_string();
    let base = server.client().base().to_owned();
    for part in ["in use by another server", &pid, &base, "since 20"] {
        assert!(refused.contains(part), "{part:?} is not in {refused:?}");
    }
    // Commands work beside a running server, and the first one goes on as if nothing had been.
    let _ = server.add_user("other");
    server.run(&["vault", "verify"]);
    session.ended().await.completed();
    server.kill_and_start_again().await;
    session.at(server.client()).ended().await.completed();
    server.stop().await;
    server.start_again().await;
}

#[tokio::test]
async fn a_vault_that_is_gone_is_not_replaced_by_a_new_one() {
    let mut server = Server::demo().await;
    let environment = json!({"name": "e", "env_vars": {"KEY": "sealed-value-of-this"}});
    let client = server.client();
    let environment = client.create_environment(&environment).await;
    server.kill();
    let (vault, aside) = (server.data().join("vault"), server.data().join("aside"));
    fs::rename(&vault, &aside).unwrap();
    let refused = server.start_another().await;
    for part in [
        "identity.txt",
        "is missing",
        "AOD_VAULT_IDENTITY_FILE",
        "--discard-broken",
    ] {
        assert!(refused.contains(part), "{part:?} is not in {refused:?}");
    }
    assert!(!vault.join("identity.txt").exists());
    let verify = server.command(&["vault", "verify"]).output().unwrap();
    assert!(!verify.status.success());
    assert!(!vault.join("identity.txt").exists());
    let _ = fs::remove_dir_all(&vault);
    fs::rename(&aside, &vault).unwrap();
    server.start_again().await;
    let agent = server.client().demo_agent().await;
    let body = json!({"agent_id": agent, "prompt": "$ test -n \"$KEY\" && echo has-it", "environment_id": environment});
    let session = server.client().create_session(&body).await;
    assert!(
        session
            .ended()
            .await
            .completed()
            .stdout()
            .contains("has-it")
    );
    // Who has no copy of it begins anew, and says so.
    server.kill();
    fs::remove_dir_all(&vault).unwrap();
    let said = server.run(&["vault", "rotate", "--discard-broken", "--grace", "0s"]);
    assert!(said.contains("deleted"), "{said}");
    server.start_again().await;
    server.client().get("/health").await.expect(200);
}

const DATABASE: [&str; 5] = [
    "aod.db",
    "aod.db-wal",
    "aod.db-shm",
    "aod.db-reserve",
    "aod.db-opening",
];

/// Those of the database's files that there are.
fn database(server: &Server) -> Vec<&'static str> {
    let is_there = |name: &&str| server.data().join(name).exists();
    DATABASE.into_iter().filter(is_there).collect()
}

#[tokio::test]
async fn an_empty_database_beside_sessions_is_refused_and_spoils_nothing() {
    let mut server = Server::demo().await;
    let session = server.client().demo_session("hello").await;
    session.ended().await.completed();
    server.stop().await;
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("aod.db");
    fs::copy(server.data().join("aod.db"), &kept).unwrap();
    let blank = {
        // What a release made that did not look before it made one.
        let folder = tempfile::tempdir().unwrap();
        let mut made = server.command(&["user", "add", "blank"]);
        let made = made.env("AOD_DATA_DIR", folder.path()).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        fs::read(folder.path().join("aod.db")).unwrap()
    };
    for before in [None, Some(&[][..]), Some(&blank[..])] {
        for name in DATABASE {
            let _ = fs::remove_file(server.data().join(name));
        }
        if let Some(content) = before {
            fs::write(server.data().join("aod.db"), content).unwrap();
        }
        let mut refusals = vec![server.start_another().await];
        for command in [
            &["token", "create", "t"][..],
            &["user", "add", "u"],
            &["user", "ls"],
            &["vault", "status"],
        ] {
            let refused = server.command(command).output().unwrap();
            assert!(!refused.status.success(), "{command:?}");
            refusals.push(String::from_utf8(refused.stderr).unwrap());
        }
        for refused in refusals {
            for part in ["is empty", "1 session", "put the database back"] {
                assert!(refused.contains(part), "{part:?} is not in {refused:?}");
            }
        }
        // Nothing is in the way of what the message advises.
        let left = database(&server);
        assert!(!left.contains(&"aod.db-wal"), "{left:?}");
        assert_eq!(left.contains(&"aod.db"), before.is_some());
        fs::copy(&kept, server.data().join("aod.db")).unwrap();
        server.start_again().await;
        session.at(server.client()).ended().await.completed();
        server.stop().await;
    }
}

#[tokio::test]
async fn a_database_that_is_put_back_is_not_hidden_by_the_log_that_was_left() {
    let mut server = Server::demo().await;
    let session = server.client().demo_session("hello").await;
    session.ended().await.completed();
    server.stop().await;
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("aod.db");
    fs::copy(server.data().join("aod.db"), &kept).unwrap();
    server.start_again().await;
    let _ = server.add_user("other");
    server.kill();
    assert!(database(&server).contains(&"aod.db-wal"));
    fs::copy(&kept, server.data().join("aod.db")).unwrap();
    for _ in 0..2 {
        let refused = server.start_another().await;
        assert!(refused.contains("aod.db-wal"), "{refused}");
        let token = server.command(&["token", "create", "t"]).output().unwrap();
        assert!(!token.status.success(), "{token:?}");
    }
    for name in ["aod.db-wal", "aod.db-shm"] {
        let _ = fs::remove_file(server.data().join(name));
    }
    server.start_again().await;
    session.at(server.client()).ended().await.completed();
}

#[tokio::test]
async fn a_data_folder_that_is_read_only_is_refused_and_nothing_is_lost() {
    let options = ServerOptions::new(Runtimes::demo());
    let Some(options) = options.on_a_disk_of("size=200m") else {
        return eprintln!("mounting is not permitted here");
    };
    let mut server = Server::start(options).await;
    let session = server.client().demo_session("hello").await;
    session.ended().await.completed();
    server.stop().await;
    let disk = server.data().parent().unwrap().to_owned();
    let remount = |how: &str| {
        let mount = std::process::Command::new("mount")
            .args(["-o", &format!("remount,{how}")])
            .arg(&disk)
            .status();
        assert!(mount.unwrap().success(), "remount,{how}");
    };
    remount("ro");
    let refused = server.start_another().await;
    assert!(refused.contains("Read-only file system"), "{refused}");
    remount("rw");
    server.start_again().await;
    session.at(server.client()).ended().await.completed();
}
