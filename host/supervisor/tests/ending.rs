//! However a turn ends, it ends once, and nothing of it is left.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use aod_launch::{SignalRoute, SignalTarget};
use aod_log::Kind;
use aod_supervisor::{
    Control, ControlError, Effect, Reason, Request, SpawnError, StartFailure, Stdin,
};
use common::{BINARY, Case, effect, kill, lives, pids, text, until, write};

#[test]
fn codes_and_signals() {
    let case = Case::sh("exit 7");
    case.start();
    let (exited, _) = case.end();
    assert_eq!(
        (exited.code, exited.signal, exited.reason),
        (Some(7), None, Reason::Exit)
    );
    let case = Case::sh("kill -9 $$");
    case.start();
    let (exited, _) = case.end();
    assert_eq!(
        (exited.code, exited.signal, exited.reason),
        (None, Some(9), Reason::Exit)
    );
}

#[test]
fn a_program_that_cannot_be_executed() {
    let mut case = Case::sh("");
    case.spec.launch.program = "/no/such/program".into();
    let error = case.try_start().unwrap_err();
    assert!(
        matches!(&error, SpawnError::Failed { failure: StartFailure::Launch, message } if message.contains("/no/such/program")),
        "{error}"
    );
    let (exited, _) = case.end();
    assert_eq!(exited.reason, Reason::StartFailed);
}

#[test]
fn a_log_that_somebody_holds() {
    let case = Case::sh("echo hello");
    let writer = aod_log::Writer::open(&case.spec.log_dir, case.spec.log).unwrap();
    let started = std::thread::scope(|scope| {
        let start = scope.spawn(|| case.start());
        // The host lets go a little late.
        std::thread::sleep(Duration::from_millis(200));
        drop(writer);
        start.join().unwrap()
    });
    assert_eq!((started.generation, started.after_id), (2, 0));
    let (_, entries) = case.end();
    assert_eq!(text(&entries, Kind::Stdout), "hello\n");
}

#[test]
fn closed_stdout_is_not_the_end() {
    let case = Case::sh(
        "echo before; exec >&- 2>&-; echo $$ > alive; while [ ! -e go ]; do sleep 0.01; done; exit 3",
    );
    let started = case.start();
    let pid = pids(&case, "alive", 1)[0];
    assert!(lives(pid) && lives(started.supervisor_pid));
    case.send(Request::Ping);
    std::fs::write(case.path("go"), "").unwrap();
    let (exited, _) = case.end();
    assert_eq!((exited.code, exited.reason), (Some(3), Reason::Exit));
}

#[test]
fn daemons_that_hold_the_pipe_do_not_outlive_the_turn() {
    let case = Case::sh(
        "setsid sh -c 'trap \"\" INT TERM HUP; echo $$ >> pids; exec sleep 1000' & sh -c 'echo $$ >> pids; sleep 1000; :' & while [ $(wc -l < pids) -lt 2 ]; do sleep 0.01; done; echo bye",
    );
    std::fs::write(case.path("pids"), "").unwrap();
    case.start();
    let begun = Instant::now();
    let (exited, entries) = case.end();
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!((exited.code, exited.reason), (Some(0), Reason::Exit));
    assert_eq!(text(&entries, Kind::Stdout), "bye\n");
    for pid in pids(&case, "pids", 2) {
        assert!(!lives(pid), "{pid} outlived its turn");
    }
}

#[test]
fn the_timeout_asks_and_then_kills() {
    let mut case = Case::sh("trap 'echo asked' INT; echo $$; while :; do sleep 0.02; done");
    case.spec.clock.timeout_ms = 300;
    case.spec.clock.grace_ms = 200;
    case.start();
    let (exited, entries) = case.end();
    assert_eq!((exited.signal, exited.reason), (Some(9), Reason::Timeout));
    assert!(text(&entries, Kind::Stdout).ends_with("asked\n"));
}

#[test]
fn silence_is_noticed() {
    let mut case = Case::sh("for i in 1 2 3 4 5 6; do echo $i; sleep 0.1; done; exec sleep 1000");
    case.spec.clock.idle_ms = 400;
    case.start();
    let (exited, entries) = case.end();
    assert_eq!((exited.signal, exited.reason), (Some(2), Reason::Idle));
    assert!(text(&entries, Kind::Stdout).ends_with("6\n"));
}

