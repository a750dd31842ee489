//! What a network of its own costs a sandbox's start: the whole life of a command that does
//! nothing, with the host's network, without any, and with a way out that nobody uses, without and
//! with a device for what is tried without the proxy.
//!
//! `cargo bench -p aod-sandbox`. The four take turns, so that they have the same machine.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use aod_sandbox::{
    Bubblewrap, BubblewrapConfig, Egress, Network, RunOptions, SandboxDriver as _, SandboxSpec,
    Tunnel, run,
};

const ROUNDS: u32 = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (home, workspace) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let Some(init) = std::env::var_os("AOD_SUPERVISOR").map(PathBuf::from) else {
        println!(
            "start: AOD_SUPERVISOR should name the aod-supervisor program; nothing is measured"
        );
        return Ok(());
    };
    let driver = Bubblewrap::new(BubblewrapConfig {
        init: Some(init),
        ..BubblewrapConfig::default()
    });
    let egress = |tunnel| {
        let listen = vec!["127.0.0.1:61080".parse()?];
        Ok::<_, std::net::AddrParseError>(Network::Egress(Egress {
            listen,
            tunnel,
            program: "/nobody/connects".into(),
            config: Vec::new().into(),
        }))
    };
    let mut rows = [
        ("the host's network", Network::Host, Duration::ZERO),
        ("no network", Network::None, Duration::ZERO),
        ("a network of its own", egress(None)?, Duration::ZERO),
        (
            "and a device",
            egress(Some(Tunnel::new(true)))?,
            Duration::ZERO,
        ),
    ];
    for _ in 0..ROUNDS {
        for (name, network, taken) in &mut rows {
            let mut spec =
                SandboxSpec::new(vec!["/bin/true".to_owned()], home.path(), workspace.path());
            spec.network = network.clone();
            let launch = driver.launch(&spec)?;
            let started = Instant::now();
            let ended = run(&launch, &RunOptions::default(), &mut |_| {})?;
            *taken += started.elapsed();
            assert!(ended.success(), "{name}: {ended:?}");
        }
    }
    let baseline = rows[0].2.as_secs_f64();
    for (name, _, taken) in &rows {
        let mean = *taken / ROUNDS;
        let ratio = taken.as_secs_f64() / baseline;
        println!(
            "{name:>22}: {:6.2} ms, {ratio:.2} of the first",
            mean.as_secs_f64() * 1000.0
        );
    }
    Ok(())
}
