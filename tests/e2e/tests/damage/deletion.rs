//! Deleting is decided at once, and done to its end whatever dies meanwhile.

use std::path::Path;
use std::time::Duration;

use aod_e2e::{DEADLINE, Runtimes, Server, ServerOptions, TracedEnd, eventually, within};

/// As many as took a while to delete.
const FILES: u32 = 150_000;

fn entries(folder: &Path) -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name()).collect()
}

async fn nothing_is_left(server: &Server) {
    eventually("nothing of it is left", DEADLINE * 3, async || {
        let folders = ["trash", "sessions", "removals"];
        let mut left = folders.iter().map(|name| server.data().join(name));
        left.all(|folder| entries(&folder).is_empty()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_host_killed_while_it_deletes_many_files_leaves_none() {
    let options = ServerOptions::new(Runtimes::demo());
    let in_memory = options.clone().on_a_disk_of("size=2g,nr_inodes=1m");
    let mut server = Server::start(in_memory.unwrap_or(options)).await;
    let script = format!("perl -e 'for (1..{FILES}) {{ open my $f, \">\", $_ or die }}'");
    let session = server.client().demo_session(&format!("$ {script}")).await;
    session.ended().await.completed();
    let path = format!("/sessions/{}", session.id);
    let delete = format!("{path}/delete");
    // Not waited for to its end: some milliseconds may or may not be enough for the answer.
    let client = server.client().clone();
    let asked = delete.clone();
    let request = tokio::spawn(async move {
        let request = client.request(reqwest::Method::DELETE, &asked);
        drop(request.send().await);
    });
    tokio::time::sleep(Duration::from_millis(150)).await;
    server.kill();
    request.await.unwrap();
    server.start_again().await;
    let reply = server.client().get(&path).await;
    if reply.status != 404 {
        // It came too late, and so changed nothing.
        assert!(
            server
                .session_files(&session.id)
                .join("workspace/1")
                .exists()
        );
        server.client().delete(&delete).await.expect(200);
        server.kill_and_start_again().await;
    }
    nothing_is_left(&server).await;
}

#[tokio::test]
async fn deleting_answers_at_once_however_much_there_is() {
    let options = ServerOptions::new(Runtimes::demo());
    let in_memory = options.clone().on_a_disk_of("size=2g,nr_inodes=1m");
    let server = Server::start(in_memory.unwrap_or(options)).await;
    let script = format!("perl -e 'for (1..{FILES}) {{ open my $f, \">\", $_ or die }}'");
    let session = server.client().demo_session(&format!("$ {script}")).await;
    session.ended().await.completed();
    let delete = format!("/sessions/{}/delete", session.id);
    server.client().delete(&delete).await.expect(200);
    let trash = server.data().join("trash");
    assert!(!entries(&trash).is_empty(), "it waited until all was gone");
    assert!(!server.session_folder(&session.id).exists());
    nothing_is_left(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_killed_at_any_step_of_a_deletion_leaves_all_or_nothing() {
    let mut server = Server::start(ServerOptions::new(Runtimes::demo())).await;
    let mut gone = 0;
    // From the last step backwards, until the request was not even heard.
    let (before, after) = {
        let session = server.client().demo_session("hello").await;
        session.ended().await.completed();
        server.kill();
        let idle = server.start_again_traced(usize::MAX).await;
        idle.terminate();
        let before = changes(idle).await;
        let traced = server.start_again_traced(usize::MAX).await;
        let delete = format!("/sessions/{}/delete", session.id);
        server.client().delete(&delete).await.expect(200);
        eventually("the trash is empty", DEADLINE, async || {
            entries(&server.data().join("trash"))
                .is_empty()
                .then_some(())
        })
        .await;
        traced.terminate();
        (before, changes(traced).await)
    };
    assert!(
        after > before + 3,
        "{after} changes, and {before} without it"
    );
    for point in before.saturating_sub(3)..after {
        server.start_again().await;
        let session = server.client().demo_session("hello").await;
        session.ended().await.completed();
        server.kill();
        let traced = server.start_again_traced(point + 1).await;
        let path = format!("/sessions/{}", session.id);
        let delete = format!("{path}/delete");
        if !traced.has_ended() {
            let request = server.client().request(reqwest::Method::DELETE, &delete);
            let _ = tokio::time::timeout(Duration::from_secs(20), request.send()).await;
            traced.terminate();
        }
        let _ = tokio::task::spawn_blocking(|| traced.ended())
            .await
            .unwrap();
        server.start_again().await;
        if server.client().get(&path).await.status == 200 {
            session.at(server.client()).ended().await.completed();
            server.client().delete(&delete).await.expect(200);
        } else {
            gone += 1;
        }
        nothing_is_left(&server).await;
        server.kill();
    }
    assert!(gone > 0, "no deletion was decided");
    server.start_again().await;
}

async fn changes(traced: aod_e2e::Traced) -> usize {
    let ended = tokio::task::spawn_blocking(|| traced.ended());
    match within("the server's end", DEADLINE, ended).await.unwrap() {
        TracedEnd::Exited { code: 0, changes } => changes,
        other => panic!("it did not end well: {other:?}"),
    }
}
