//! Tries out what works on this machine.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::scratch::Scratch;
use super::{Bubblewrap, INIT, NAME, proc};
use crate::probe::{Check, Probe, State};
use crate::{
    DiskBy, Egress, HOME, Network, RunOptions, SandboxDriver as _, SandboxSpec, Tunnel, WORKSPACE,
    limits, run,
};

/// A sandbox that does nothing but print its status takes some milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn probe(driver: &Bubblewrap) -> Probe {
    let (usable, mut checks) = match try_out(driver) {
        Ok(seen) => (true, seen.checks()),
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
        checks.push(layers(driver));
        checks.extend(limits_in_force(driver));
    }
    Probe {
        driver: NAME.into(),
        usable,
        checks,
    }
}

/// What a command in a sandbox sees.
struct Seen {
    /// Its `/proc/self/status`, `/proc/self/mountinfo` and `/proc/self/net/dev`, one after the
    /// other.
    text: String,
    /// Whether it has the host's network.
    shares_network: bool,
}

/// Shows what the kernel says of the command, and where it is, in its last line.
const LOOK: &str = "cat /proc/self/status /proc/self/mountinfo /proc/self/net/dev && \
    readlink /proc/self/ns/net";

/// Runs a command in a sandbox, as turns have it, or answers why that does not work.
fn try_out(driver: &Bubblewrap) -> Result<Seen, String> {
    let scratch = Scratch::new(driver.data.as_deref());
    let scratch = scratch.map_err(|error| format!("no temporary folder: {error}"))?;
    let folder = |name| {
        let made = scratch.folder(name);
        made.map_err(|error| format!("no temporary folder: {error}"))
    };
    let argv = ["sh", "-c", LOOK].map(str::to_owned).into();
    let mut spec = SandboxSpec::new(argv, folder("home")?, folder("workspace")?);
    spec.network = match driver.shares_network {
        true => Network::Host,
        // Nobody connects, so that it is never started.
        false => Network::Egress(Egress {
            listen: vec![SocketAddrV4::new(Ipv4Addr::LOCALHOST, 61_080)],
            tunnel: Some(Tunnel::new(false)),
            program: PathBuf::new(),
            config: Vec::new().into(),
        }),
    };
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
        let own = fs::read_link("/proc/self/ns/net").unwrap_or_default();
        Ok(Seen {
            shares_network: output.lines().next_back().map(Path::new) == Some(&own),
            text: output,
        })
    } else {
        Err(format!(
            "a sandbox does not start here ({ended:?}): {}",
            output.trim()
        ))
    }
}

impl Seen {
    fn checks(&self) -> Vec<Check> {
        let mut checks = vec![self.isolation(), self.seccomp()];
        checks.extend(self.network());
        checks.extend([self.proc(), self.host_paths()]);
        checks
    }

    fn status(&self, name: &str) -> &str {
        let mut lines = self.text.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.map_or("", str::trim)
    }

