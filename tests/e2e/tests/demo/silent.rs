//! What sessions cost that run and say nothing.

use std::time::{Duration, Instant};

use aod_e2e::{DEADLINE, Runtimes, Server, ServerOptions, eventually};

const ROUNDS: usize = 4;
const SESSIONS: usize = 12;

/// Memory of its own, in KiB.
fn private_kib(pid: i32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    line.unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

fn open_files(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .count()
}

#[tokio::test]
async fn a_silent_session_costs_little() {
    let options = ServerOptions::new(Runtimes::default().with_raw())
        .set("AOD_LIMITS__SESSIONS_PER_USER", 1000)
        .set("AOD_ADMISSION__MAX_RUNNING", 1000);
    let server = Server::start(options).await;
    let client = server.client();
    let host = server.process().pid;
    let all_run = async |count: usize| {
        eventually("all run", DEADLINE * 2, async || {
            let running = client.get("/sessions?status=running&limit=200").await;
            let running = running.expect(200)["data"].as_array().unwrap().len();
            (running == count && server.supervisors().len() == count).then_some(())
        })
        .await;
    };
    let measured = || (private_kib(host), open_files(host));
    let mut first = None;
    for round in 1..=ROUNDS {
        for _ in 0..SESSIONS {
            client.raw_session("exec sleep 1000").await;
        }
        all_run(round * SESSIONS).await;
        // These fill caches and pools.
        first.get_or_insert_with(measured);
    }
    let (memory, files) = first.unwrap();
    let more = (ROUNDS - 1) * SESSIONS;
    // What their beginnings took is given back: threads that had work for a moment end after some
    // seconds, and with them what they held. What sessions cost is what stays.
    let deadline = Instant::now() + DEADLINE * 2;
    loop {
        let now = measured();
        let (memory, files) = (now.0.saturating_sub(memory), now.1.saturating_sub(files));
        // The log and the events; not one for each thing that was once looked at. And below one
        // instance of an adapter each, with room for what an allocator keeps.
        if files <= 2 * more && memory <= 64 * more {
            println!("{more} silent sessions: {memory} KiB, {files} open files");
            return;
        }
        let text = "so much stays of silent sessions";
        assert!(
            Instant::now() < deadline,
            "{text}: {memory} KiB, {files} open files of {more}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