#[test]
fn an_interrupted_cli_may_exit_with_zero() {
    for to in [SignalTarget::Main, SignalTarget::Group] {
        let case =
            Case::sh("trap 'echo stopping; exit 0' INT; echo ready; while :; do sleep 0.02; done")
                .to(to);
        case.start();
        case.wait_for_line("ready");
        case.send(Request::Interrupt);
        let (exited, entries) = case.end();
        assert_eq!((exited.code, exited.reason), (Some(0), Reason::Interrupted));
        assert_eq!(text(&entries, Kind::Stdout), "ready\nstopping\n");
    }
}

#[test]
fn the_signal_goes_to_the_cli_below_its_launchers() {
    let mut case = Case::sh(
        "trap 'echo launcher' INT; sh -c 'trap \"echo init\" INT; sh -c \"trap \\\"echo cli; exit 5\\\" INT; echo ready; while :; do sleep 0.02; done\"; exit $?'; exit $?",
    );
    case.spec.launch.signal_route = SignalRoute::Descendant { depth: 2 };
    case.start();
    case.wait_for_line("ready");
    case.send(Request::Interrupt);
    let (exited, entries) = case.end();
    assert_eq!((exited.code, exited.reason), (Some(5), Reason::Interrupted));
    assert_eq!(text(&entries, Kind::Stdout), "ready\ncli\n");
}

#[test]
fn who_ignores_the_signal_is_killed() {
    let mut case = Case::sh("trap '' INT; echo ready; while :; do sleep 0.02; done");
    case.spec.clock.grace_ms = 150;
    case.start();
    case.wait_for_line("ready");
    case.send(Request::Interrupt);
    let (exited, _) = case.end();
    assert_eq!(
        (exited.signal, exited.reason),
        (Some(9), Reason::Interrupted)
    );
    // Without a signal at all: at once.
    let mut case = Case::sh("echo ready; exec sleep 1000");
    case.spec.interrupt.signal = None;
    case.spec.clock.grace_ms = 60_000;
    case.start();
    case.wait_for_line("ready");
    case.send(Request::Interrupt);
    let (exited, _) = case.end();
    assert_eq!(
        (exited.signal, exited.reason),
        (Some(9), Reason::Interrupted)
    );
}

#[test]
fn terminate_leaves_nothing() {
    let case = Case::sh(
        "trap '' INT TERM HUP; echo $$ >> pids; (trap '' INT TERM; echo $(exec sh -c 'echo $PPID') >> pids; sleep 1000; :) & setsid sh -c 'echo $$ >> pids; sleep 1000; :' & while :; do sleep 0.05; done",
    );
    std::fs::write(case.path("pids"), "").unwrap();
    let started = case.start();
    let pids = pids(&case, "pids", 3);
    assert!(pids.iter().all(|pid| lives(*pid)));
    case.send(Request::Terminate);
    let (exited, _) = case.end();
    assert_eq!(
        (exited.signal, exited.reason),
        (Some(9), Reason::Terminated)
    );
    for pid in pids {
        assert!(!lives(pid), "{pid} outlived its turn");
    }
    until("the supervisor to leave", || !lives(started.supervisor_pid));
    let error = Control::connect(&case.spec.control_socket, Duration::from_secs(1)).unwrap_err();
    assert!(matches!(error, ControlError::Gone { .. }));
}

#[test]
fn a_result_starts_the_last_grace() {
    let mut case = Case::sh("echo result; exec sleep 1000");
    case.spec.clock.after_result_grace_ms = 100;
    case.start();
    case.wait_for_line("result");
    case.send(effect(0, Effect::Close));
    let (exited, _) = case.end();
    assert_eq!(
        (exited.signal, exited.reason),
        (Some(2), Reason::AfterResult)
    );
}

#[test]
fn a_killed_supervisor_takes_its_cli_with_it() {
    let case = Case::sh("i=0; while :; do echo line $i; i=$((i+1)); done");
    let started = case.start();
    case.wait_for_line("line 100");
    kill(started.supervisor_pid);
    until("the CLI to die", || !lives(started.pid));
    assert!(!aod_log::is_locked(&case.spec.log_dir).unwrap());
    let before = case.entries().len();
    assert!(before > 100);
    let writer = aod_log::Writer::open(&case.spec.log_dir, case.spec.log).unwrap();
    assert_eq!((writer.generation(), case.entries().len()), (2, before));
    assert!(
        case.entries()
            .iter()
            .all(|entry| entry.kind != Kind::Exited)
    );
}

