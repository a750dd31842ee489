//! What a network of its own costs a sandbox: the whole life of a command that does nothing, with the
//! host's network, and with one of its own and the one way out, which nobody uses, without and with a
//! device for what is tried without the proxy: `cargo xtask bench start`.
//!
//! They take turns, so that they have the same machine, and what counts is the ratio of the medians.
//! `AOD_BENCH_STARTS` sets how often each is run (200). The sandboxes' init is the `aod-supervisor`
//! that is built beside this, or the one that `AOD_SUPERVISOR` names.

#![allow(clippy::unwrap_used, reason = "what fails here is told by its panic")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use aod_sandbox::{
    Bubblewrap, BubblewrapConfig, Egress, Network, RunOptions, SandboxDriver as _, SandboxSpec,
    Tunnel, run,
};

/// As many sockets as a turn has: its proxy, its model's gateway and its tools.
const SOCKETS: [&str; 3] = ["127.0.0.1:61080", "127.0.0.1:61081", "127.0.0.1:61082"];
/// These fill caches.
const FIRST: usize = 5;

fn main() {
    let rounds = std::env::var("AOD_BENCH_STARTS").map_or(200, |text| text.parse().unwrap());
    let (home, workspace) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let driver = Bubblewrap::new(BubblewrapConfig {
        init: Some(supervisor()),
        ..BubblewrapConfig::default()
    });
    let egress = |tunnel| {
        Network::Egress(Egress {
            listen: SOCKETS.map(|socket| socket.parse().unwrap()).into(),
            tunnel,
            program: "/nobody/connects".into(),
            config: Vec::new().into(),
        })
    };
    let mut kinds = [
        (Network::Host, Vec::new()),
        (Network::None, Vec::new()),
        (egress(None), Vec::new()),
        (egress(Some(Tunnel::new(true))), Vec::new()),
    ];
    for round in 0..FIRST + rounds {
        for (network, times) in &mut kinds {
            let argv = vec!["/bin/true".to_owned()];
            let mut spec = SandboxSpec::new(argv, home.path(), workspace.path());
            spec.network = network.clone();
            let launch = driver.launch(&spec).unwrap();
            let began = Instant::now();
            let ended = run(&launch, &RunOptions::default(), &mut |_| {}).unwrap();
            let took = began.elapsed();
            assert!(ended.success(), "{network:?}: {ended:?}");
            if round >= FIRST {
                times.push(took);
            }
        }
    }
    let [host, none, own, device] = kinds.map(|(_, times)| median(times));
    for (what, bar, time) in [
        ("without any network", "–", none),
        ("with a network of its own and its doors", "≤ 1.3×", own),
        ("with a device in it, besides", "≤ 1.3×", device),
    ] {
        println!(
            "| a sandbox from start to end, {what} | {} | with the host's network, {} | {:.2}× | {bar} |",
            millis(time),
            millis(host),
            time.as_secs_f64() / host.as_secs_f64()
        );
    }
}

fn supervisor() -> PathBuf {
    let beside = || {
        let own = std::env::current_exe().unwrap();
        let target = own.parent().and_then(std::path::Path::parent).unwrap();
        target.join("aod-supervisor")
    };
    std::env::var_os("AOD_SUPERVISOR").map_or_else(beside, PathBuf::from)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}
