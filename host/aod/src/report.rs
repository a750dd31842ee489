//! What a start says of the machine and of the runtimes: a line for each thing that an operator
//! should know. `aod doctor` has the rest.

use aod_resources::RuntimeHealth;
use aod_sandbox::{Check, Probe, State};
use aod_services::Machine;
use aod_services::runtimes::Runtimes;

/// Says both, each when it is known.
pub(crate) async fn start(machine: Machine, runtimes: Runtimes) {
    let sandbox = async {
        match machine.probe().await {
            Some(probe) => self::machine(&probe),
            None => tracing::warn!("the sandbox driver failed to look at this machine"),
        }
    };
    tokio::join!(sandbox, self::runtimes(runtimes));
}

/// Warns of what the sandbox does not enforce here.
fn machine(probe: &Probe) {
    let lines = shortcomings(probe);
    if lines.is_empty() {
        return;
    }
    tracing::warn!("not all of the sandbox is enforced here; `aod doctor` says more:");
    for line in lines {
        tracing::warn!("{line}");
    }
}

/// Says which runtimes can be used, once that is known of all of them. What is wrong with the
/// others has been said by then.
async fn runtimes(runtimes: Runtimes) {
    let compiling = names(&runtimes, RuntimeHealth::Compiling);
    if !compiling.is_empty() {
        tracing::info!("compiling {compiling}; sessions wait for their runtime");
    }
    runtimes.loaded().await;
    for health in [
        RuntimeHealth::Ready,
        RuntimeHealth::Stale,
        RuntimeHealth::Failed,
        RuntimeHealth::Disabled,
    ] {
        let names = names(&runtimes, health);
        if !names.is_empty() {
            tracing::info!("runtimes {health}: {names}");
        }
    }
}

fn names(runtimes: &Runtimes, health: RuntimeHealth) -> String {
    let mut names = Vec::new();
    for runtime in runtimes.list() {
        if runtime.health == health {
            names.push(runtime.name);
        }
    }
    names.join(", ")
}

/// One line for each thing that is not enforced; what has the same cause has one line together.
fn shortcomings(probe: &Probe) -> Vec<String> {
    let mut lines: Vec<(Vec<&str>, String)> = Vec::new();
    for check in probe.shortcomings() {
        let text = in_short(check);
        match lines.iter_mut().find(|(_, known)| *known == text) {
            Some((names, _)) => names.push(check.name),
            None => lines.push((vec![check.name], text)),
        }
    }
    let line = |(names, text): (Vec<&str>, String)| format!("  {}: {text}", names.join(", "));
    lines.into_iter().map(line).collect()
}

/// What it means that something is not enforced, and what mends it.
fn in_short(check: &Check) -> String {
    let text = match (check.name, check.state) {
        ("network" | "loopback" | "abstract_sockets", State::NotEnforced) => {
            "agents share this host's network; protect its loopback services by passwords"
        }
        ("direct", State::Partial) => {
            "what agents try without the proxy is refused, and not told; let the server's user open \
             /dev/net/tun"
        }
        ("host_paths", State::Partial) => "agents can read where their folders are on the host",
        ("identity", State::Partial) => {
            "who breaks out of a sandbox is root; run the server as an ordinary user"
        }
        ("memory" | "pids", State::Partial) => {
            "watched, and not limited by the kernel; set Delegate=yes in the server's unit"
        }
        ("disk", State::Partial) => {
            "watched: a burst may fill the disk; give the data folder a file system of its own"
        }
        ("packages", State::NotEnforced) => {
            "environments with apt packages fail here; `aod doctor` says why"
        }
        // A driver that has more to say says it itself.
        _ => {
            return match &check.fix {
                Some(fix) => format!("{}; {fix}", check.detail),
                None => check.detail.clone(),
            };
        }
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &'static str, state: State, detail: &str) -> Check {
        Check {
            name,
            state,
            detail: detail.to_owned(),
            fix: Some("mend it".to_owned()),
        }
    }

    #[test]
    fn each_cause_has_one_short_line() {
        let why = "left to a watching process: a long story about control groups";
        let probe = Probe {
            driver: "x".to_owned(),
            usable: true,
            checks: vec![
                check("isolation", State::Enforced, "all is well"),
                check("network", State::NotEnforced, "the host's"),
                check("loopback", State::NotEnforced, "the host's"),
                check("memory", State::Partial, why),
                check("pids", State::Partial, why),
                check("other", State::NotEnforced, "something new"),
            ],
        };
        let lines = shortcomings(&probe);
        assert_eq!(lines.len(), 3, "{lines:#?}");
        assert!(
            lines[0].starts_with("  network, loopback: agents"),
            "{lines:#?}"
        );
        assert!(
            lines[1].starts_with("  memory, pids: watched"),
            "{lines:#?}"
        );
        assert_eq!(lines[2], "  other: something new; mend it");
        assert!(lines.iter().all(|line| line.len() <= 100), "{lines:#?}");
    }
}