#[test]
fn signals_to_the_supervisor_change_nothing() {
    let case = Case::sh("echo ready; while [ ! -e go ]; do sleep 0.01; done; echo end");
    let started = case.start();
    case.wait_for_line("ready");
    let pid = rustix::process::Pid::from_raw(started.supervisor_pid.cast_signed()).unwrap();
    for signal in [
        rustix::process::Signal::INT,
        rustix::process::Signal::TERM,
        rustix::process::Signal::HUP,
    ] {
        rustix::process::kill_process(pid, signal).unwrap();
    }
    case.send(Request::Ping);
    std::fs::write(case.path("go"), "").unwrap();
    let (exited, entries) = case.end();
    assert_eq!(exited.code, Some(0));
    assert_eq!(text(&entries, Kind::Stdout), "ready\nend\n");
}

/// Not a test of its own: what the next one starts as the host that dies.
#[test]
#[ignore = "run by the_host_may_die"]
fn be_the_host() {
    let Ok(spec) = std::env::var("TEST_SPEC") else {
        return;
    };
    let spec = serde_json::from_slice(&std::fs::read(spec).unwrap()).unwrap();
    let started = aod_supervisor::spawn(BINARY.as_ref(), &spec).unwrap();
    println!("started {}", started.supervisor_pid);
    loop {
        std::thread::park();
    }
}

#[test]
fn the_host_may_die() {
    let case = Case::sh("echo ready; while [ ! -e go ]; do sleep 0.01; done; seq 1000");
    std::fs::write(case.path("spec"), serde_json::to_vec(&case.spec).unwrap()).unwrap();
    let mut host = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "be_the_host", "--nocapture"])
        .env("TEST_SPEC", case.path("spec"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut words = BufReader::new(host.stdout.take().unwrap()).lines();
    words
        .find(|line| line.as_ref().unwrap().contains("started"))
        .unwrap()
        .unwrap();
    case.wait_for_line("ready");
    host.kill().unwrap();
    host.wait().unwrap();
    case.send(Request::Ping);
    std::fs::write(case.path("go"), "").unwrap();
    let (exited, entries) = case.end();
    assert_eq!(exited.code, Some(0));
    assert_eq!(text(&entries, Kind::Stdout).lines().count(), 1001);
}

#[test]
fn hostile_clients_hurt_nobody() {
    let mut case = Case::sh("cat; echo end");
    case.spec.stdin = Stdin::Open(Vec::new());
    case.start();
    let connect = || UnixStream::connect(&case.spec.control_socket).unwrap();
    let mut garbage = connect();
    garbage
        .write_all(b"\xff\xfe{{{\n{\"op\":\"no such\"}\n\n")
        .unwrap();
    let mut replies = BufReader::new(garbage).lines();
    for _ in 0..3 {
        assert!(replies.next().unwrap().unwrap().contains("no request"));
    }
    // Half a request, and gone; more clients than there is room for; one endless line.
    connect().write_all(b"{\"op\":\"termin").unwrap();
    let crowd: Vec<_> = (0..100).map(|_| connect()).collect();
    let mut endless = connect();
    endless
        .set_write_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let chunk = vec![b'x'; 1 << 20];
    while endless.write_all(&chunk).is_ok() {}
    // One that asks and never reads.
    let mut deaf = connect();
    deaf.set_nonblocking(true).unwrap();
    while deaf.write(b"{\"op\":\"ping\"}\n").is_ok() {}
    case.send(write(0, "hello\n"));
    case.wait_for_line("hello");
    let mut control = case.control();
    control.send(&effect(1, Effect::CloseStdin)).unwrap();
    drop(crowd);
    let refused = control.send(&write(2, "late"));
    assert!(matches!(
        refused,
        Err(ControlError::Refused { .. } | ControlError::Gone { .. })
    ));
    let (exited, _) = case.end();
    assert_eq!(exited.code, Some(0));
}

#[test]
fn a_cli_that_does_not_read_its_stdin_blocks_nobody() {
    let mut case = Case::sh("echo ready; while [ ! -e go ]; do sleep 0.01; done; wc -c");
    case.spec.stdin = Stdin::Open(Vec::new());
    case.start();
    case.wait_for_line("ready");
    let mut control = case.control();
    let mut sent = 0;
    let data = "x".repeat(1 << 20);
    let mut seq = 0;
    while control.send(&write(seq, &data)).is_ok() {
        seq += 1;
        sent += data.len();
        assert!(sent < 64 << 20);
    }
    control.send(&effect(seq + 1, Effect::CloseStdin)).unwrap();
    std::fs::write(case.path("go"), "").unwrap();
    let (_, entries) = case.end();
    assert!(text(&entries, Kind::Stdout).ends_with(&format!("{sent}\n")));
}

#[test]
fn a_socket_path_may_be_long() {
    let mut case = Case::sh("echo ready; exec sleep 1000");
    let deep = case.path(&["a-rather-long-folder-name"; 6].join("/"));
    std::fs::create_dir_all(&deep).unwrap();
    case.spec.control_socket = deep.join("control.sock");
    assert!(case.spec.control_socket.as_os_str().len() > 108);
    case.start();
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(&case.spec.control_socket)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    case.send(Request::Terminate);
    case.end();
}

#[test]
fn a_full_disk_stops_the_turn_and_says_so() {
    let mut case = Case::sh("while :; do echo some line that takes room on the disk; done");
    let disk = case.path("disk");
    std::fs::create_dir(&disk).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "none"])
        .arg(&disk)
        .stderr(Stdio::null())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        println!("skipped: mounting a tmpfs is not permitted here");
        return;
    }
    case.spec.log_dir = disk.join("log");
    case.start();
    let (exited, entries) = case.end();
    // The host has something left for the turn's last event, too.
    let mut batch = aod_log::Batch::new();
    let mut writer = aod_log::Writer::open(&case.spec.log_dir, case.spec.log).unwrap();
    batch
        .push(aod_log::Meta::new(Kind::Error, 1, 0), b"{}")
        .unwrap();
    let last = writer.append_final(&mut batch);
    drop(writer);
    assert!(
        Command::new("umount")
            .arg(&disk)
            .status()
            .unwrap()
            .success()
    );
    assert_eq!((exited.signal, exited.reason), (Some(9), Reason::LogError));
    assert!(exited.error.unwrap().contains("No space left"));
    assert!(entries.len() > 5000);
    last.unwrap();
}

