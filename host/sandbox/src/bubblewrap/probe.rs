//! Tries out what works on this machine.

use std::fs;
use std::time::Duration;

use super::{Bubblewrap, NAME};
use crate::probe::{Check, Probe, State};
use crate::{RunOptions, SandboxDriver as _, SandboxSpec, limits, run};

/// A sandbox that does nothing but print its status takes some milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn probe(driver: &Bubblewrap) -> Probe {
    let (usable, mut checks) = match try_out(driver) {
        Ok(status) => (true, isolation(&status)),
        Err(detail) => {
            let fix = remedy(&detail);
            (
                false,
                vec![Check::lacking(
                    "isolation",
                    State::Failed,
                    detail,
                    fix.as_deref(),
                )],
            )
        }
    };
    if usable {
        checks.push(identity());
        checks.extend(limits_in_force(driver));
    }
    Probe {
        driver: NAME.into(),
        usable,
        checks,
    }
}

/// Runs a command in a sandbox that shows what the kernel says about it, or answers why that does
/// not work.
fn try_out(driver: &Bubblewrap) -> Result<String, String> {
    let home = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
    let workspace = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
    let argv = ["cat", "/proc/self/status"].map(str::to_owned).into();
    let spec = SandboxSpec::new(argv, home.path(), workspace.path());
    let launch = driver.launch(&spec).map_err(|error| error.to_string())?;
    let options = RunOptions {
        timeout: Some(PATIENCE),
        ..RunOptions::default()
    };
    let mut output = Vec::new();
    let ended = run(&launch, &options, &mut |piece| {
        output.extend_from_slice(piece)
    })
    .map_err(|error| error.to_string())?;
    let output = String::from_utf8_lossy(&output).into_owned();
    if ended.success() {
        Ok(output)
    } else {
        Err(format!(
            "a sandbox does not start here ({ended:?}): {}",
            output.trim()
        ))
    }
}

fn isolation(status: &str) -> Vec<Check> {
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map_or("", str::trim)
    };
    let unprivileged = field("CapEff").chars().all(|c| c == '0')
        && field("NoNewPrivs") == "1"
        && field("Uid").starts_with("1000");
    let isolation = if unprivileged {
        Check::enforced(
            "isolation",
            "own user, mount, pid, ipc and uts namespaces, uid 1000, no capabilities",
        )
    } else {
        let detail = "a sandboxed command keeps privileges that it should not have";
        Check::lacking(
            "isolation",
            State::Partial,
            detail,
            Some("upgrade bubblewrap"),
        )
    };
    let seccomp = if field("Seccomp") == "2" {
        Check::enforced("seccomp", "dangerous system calls are refused")
    } else {
        let fix = "run a kernel with CONFIG_SECCOMP_FILTER";
        Check::lacking(
            "seccomp",
            State::NotEnforced,
            "no system call filter",
            Some(fix),
        )
    };
    let network = Check::lacking(
        "network",
        State::Partial,
        "a sandbox has either no network or the host's, with its loopback services",
        Some("keep services without authentication off this host's loopback"),
    );
    vec![isolation, seccomp, network]
}

fn identity() -> Check {
    if rustix::process::getuid().is_root() {
        Check::lacking(
            "identity",
            State::Partial,
            "the server runs as root: sandboxed commands have root's uid outside their namespaces, \
             though none of its capabilities",
            Some("run the server as an ordinary user (`systemd-run --user`, `User=` in its unit)"),
        )
    } else {
        Check::enforced("identity", "sandboxed commands have an ordinary user's uid")
    }
}

fn limits_in_force(driver: &Bubblewrap) -> Vec<Check> {
    let files = Check::enforced("files", "open files and the size of a file, by rlimits");
    let disk = Check::lacking(
        "disk",
        State::NotEnforced,
        "the home's and the workspace's size as a whole is not bounded",
        Some("put the data folder on a file system of its own, or under a project quota"),
    );
    let (memory, pids) = match &driver.cgroup {
        Ok(_) => (
            Check::enforced("memory", "all processes together, by cgroup v2"),
            Check::enforced("pids", "all processes together, by cgroup v2"),
        ),
        Err(why) => {
            let fix = Some(
                "delegate a cgroup v2 folder: `Delegate=yes` and `DelegateSubgroup=server` in the \
                 systemd unit, or name an empty one in the configuration",
            );
            let polled = |name| {
                let detail = format!("polled by the process that started the command: {why}");
                Check::lacking(name, State::Partial, detail, fix)
            };
            let pids = if limits::process_count_holds() {
                Check::enforced(
                    "pids",
                    "all processes together, by an rlimit of the namespace",
                )
            } else {
                polled("pids")
            };
            (polled("memory"), pids)
        }
    };
    vec![memory, pids, files, disk]
}

/// What fixes a failure, judged by bubblewrap's message and the kernel's settings.
fn remedy(message: &str) -> Option<String> {
    let setting = |path: &str| {
        fs::read_to_string(format!("/proc/sys/{path}"))
            .map(|text| text.trim().to_owned())
            .ok()
    };
    let is = |path: &str, value: &str| setting(path).is_some_and(|text| text == value);
    if message.contains("was not found") || message.contains("No such file") {
        return None;
    }
    let fix = if is("kernel/unprivileged_userns_clone", "0") {
        "sysctl -w kernel.unprivileged_userns_clone=1"
    } else if is("user/max_user_namespaces", "0") {
        "sysctl -w user.max_user_namespaces=15000"
    } else if is("kernel/apparmor_restrict_unprivileged_userns", "1") {
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for bwrap \
         that allows `userns`"
    } else if message.contains("proc") {
        "in a container, start it with `--security-opt systempaths=unconfined`"
    } else {
        "in a container, start it with `--security-opt seccomp=unconfined --security-opt \
         apparmor=unconfined`, or run the server on the host"
    };
    Some(fix.to_owned())
}
