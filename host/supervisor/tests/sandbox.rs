//! Turns under an init: in a pid namespace, and without one.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::process::Command;
use std::time::{Duration, Instant};

use aod_launch::{KillRoute, SignalRoute};
use aod_log::Kind;
use aod_supervisor::{Control, ControlError, Reason, Request};
use common::{BINARY, Case, kill, lives, pids, text, until};

/// A turn in a real sandbox with a pid namespace; None, with a reason printed, where that is not
/// to be had.
fn sandboxed(script: &str) -> Option<Case> {
    let options = "bwrap --die-with-parent --as-pid-1 --unshare-pid --unshare-user --uid 1000 \
                   --gid 1000 --cap-drop ALL --ro-bind / / --proc /proc --dev /dev";
    let mut arguments: Vec<&str> = options.split_whitespace().collect();
    arguments.extend([BINARY, "--init", "--", "sh", "-c"]);
    let tried = Command::new("bwrap")
        .args(&arguments[1..])
        .arg(":")
        .output();
    if !tried.is_ok_and(|output| output.status.success()) {
        println!("skipped: bubblewrap does not run here");
        return None;
    }
    let mut case = Case::sh("");
    case.spec.launch.program = "bwrap".into();
    case.spec.launch.args = arguments[1..]
        .iter()
        .map(|word| (*word).to_owned())
        .collect();
    case.spec.launch.args.push(script.to_owned());
    case.spec.launch.kill_route = KillRoute::Namespace;
    case.spec.launch.signal_route = SignalRoute::Descendant { depth: 2 };
    Some(case)
}

/// A process and all below it.
fn tree(pid: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let below = children
        .split_whitespace()
        .flat_map(|child| tree(child.parse().unwrap()));
    std::iter::once(pid).chain(below).collect()
}

#[test]
fn a_sandboxed_cli_is_interrupted_and_dies_with_its_supervisor() {
    let script = "trap 'echo asked; exit 4' INT; (trap '' INT; sleep 1000; :) & echo ready; while :; do sleep 0.02; done";
    let Some(case) = sandboxed(script) else {
        return;
    };
    let started = case.start();
    case.wait_for_line("ready");
    let pids = tree(started.pid);
    assert!(pids.len() >= 4, "{pids:?}");
    case.send(Request::Interrupt);
    let (exited, entries) = case.end();
    assert_eq!((exited.code, exited.reason), (Some(4), Reason::Interrupted));
    assert_eq!(text(&entries, Kind::Stdout), "ready\nasked\n");
    assert!(pids.iter().all(|pid| !lives(*pid)));

    let Some(case) = sandboxed(script) else {
        return;
    };
    let started = case.start();
    case.wait_for_line("ready");
    let pids = tree(started.pid);
    kill(started.supervisor_pid);
    until("the sandbox to die", || pids.iter().all(|pid| !lives(*pid)));
}

