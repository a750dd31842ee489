//! Many conversations whose agents wait for the next prompt.

use aod_e2e::{DEADLINE, Runtimes, Server, eventually, repository};
use futures::StreamExt as _;
use serde_json::json;

use crate::idle::{AT_A_TIME, private_kib};
use crate::{options, row};

/// What the agent is to say to its prompt.
const PROMPT: &str = r#"{"say":"done","text":"ready"}"#;

pub(crate) async fn measure(count: usize) {
    let component = repository().join("tests/conversant/conversant.wasm");
    let runtimes = Runtimes::default().with("conversant", &component, "");
    let options = options(runtimes)
        .set("AOD_LIVE__IDLE", "3600s")
        .set("AOD_LIMITS__SESSIONS_PER_USER", 100_000)
        .set("AOD_ADMISSION__MAX_RUNNING", 100_000);
    let server = Server::start(options).await;
    let agent = json!({"name": "a", "runtime": "conversant", "model": "test/conversant"});
    let agent = server.client().create_agent(&agent).await;
    let body = json!({"agent_id": agent, "prompt": PROMPT});
    futures::stream::iter(0..count)
        .map(|_| async {
            let session = server.client().create_session(&body).await;
            session.wait_within("completed", DEADLINE * 5).await;
        })
        .buffer_unordered(AT_A_TIME)
        .collect::<Vec<()>>()
        .await;
    let trees = eventually("all processes rest", DEADLINE, async || {
        let trees = server.supervisors();
        (trees.len() == count).then_some(trees)
    })
    .await;
    let host = private_kib(server.process());
    let supervisors: u64 = trees.iter().map(|tree| private_kib(tree.root)).sum();
    let bar = 64.0 + 300.0 * count as f64 / 1024.0;
    row(
        &format!("{count} conversations at rest: the host and their supervisors"),
        &format!("{:.1} MiB", (host + supervisors) as f64 / 1024.0),
        "–",
        &format!(
            "the host {:.1} MiB, a supervisor {} KiB",
            host as f64 / 1024.0,
            supervisors / count as u64
        ),
        &format!("≤ {bar:.1} MiB: 64 MiB + 300 KiB each"),
    );
}
