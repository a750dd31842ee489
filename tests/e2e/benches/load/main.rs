//! What the whole server does under load: `cargo xtask bench`, or, of one part only,
//! `cargo bench --workspace --bench load -- replay`.
//!
//! Everything is a ratio within one run; each part prints the rows of a Markdown table, which
//! `cargo xtask bench` gathers. `AOD_BENCH_MIB` (1024), `AOD_BENCH_SESSIONS` (1000) and
//! `AOD_BENCH_SUBSCRIBERS` (1000) say how much load.

#![allow(clippy::unwrap_used, reason = "what fails here is told by its panic")]
#![allow(
    clippy::cast_precision_loss,
    reason = "figures for people have few digits"
)]

mod arrival;
mod at_rest;
mod clis;
mod deltas;
mod dialogue;
mod fan_out;
mod first_output;
mod idle;
mod latency;
mod replay;
mod warm;

use std::time::Duration;

use aod_e2e::{Process, Runtimes, Server, ServerOptions};

#[tokio::main]
async fn main() {
    // Cargo passes `--bench`; what else is given chooses parts.
    let chosen: Vec<_> = std::env::args()
        .skip(1)
        .filter(|it| !it.starts_with('-'))
        .collect();
    let wanted = |part: &str| chosen.is_empty() || chosen.iter().any(|it| it == part);
    raise_limits();
    if wanted("first-output") {
        first_output::measure().await;
    }
    if wanted("images") {
        first_output::measure_images().await;
    }
    if wanted("warm") {
        warm::measure().await;
    }
    if wanted("deltas") {
        deltas::measure().await;
    }
    if wanted("latency") {
        latency::measure().await;
    }
    if wanted("at-rest") {
        at_rest::measure(100).await;
    }
    if wanted("replay") {
        replay::measure(amount("AOD_BENCH_MIB", 1024)).await;
    }
    if wanted("fan-out") {
        fan_out::measure(amount("AOD_BENCH_SUBSCRIBERS", 1000)).await;
    }
    if wanted("idle") {
        idle::measure(amount("AOD_BENCH_SESSIONS", 1000)).await;
    }
}

fn amount(name: &str, otherwise: usize) -> usize {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect(name))
}

/// A server as users run it: the tests' own logs tell more, which is not free.
fn options(runtimes: Runtimes) -> ServerOptions {
    ServerOptions::new(runtimes).set("AOD_LOG__LEVEL", "info")
}

/// A server for many sessions of one user.
async fn server() -> Server {
    let options = options(Runtimes::demo())
        .set("AOD_LOG__LEVEL", "warn,aod=info")
        .set("AOD_LIMITS__SESSIONS_PER_USER", 100_000)
        .set("AOD_ADMISSION__MAX_RUNNING", 100_000);
    Server::start(options).await
}

/// One row of the table: what, the figure, its baseline, the ratio, the bar.
fn row(what: &str, measured: &str, baseline: &str, ratio: &str, bar: &str) {
    println!("| {what} | {measured} | {baseline} | {ratio} | {bar} |");
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// Seconds of processor time that a process has used so far.
fn processor_time(process: Process) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid)).unwrap();
    let fields: Vec<_> = stat[stat.rfind(')').unwrap() + 1..]
        .split_whitespace()
        .collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / rustix::param::clock_ticks_per_second() as f64
}

/// Thousands of connections need as many descriptors, here and in the server.
fn raise_limits() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).unwrap();
}
