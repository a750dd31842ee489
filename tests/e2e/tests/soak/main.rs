//! Good and hostile sessions on one server, for a while: `cargo xtask soak`.
//!
//! First one user's good sessions alone, then the same beside another user who does what nobody
//! should. No line of a good session may be lost; at the end nothing of the others may be left, and
//! the server must be as small as before. How much longer good sessions wait is judged in long runs
//! only: a short one has too few of them, and the machines that run it have other work.

#![allow(clippy::unwrap_used, reason = "what fails here is told by its panic")]
#![allow(
    clippy::cast_precision_loss,
    reason = "figures for people have few digits"
)]

mod connections;
mod good;
mod hostile;
mod leftovers;
mod verdict;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aod_e2e::{Runtimes, Server, ServerOptions, raise_open_files};

use self::good::Latencies;
use self::hostile::{Attack, Mallory};
use self::leftovers::{Footprint, Watch};
use self::verdict::Verdict;

/// Good sessions at a time.
const GOOD: usize = 2;
/// Hostile ones at a time.
const HOSTILE: usize = 3;
/// Runs of so many minutes and more judge latencies.
const JUDGED: u64 = 10;

fn minutes() -> u64 {
    std::env::var("AOD_SOAK_MINUTES").map_or(1, |text| text.parse().unwrap())
}

/// What sandboxes may use is little, so that a small machine can hold what the hostile ones take.
fn options() -> ServerOptions {
    ServerOptions::new(Runtimes::demo().with_raw())
        .set("AOD_LOG__LEVEL", "warn,aod=info")
        .set("AOD_LIMITS__SESSIONS_PER_USER", 60)
        .set("AOD_SANDBOX__MEMORY", "200MiB")
        .set("AOD_SANDBOX__PIDS", 200)
        .set("AOD_SANDBOX__FILE_SIZE", "200MiB")
        .set("AOD_TURN__GRACE", "1s")
        .set("AOD_TURN__STEP_OUTPUT", "4MiB")
        .set("AOD_TURN__STEP_TIMEOUT", "5s")
        .set("AOD_STREAM__STALL", "5s")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: `cargo xtask soak`"]
async fn soak() {
    raise_open_files();
    let minutes = minutes();
    let whole = Duration::from_secs(minutes * 60);
    let server = Server::start(options()).await;
    let watch = Watch::start(&server);
    // What is made once and stays, such as pools of threads and compiled code, is there after this.
    good_sessions(&server, whole / 12).await;
    hostile_sessions(&server, Duration::from_secs(1)).await;
    leftovers::settled(&server).await;
    let baseline = good_sessions(&server, whole / 4).await;
    leftovers::settled(&server).await;
    let before = Footprint::of(&server);
    let (mixed, hostile) = tokio::join!(
        good_sessions(&server, whole * 2 / 3),
        hostile_sessions(&server, whole * 2 / 3)
    );
    leftovers::settled(&server).await;
    let after = Footprint::settling(&server, &before).await;
    let survivors = watch.survivors();
    let verdict = Verdict {
        baseline,
        mixed,
        hostile,
        before,
        after,
        zombies: leftovers::zombies(&server),
        survivors,
    };
    println!("{}", verdict.table());
    let faults = verdict.faults(minutes >= JUDGED);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Runs good sessions until the time is over; panics where one loses anything.
async fn good_sessions(server: &Server, time: Duration) -> Latencies {
    let client = server.client();
    let end = tokio::time::Instant::now() + time;
    let agent = raw_agent(client).await;
    let workers = (0..GOOD).map(|_| good::work(client.clone(), agent.clone(), end));
    let mut all = Latencies::default();
    for one in futures::future::join_all(workers).await {
        all.add(one);
    }
    all
}

/// Runs hostile sessions until the time is over, all kinds in turn and each at least once.
async fn hostile_sessions(server: &Server, time: Duration) -> Vec<Attack> {
    static ADDED: AtomicBool = AtomicBool::new(false);
    static TOKEN: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    if !ADDED.swap(true, Ordering::SeqCst) {
        let token = server.add_user("mallory").token().unwrap().to_owned();
        TOKEN.set(token).unwrap();
    }
    let client = aod_e2e::Client::new(server.client().base(), TOKEN.get().map(String::as_str));
    let agent = raw_agent(&client).await;
    let mallory = Arc::new(Mallory::new(client, agent));
    let end = tokio::time::Instant::now() + time;
    let workers = (0..HOSTILE).map(|_| mallory.clone().work(end));
    futures::future::join_all(workers).await;
    mallory.attacks()
}

async fn raw_agent(client: &aod_e2e::Client) -> String {
    let body = serde_json::json!({
        "name": "raw", "runtime": "raw", "model": aod_e2e::DEMO_MODEL,
    });
    client.create_agent(&body).await
}
