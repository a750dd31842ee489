//! The end of a sandbox is the end of all that it started.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use aod_sandbox::{Cancel, Ended, RunOptions, SandboxDriver as _, run};

use crate::{PATIENCE, Session, collect, command_lines_with, eventually};

/// A script that leaves a daemon in a session of its own, ignoring signals, and then goes on. The
/// daemon's name shows in the host's process list.
fn daemon(name: &str) -> String {
    format!(
        "(setsid bash -c 'trap \"\" TERM INT HUP; exec -a {name} sleep 1000' \
         </dev/null >/dev/null 2>&1 &) &
         until pgrep -f '^{name}' >/dev/null; do :; done; echo ready; "
    )
}

fn gone(name: &str) {
    // The shells that carry the name in their script must be gone as well.
    eventually("the end of every process", || {
        command_lines_with(name).is_empty()
    });
}

#[test]
fn a_timeout_ends_daemons() {
    let session = Session::new();
    let name = format!("daemon-timeout-{}", std::process::id());
    let launch = session.launch(&session.spec(&(daemon(&name) + "sleep 1000")));
    let options = RunOptions {
        timeout: Some(Duration::from_secs(3)),
        ..RunOptions::default()
    };
    assert_eq!(
        run(&launch, &options, &mut |_| {}).unwrap(),
        Ended::TimedOut
    );
    gone(&name);
}

#[test]
fn cancelling_ends_daemons_at_once() {
    let session = Session::new();
    let name = format!("daemon-cancel-{}", std::process::id());
    let launch = session.launch(&session.spec(&(daemon(&name) + "sleep 1000")));
    let cancel = Cancel::new().unwrap();
    let options = RunOptions {
        cancel: Some(cancel.clone()),
        timeout: Some(PATIENCE),
        ..Default::default()
    };
    let started = Instant::now();
    let mut seen = 0;
    let ended = run(&launch, &options, &mut |piece| {
        if piece.ends_with(b"ready\n") {
            seen = command_lines_with(&name).len();
            cancel.trigger();
        }
    });
    assert_eq!(ended.unwrap(), Ended::Cancelled);
    assert!(seen > 0 && started.elapsed() < PATIENCE);
    gone(&name);
}

#[test]
fn an_ordinary_end_ends_daemons() {
    let session = Session::new();
    let name = format!("daemon-exit-{}", std::process::id());
    let (ended, output) = session.run(&(daemon(&name) + "exit 7"));
    assert_eq!((ended, output.as_str()), (Ended::Exited(7), "ready\n"));
    gone(&name);
}

#[test]
fn exit_codes_signals_and_stdin_come_through() {
    let session = Session::new();
    assert_eq!(session.run("exit 3").0, Ended::Exited(3));
    assert_eq!(session.run("kill -KILL $$").0, Ended::Exited(137));
    let launch = session.launch(&session.spec("wc -c; echo err >&2; printf partial"));
    let options = RunOptions {
        stdin: vec![b'x'; 300_000],
        ..RunOptions::default()
    };
    let mut output = Vec::new();
    let ended = run(&launch, &options, &mut |piece| {
        output.extend_from_slice(piece)
    })
    .unwrap();
    assert!(ended.success());
    assert_eq!(output, b"300000\nerr\npartial");
}

#[test]
fn the_command_is_as_deep_as_said() {
    let session = Session::new();
    let name = format!("deep-{}", std::process::id());
    let launch = session.launch(&session.spec(&format!("echo ready; exec -a {name} sleep 1000")));
    let two = aod_launch::SignalRoute::Descendant { depth: 2 };
    assert_eq!(launch.signal_route, two);
    let cancel = Cancel::new().unwrap();
    let options = RunOptions {
        cancel: Some(cancel.clone()),
        timeout: Some(PATIENCE),
        ..Default::default()
    };
    run(&launch, &options, &mut |_| {
        let mut found = None;
        eventually("the command", || {
            found = process_named(&name);
            found.is_some()
        });
        let status = fs::read_to_string(format!("/proc/{}/status", found.unwrap())).unwrap();
        let ids = status
            .lines()
            .find_map(|line| line.strip_prefix("NSpid:"))
            .unwrap();
        // The one that bounds the number of processes may have been there first.
        let id = ids.split_whitespace().next_back();
        assert!(matches!(id, Some("2" | "3")), "{ids}");
        let grandparent = parent(parent(found.unwrap()));
        let program = fs::read(format!("/proc/{grandparent}/cmdline")).unwrap();
        assert!(program.starts_with(launch.program.to_str().unwrap().as_bytes()));
        assert_eq!(parent(grandparent), std::process::id());
        cancel.trigger();
    })
    .unwrap();
}

fn process_named(name: &str) -> Option<u32> {
    fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let command = fs::read(entry.path().join("cmdline")).ok()?;
        command
            .starts_with(name.as_bytes())
            .then(|| entry.file_name().to_str()?.parse().ok())?
    })
}

fn parent(process: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("PPid:"))
        .unwrap();
    line.trim().parse().unwrap()
}

#[test]
fn limits_hold() {
    let session = Session::new();
    let script =
        "ulimit -n; ulimit -c; { bash -c 'head -c 3000000 /dev/zero > big'; } 2>/dev/null; stat -c %s big
                  head -c 5000000 /dev/zero > /tmp/big 2>/dev/null || echo full";
    let (_, output) = session.run_with(script, |spec| {
        spec.limits.open_files = Some(123);
        spec.limits.file_size = Some(2 << 20);
        spec.limits.temporary_bytes = Some(1 << 20);
    });
    assert_eq!(
        output.lines().collect::<Vec<_>>(),
        ["123", "0", "2097152", "full"]
    );
}

#[test]
fn long_arguments_and_environments_arrive_or_are_refused() {
    let session = Session::new();
    let long = "x".repeat(120_000);
    let mut spec = session.spec("echo ${#A0} ${#A4} ${#1}");
    spec.argv.extend(["bash".to_owned(), long.clone()]);
    spec.env
        .extend((0..5).map(|at| (format!("A{at}"), long.clone().into())));
    assert_eq!(collect(&session.launch(&spec)).1, "120000 120000 120000\n");
}

/// Bubblewrap's child waits for its parent before it asks to be killed with it.
#[test]
fn a_sandbox_whose_starter_is_killed_too_early_is_ended() {
    let session = Session::new();
    let mut starter = Command::new("bwrap")
        .args(["--unshare-user", "--unshare-pid", "--die-with-parent"])
        // Its number is told, and the parent then reads from its stdin.
        .args(["--info-fd", "1", "--userns-block-fd", "0"])
        .args(["--ro-bind", "/", "/", "--", "/run/aod-init", "--init"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let told = BufReader::new(starter.stdout.take().unwrap());
    let child = told.lines().find_map(|line| {
        let line = line.unwrap();
        let (_, number) = line.split_once("\"child-pid\": ")?;
        Some(number.trim_end_matches(',').parse::<u32>().unwrap())
    });
    let child = child.unwrap();
    session.driver.end_orphans();
    assert!(runs(child), "its starter is there");
    starter.kill().unwrap();
    starter.wait().unwrap();
    // Where a server starts meanwhile, that ends it.
    eventually("its end", || {
        session.driver.end_orphans();
        !runs(child)
    });
}

fn runs(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}
