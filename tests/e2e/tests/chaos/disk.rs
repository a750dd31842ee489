//! A disk that fills up.

use std::io::Write as _;

use aod_e2e::{DEADLINE, Gate, Runtimes, Server, ServerOptions, eventually};
use serde_json::json;

/// Room for the store, the adapters and some megabytes of output.
const SIZE: &str = "size=48m";

#[tokio::test]
async fn a_full_disk_fails_turns_and_loses_nothing() {
    let options = ServerOptions::new(Runtimes::demo());
    let Some(options) = options.on_a_disk_of(SIZE) else {
        println!("skipped: mounting a tmpfs is not permitted here");
        return;
    };
    let mut server = Server::start(options).await;
    let quiet = server.client().demo_session("before").await;
    let before = quiet.ended().await.completed().events;

    let body = json!({"name": "flood", "runtime": "demo", "model": aod_e2e::DEMO_MODEL});
    let agent = server.client().create_agent(&body).await;
    let flood = server
        .client()
        .create_session(&json!({"agent_id": agent, "prompt": "bytes 100000000"}))
        .await;
    let ended = flood.ended().await;
    let error = ended.failed();
    assert!(error.contains("disk") || error.contains("space"), "{error}");
    assert!(ended.session["resumable"] == true, "{:#}", ended.session);
    // What was written before is there, each byte in its place.
    let said = ended.stdout();
    assert!(said.len() > 1_000_000, "{} bytes", said.len());

    // With the disk still full: reads work, and nothing is broken.
    assert_eq!(quiet.ended().await.events, before);
    server.client().get("/sessions").await.expect(200);

    // Room again: delete the session, and everything goes on, also after a restart.
    server
        .client()
        .delete(&format!("/sessions/{}/delete", flood.id))
        .await
        .expect(200);
    eventually("there is room again", DEADLINE, async || {
        let folder = server.session_folder(&flood.id);
        (!folder.exists()).then_some(())
    })
    .await;
    server.kill_and_start_again().await;
    let quiet = quiet.at(server.client());
    quiet.prompt("after").await;
    let events = quiet.ended().await.completed().events;
    assert_eq!(events[..before.len()], before);
}

/// Not a byte is left when the turn ends: its end is recorded all the same, and at once.
#[tokio::test]
async fn a_turn_that_ends_on_a_full_disk_is_in_its_final_state() {
    let options = ServerOptions::new(Runtimes::demo());
    let Some(options) = options.on_a_disk_of(SIZE) else {
        println!("skipped: mounting a tmpfs is not permitted here");
        return;
    };
    let server = Server::start(options).await;
    let gate = Gate::new("gate");
    let prompt = format!("{}\nbytes 200000", gate.step());
    let session = server.client().demo_session(&prompt).await;
    gate.reached(&server, &session).await;
    let ballast = server.data().join("ballast");
    let full = fill(&ballast).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let body = json!({"name": "x", "runtime": "demo", "model": aod_e2e::DEMO_MODEL});
    // The database's write-ahead log may have room of its own left.
    let mut reply = server.client().post("/agents", &body).await;
    for _ in 0..200 {
        if reply.status == 507 {
            break;
        }
        reply = server.client().post("/agents", &body).await;
    }
    let refused = reply.refusal(507);
    assert!(refused.contains("disk is full"), "{refused}");

    gate.open(&server, &session);
    let error = session.ended().await.failed();
    assert!(error.contains("disk") || error.contains("space"), "{error}");
    std::fs::remove_file(ballast).unwrap();
    session.prompt("after").await;
    session.ended().await.completed();
}

fn fill(path: &std::path::Path) -> std::io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    for size in [1 << 20, 1 << 12, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
    file.write_all(&[0])
}