#[test]
fn the_binary_explains_itself() {
    let run = |argument: Option<&str>| {
        let mut command = Command::new(BINARY);
        command.args(argument).stdin(Stdio::null());
        command.output().unwrap()
    };
    let version = run(Some("--version"));
    assert!(version.status.success());
    assert!(version.stdout.starts_with(b"aod-supervisor "));
    let bare = run(None);
    assert_eq!(bare.status.code(), Some(2));
    assert!(
        String::from_utf8(bare.stderr)
            .unwrap()
            .contains("runs one turn")
    );
    let mut child = Command::new(BINARY)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"{\"session\":\n[\"hunter22\"]}")
        .unwrap();
    let mut complaint = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut complaint)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(2));
    assert!(
        complaint.contains("line 2") && !complaint.contains("hunter22"),
        "{complaint}"
    );
}

#[test]
fn a_supervisor_stands_alone_and_shows_nothing() {
    let case = Case::sh("exec sleep 1000").secret("KEY", "sk-0123456789");
    let started = case.start();
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", started.supervisor_pid)).unwrap();
    // Its files in /proc belong to root, and it is in a session of its own, child of nobody here.
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", started.supervisor_pid)).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    assert_ne!(fields[1], std::process::id().to_string());
    assert_eq!(
        fields[3],
        started_session(started.supervisor_pid),
        "{status}"
    );
    let command = std::fs::read(format!("/proc/{}/cmdline", started.supervisor_pid)).unwrap();
    assert!(!String::from_utf8_lossy(&command).contains("sk-"));
    assert!(!format!("{:?}", case.spec).contains("sk-0123"));
    let limits =
        std::fs::read_to_string(format!("/proc/{}/limits", started.supervisor_pid)).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert!(core.split_whitespace().nth(4) == Some("0"), "{core}");
    case.send(Request::Terminate);
    case.end();
}

/// The session of a process.
fn started_session(pid: u32) -> String {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed());
    rustix::process::getsid(pid)
        .unwrap()
        .as_raw_nonzero()
        .to_string()
}

#[test]
fn a_tree_that_uses_too_much_is_killed_and_it_is_said_why() {
    let mut case = Case::sh("for n in 1 2 3 4 5 6; do sleep 60 & done; echo $! > last; wait");
    case.spec.launch.polled_limits.pids = Some(5);
    case.start();
    let last = pids(&case, "last", 1)[0];
    let (exited, _) = case.end();
    assert_eq!(exited.reason, Reason::OverLimit);
    assert!(exited.error.unwrap().contains("limit is 5"));
    assert!(!lives(last));
}
