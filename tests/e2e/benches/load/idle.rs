//! Many sessions that run and say nothing.

use aod_e2e::{DEADLINE, Process, eventually};
use futures::StreamExt as _;
use serde_json::json;

use crate::{row, server};

/// Sessions that are created at a time.
pub(crate) const AT_A_TIME: usize = 8;

pub(crate) async fn measure(count: usize) {
    let server = server().await;
    let agent = server.client().demo_agent().await;
    // What the first session makes the host load is no session's own.
    let body = json!({"agent_id": agent, "prompt": "hello"});
    server.client().create_session(&body).await.ended().await;
    let before = private_kib(server.process());
    let body = json!({"agent_id": agent, "prompt": "sleep 100000", "timeout": 3600});
    let sessions: Vec<_> = futures::stream::iter(0..count)
        .map(|_| async {
            let session = server.client().create_session(&body).await;
            session.wait_within("running", DEADLINE * 5).await;
            session
        })
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await;
    eventually("all supervisors run", DEADLINE, async || {
        (server.supervisors().len() == count).then_some(())
    })
    .await;
    let after = private_kib(server.process());
    let supervisors: Vec<_> = server
        .supervisors()
        .iter()
        .map(|tree| private_kib(tree.root))
        .collect();
    let most = supervisors.iter().max().unwrap();
    let mean = supervisors.iter().sum::<u64>() / supervisors.len() as u64;
    row(
        &format!(
            "{} sessions that run and say nothing: the host",
            sessions.len()
        ),
        &format!("{:.1} MiB", after as f64 / 1024.0),
        &format!("without them, {:.1} MiB", before as f64 / 1024.0),
        &format!(
            "{:.1} KiB a session",
            (after - before) as f64 / count as f64
        ),
        &format!(
            "≤ {:.1} MiB: 64 MiB + 32 KiB a session",
            64.0 + count as f64 / 32.0
        ),
    );
    row(
        "the same: a supervisor",
        &format!("{mean} KiB, {most} KiB at most"),
        "–",
        "",
        "≤ 1536 KiB",
    );
}

/// Resident memory that is the process's own. Its maps are closed to others, its counts are not.
pub(crate) fn private_kib(process: Process) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/statm", process.pid)).unwrap();
    let pages: Vec<u64> = text
        .split(' ')
        .map_while(|word| word.parse().ok())
        .collect();
    (pages[1] - pages[2]) * 4
}
