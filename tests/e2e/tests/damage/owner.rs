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

#[tokio::test]
async fn an_empty_database_beside_sessions_is_refused() {
    let mut server = Server::demo().await;
    let session = server.client().demo_session("hello").await;
    session.ended().await.completed();
    server.stop().await;
    let aside = server.data().join("aside");
    fs::create_dir(&aside).unwrap();
    for name in ["aod.db", "aod.db-wal", "aod.db-shm"] {
        let _ = fs::rename(server.data().join(name), aside.join(name));
    }
    for attempt in ["missing", "made by a command"] {
        let refused = server.start_another().await;
        for part in ["is empty", "1 session", "put the database back"] {
            assert!(
                refused.contains(part),
                "{attempt}: {part:?} is not in {refused:?}"
            );
        }
        server.run(&["user", "add", attempt.split(' ').next().unwrap()]);
    }
    for name in ["aod.db", "aod.db-wal", "aod.db-shm"] {
        let _ = fs::remove_file(server.data().join(name));
        let _ = fs::rename(aside.join(name), server.data().join(name));
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