    /// Where on its file system each mount comes from, and where it is inside.
    fn mounts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.text.lines().filter_map(|line| {
            let (before, _) = line.split_once(" - ")?;
            let mut words = before.split(' ').skip(3);
            Some((words.next()?, words.next()?))
        })
    }

    fn isolation(&self) -> Check {
        let unprivileged = self.status("CapEff").chars().all(|c| c == '0')
            && self.status("NoNewPrivs") == "1"
            && self.status("Uid").starts_with("1000");
        if unprivileged {
            return Check::enforced(
                "isolation",
                "own user, mount, pid, ipc and uts namespaces, uid 1000, no capabilities",
            );
        }
        let detail = "a sandboxed command keeps privileges that it should not have";
        let fix = Some("upgrade bubblewrap");
        Check::lacking("isolation", State::Partial, detail, fix)
    }

    fn seccomp(&self) -> Check {
        if self.status("Seccomp") == "2" {
            return Check::enforced("seccomp", "dangerous system calls are refused");
        }
        let fix = Some("run a kernel with CONFIG_SECCOMP_FILTER");
        let detail = "no system call filter";
        Check::lacking("seccomp", State::NotEnforced, detail, fix)
    }

    /// What a network that is the host's means.
    fn network(&self) -> Vec<Check> {
        if !self.shares_network {
            return vec![
                Check::enforced(
                    "network",
                    "a network of each sandbox's own, and `aod-egress` as its one way out",
                ),
                Check::enforced("loopback", "this host's loopback is out of reach"),
                Check::enforced("abstract_sockets", "the host's are out of reach"),
                self.direct(),
            ];
        }
        let shared = |name, detail, fix| Check::lacking(name, State::NotEnforced, detail, fix);
        vec![
            shared(
                "network",
                "sandboxes share the host's network: an agent reaches all that the host reaches, \
                 a cloud's metadata service included",
                Some("leave `sandbox.network` at `own`"),
            ),
            shared(
                "loopback",
                "an agent reaches services on this host's loopback, other sessions' among them, \
                 and can listen there itself",
                Some("keep services without authentication off this host's loopback"),
            ),
            shared(
                "abstract_sockets",
                "an agent reaches abstract unix sockets of the host (`ss -xl` shows them as `@…`)",
                None,
            ),
        ]
    }

    /// Whether what programs try without the proxy is seen.
    fn direct(&self) -> Check {
        let mut lines = self.text.lines().map(str::trim_start);
        if lines.any(|line| line.starts_with("aod0:")) {
            let detail = "what programs try without the proxy is refused, and told";
            return Check::enforced("direct", detail);
        }
        let detail = "what programs try without the proxy is refused, and none of it told but names \
                      that they look up: this machine has no /dev/net/tun, or the server's user may \
                      not open it";
        let fix = "modprobe tun; chmod 666 /dev/net/tun; in a container, start it with `--device \
                   /dev/net/tun`";
        Check::lacking("direct", State::Partial, detail, Some(fix))
    }

    fn proc(&self) -> Check {
        let covers = |path: &Path| self.mounts().any(|(_, inside)| Path::new(inside) == path);
        let mut shown = Vec::new();
        for path in proc::covered() {
            if !covers(&path) {
                shown.push(path.display().to_string());
            }
        }
        if shown.is_empty() {
            let detail = "what describes the host's kernel and hardware is masked in /proc";
            return Check::enforced("proc", detail);
        }
        let detail = format!("an agent sees the host's {}", shown.join(", "));
        Check::lacking("proc", State::Partial, detail, Some("upgrade bubblewrap"))
    }

    fn host_paths(&self) -> Check {
        let mut own = self
            .mounts()
            .filter(|(_, at)| [HOME, WORKSPACE, INIT].contains(at));
        if own.all(|(host, at)| host == "/" || host == at) {
            let detail = "a sandbox does not show where its folders are on the host";
            return Check::enforced("host_paths", detail);
        }
        let detail = "an agent can read, in /proc/self/mountinfo, where its home, its workspace and \
                      its CLI are on the host's file systems, though nothing beside them";
        let fix = Some("choose a data folder whose path tells nothing");
        Check::lacking("host_paths", State::Partial, detail, fix)
    }
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

fn layers(driver: &Bubblewrap) -> Check {
    match driver.check_layers() {
        Ok(()) => {
            let detail = "environments can have apt packages, and tools that this machine lacks";
            Check::enforced("packages", detail)
        }
        Err(error) => {
            let detail = format!("environments with apt packages fail: {error}");
            Check::lacking("packages", State::NotEnforced, detail, None)
        }
    }
}

fn limits_in_force(driver: &Bubblewrap) -> Vec<Check> {
    let files = Check::enforced("files", "open files and the size of a file, by rlimits");
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
                let detail = format!(
                    "measured up to 20 times a second and not held by the kernel, so that a burst \
                     passes, and so does what the kernel itself keeps for a sandbox: {why}"
                );
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
    vec![memory, pids, files, disk(driver)]
}

fn disk(driver: &Bubblewrap) -> Check {
    let data = driver.data.as_deref();
    // Where it is not there yet, the folder in which it will be made.
    let existing = data.map(|data| {
        let existing = data.ancestors().find(|folder| folder.is_dir());
        existing.unwrap_or(Path::new("."))
    });
    let held = existing.map(|existing| driver.disk.check(existing));
    let why = match (held, driver.disk) {
        (Some(Ok(())), DiskBy::Image) => {
            let detail = "what home and workspace hold together, by a file system image of each \
                          session";
            return Check::enforced("disk", detail);
        }
        (Some(Ok(())), _) => {
            let detail =
                "what home and workspace hold together, by a project quota of each session";
            return Check::enforced("disk", detail);
        }
        (Some(Err(why)), DiskBy::Quota | DiskBy::Image) => {
            let detail = format!(
                "sessions fail: `sandbox.disk_by` asks for what this machine does not do: {why}"
            );
            let fix = Some("set `sandbox.disk_by` to `auto`");
            return Check::lacking("disk", State::NotEnforced, detail, fix);
        }
        (Some(Err(why)), _) => format!(": {why}"),
        (None, _) => String::new(),
    };
    let detail = format!(
        "what home and workspace hold is measured and not held by the kernel, so that a burst \
         passes the limit before the turn is ended{why}"
    );
    let fix = match rustix::process::getuid().is_root() && driver.disk == DiskBy::Auto {
        true => {
            "put the data folder on a file system of its own, or have each session's files in an \
             image: `sandbox.disk_by = \"image\"`"
        }
        false => "put the data folder on a file system of its own",
    };
    Check::lacking("disk", State::Partial, detail, Some(fix))
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
         apparmor=unconfined --security-opt systempaths=unconfined`, or run the server on the host"
    };
    Some(fix.to_owned())
}