/// Tries to stop pid 1 by tracing it, leaves a daemon that nobody traces back to the turn, and says
/// so.
const ATTACK: &str = "/usr/bin/python3 - <<'END'
import ctypes, os
libc = ctypes.CDLL(None)
print('attached' if libc.ptrace(16, 1, None, None) == 0 else 'refused', flush=True)
reading, writing = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        libc.prctl(1, 0, 0, 0, 0)
        null = os.open('/dev/null', os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.write(writing, b'.')
        os.execvp('sleep', ['sleep', '1000'])
    os._exit(0)
os.read(reading, 1)
END
echo ready; ";

#[test]
fn no_attack_from_inside_keeps_a_turn_from_its_end() {
    if !std::path::Path::new("/usr/bin/python3").exists() {
        println!("skipped: no /usr/bin/python3");
        return;
    }
    let wait = "trap '' INT TERM; while :; do sleep 0.02; done";
    for (script, end) in [
        ("exit 0", None),
        (wait, Some(Request::Terminate)),
        (wait, None),
    ] {
        let Some(mut case) = sandboxed(&format!("{ATTACK}{script}")) else {
            return;
        };
        case.spec.clock.timeout_ms = 5_000;
        case.spec.clock.grace_ms = 200;
        let started = case.start();
        case.wait_for_line("ready");
        let pids = tree(started.pid);
        let terminated = end.is_some();
        end.into_iter().for_each(|request| case.send(request));
        let (exited, entries) = case.end();
        assert_eq!(text(&entries, Kind::Stdout), "refused\nready\n");
        let expected = match (script, terminated) {
            ("exit 0", _) => (Some(0), Reason::Exit, false),
            (_, true) => (None, Reason::Terminated, true),
            (_, false) => (None, Reason::Timeout, true),
        };
        assert_eq!((exited.code, exited.reason, exited.killed), expected);
        assert!(pids.iter().all(|pid| !lives(*pid)));
    }
    let Some(case) = sandboxed(&format!("{ATTACK}{wait}")) else {
        return;
    };
    let started = case.start();
    case.wait_for_line("ready");
    let pids = tree(started.pid);
    assert!(pids.len() >= 4, "{pids:?}");
    kill(started.supervisor_pid);
    until("the sandbox to die", || pids.iter().all(|pid| !lives(*pid)));
}

#[test]
fn a_stopped_supervisor_can_be_killed_with_its_turn() {
    let Some(case) = sandboxed("echo ready; sleep 1000; :") else {
        return;
    };
    let started = case.start();
    case.wait_for_line("ready");
    let pids = tree(started.pid);
    let pid = rustix::process::Pid::from_raw(started.supervisor_pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let socket = &case.spec.control_socket;
    // However many have asked before: neither connecting nor asking hangs.
    let asked = Instant::now();
    let crowd: Vec<_> = (0..200)
        .map_while(|_| Control::connect(socket, Duration::from_millis(200)).ok())
        .collect();
    let refused = Control::connect(socket, Duration::from_millis(200))
        .and_then(|mut control| control.send(&Request::Terminate));
    assert!(
        matches!(refused, Err(ControlError::TimedOut { .. })),
        "{refused:?}"
    );
    assert!(asked.elapsed() < Duration::from_secs(20));
    drop(crowd);
    until("room in the queue", || {
        aod_supervisor::kill_supervisor(socket).is_ok()
    });
    until("the sandbox to die", || pids.iter().all(|pid| !lives(*pid)));
    until("the lock to be free", || {
        !aod_log::is_locked(&case.spec.log_dir).unwrap()
    });
    let again = aod_supervisor::kill_supervisor(socket).unwrap_err();
    assert!(matches!(again, ControlError::Gone { .. }), "{again}");
}

#[test]
fn without_a_sandbox_the_init_ends_what_a_killed_supervisor_leaves() {
    let script = "setsid sh -c 'trap \"\" INT TERM HUP; echo $$ >> pids; sleep 1000; :' & \
                  (setsid sh -c 'echo $$ >> pids; exec sleep 1000' &); \
                  echo $$ >> pids; trap '' INT TERM; while :; do sleep 0.05; done";
    for terminate in [true, false] {
        let mut case = Case::sh(script);
        let launch = &mut case.spec.launch;
        launch
            .args
            .splice(..0, ["--init", "--", "sh"].map(str::to_owned));
        launch.program = BINARY.into();
        launch.signal_route = SignalRoute::Descendant { depth: 1 };
        launch.kill_route = KillRoute::Init;
        std::fs::write(case.path("pids"), "").unwrap();
        let started = case.start();
        let pids = pids(&case, "pids", 3);
        if terminate {
            case.send(Request::Terminate);
            let (exited, _) = case.end();
            assert_eq!(
                (exited.signal, exited.reason),
                (Some(9), Reason::Terminated)
            );
        } else {
            kill(started.supervisor_pid);
        }
        until("the end of all", || pids.iter().all(|pid| !lives(*pid)));
    }
}
