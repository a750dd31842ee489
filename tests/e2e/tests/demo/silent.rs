//! What sessions cost that run and say nothing.

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
    let (mut memory, mut files) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        for _ in 0..SESSIONS {
            client.raw_session("exec sleep 1000").await;
        }
        all_run(round * SESSIONS).await;
        memory.push(private_kib(host));
        files.push(open_files(host));
    }
    // The first ones fill caches and pools, and any may happen to need one more thread: what
    // sessions cost is what no round comes without.
    let files = least_growth(&files);
    let memory = least_growth(&memory);
    println!("{SESSIONS} silent sessions: {memory} KiB, {files} open files");
    // The log and the events; not one for each thing that was once looked at.
    assert!(files <= 2 * SESSIONS, "{files} open files");
    // Below one instance of an adapter each, with room for what an allocator keeps.
    assert!(memory <= 64 * SESSIONS, "{memory} KiB");
}

fn least_growth(values: &[usize]) -> usize {
    let growths = values
        .windows(2)
        .map(|pair| pair[1].saturating_sub(pair[0]));
    growths.min().unwrap()
}
