//! What a started command gets, and what it does not.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::time::Duration;

use aod_launch::{
    DataFd, Input, KillRoute, Launch, Output, PolledLimits, SignalRoute, SignalTarget, StartError,
    StartOptions, Status, start,
};

fn shell(script: &str) -> Launch {
    Launch {
        program: "sh".into(),
        args: vec!["-c".to_owned(), script.to_owned()],
        env: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned().into())],
        cwd: "/".into(),
        data_fds: Vec::new(),
        cgroup: None,
        signal_route: SignalRoute::Started,
        kill_route: KillRoute::Group,
        polled_limits: PolledLimits::default(),
        egress: None,
    }
}

/// Reads a non-blocking pipe to its end.
fn read(pipe: &File) -> String {
    let mut text = Vec::new();
    loop {
        let mut polled = [rustix::event::PollFd::new(
            pipe,
            rustix::event::PollFlags::IN,
        )];
        rustix::event::poll(&mut polled, None).unwrap();
        match (&mut &*pipe).take(4096).read_to_end(&mut text) {
            Ok(0) => return String::from_utf8(text).unwrap(),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn run(launch: &Launch, input: Input<'_>) -> (Status, String) {
    let options = StartOptions {
        input,
        output: Output::Joined,
        umask: None,
    };
    let (mut process, pipes) = start(launch, options).unwrap();
    let text = read(&pipes.stdout);
    (process.wait().unwrap(), text)
}

const fn code(code: i32) -> Status {
    Status {
        code: Some(code),
        signal: None,
    }
}

#[test]
fn content_codes_and_both_streams_arrive() {
    let content = vec![b'x'; 300_000];
    let script = "wc -c; echo err >&2; printf end; exit 7";
    let (status, text) = run(&shell(script), Input::Content(&content));
    assert_eq!((status, text.as_str()), (code(7), "300000\nerr\nend"));
    let (status, _) = run(&shell("kill -9 $$"), Input::Null);
    assert_eq!((status.code, status.signal), (None, Some(9)));
}

#[test]
fn only_what_the_launch_names_is_open() {
    // Descriptors of this process that a careless starter would pass on, at a number that is asked
    // for and at one that is not.
    let null = File::open("/dev/null").unwrap();
    for _ in 0..20 {
        // Leaked on purpose: closed with the test's process.
        std::mem::forget(rustix::io::fcntl_dupfd_cloexec(&null, 3).unwrap());
        let open: OwnedFd = rustix::io::dup(&null).unwrap();
        std::mem::forget(open);
    }
    let mut launch = shell("cat <&5; cat <&9; ls /proc/self/fd | tr '\\n' ' '");
    for (fd, content) in [(9, "nine "), (5, "five ")] {
        launch.data_fds.push(DataFd {
            fd,
            content: content.to_owned().into(),
        });
    }
    let (_, text) = run(&launch, Input::Null);
    // 3 is the listing itself.
    assert_eq!(text, "five nine 0 1 2 3 5 9 ");
}

#[test]
fn every_number_that_may_be_asked_for_can_be_given() {
    let mut launch = shell("n=3; while [ $n -lt 256 ]; do eval \"cat <&$n\"; n=$((n+1)); done");
    launch.program = "/bin/bash".into();
    launch.data_fds = (3..256)
        .map(|fd| DataFd {
            fd,
            content: ".".to_owned().into(),
        })
        .collect();
    let (status, text) = run(&launch, Input::Null);
    assert_eq!((status, text.len()), (code(0), 253), "{text}");
    for fds in [vec![2], vec![256], vec![3, 3]] {
        launch.data_fds = fds
            .into_iter()
            .map(|fd| DataFd {
                fd,
                content: ".".to_owned().into(),
            })
            .collect();
        let error = start(&launch, StartOptions::default()).unwrap_err();
        assert!(matches!(error, StartError::Invalid { .. }), "{error}");
    }
}

#[test]
fn content_cannot_be_changed() {
    let mut launch = shell("echo more >&3 || echo refused");
    launch.data_fds.push(DataFd {
        fd: 3,
        content: "sealed".to_owned().into(),
    });
    let (_, text) = run(&launch, Input::Null);
    assert!(text.ends_with("refused\n"), "{text}");
}

#[test]
fn the_environment_is_whole_and_of_a_name_the_last_value_counts() {
    let mut launch = shell("");
    launch.program = "/usr/bin/env".into();
    launch.args.clear();
    for value in ["first", "last"] {
        launch
            .env
            .push(("NAME".to_owned(), value.to_owned().into()));
    }
    let (_, text) = run(&launch, Input::Null);
    assert_eq!(text, "PATH=/usr/bin:/bin\nNAME=last\n");
}

#[test]
fn what_the_starter_ignores_is_not_ignored_by_the_command() {
    // SAFETY: ignoring a signal installs no handler.
    unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
    let (status, _) = run(&shell("kill -HUP $$; sleep 1000"), Input::Null);
    assert_eq!(status.signal, Some(libc::SIGHUP));
    let (_, text) = run(&shell("grep SigBlk /proc/self/status"), Input::Null);
    assert_eq!(text, "SigBlk:\t0000000000000000\n");
}

#[test]
fn what_cannot_be_executed_is_told_with_its_reason() {
    let mut launch = shell("");
    for program in ["/no/such/program", "no-such-program", "/etc/passwd"] {
        launch.program = program.into();
        let error = start(&launch, StartOptions::default()).unwrap_err();
        assert!(matches!(error, StartError::Execute { .. }), "{error}");
        assert!(error.to_string().contains(program), "{error}");
    }
    launch = shell("");
    launch.cwd = "/no/such/folder".into();
    let error = start(&launch, StartOptions::default()).unwrap_err();
    assert!(error.to_string().contains("/no/such/folder"), "{error}");
    launch = shell("");
    launch
        .env
        .push(("A=B".to_owned(), "s3cret".to_owned().into()));
    let error = format!("{:?}", start(&launch, StartOptions::default()).unwrap_err());
    assert!(!error.contains("s3cret"), "{error}");
}

#[test]
fn a_pipe_is_a_stdin_and_signals_take_their_route() {
    let script = "trap 'echo started' INT; \
        sh -c 'trap \"echo below; exit 0\" INT; echo ready; while :; do sleep 0.02; done'; \
        cat; exit 4";
    let mut launch = shell(script);
    launch.signal_route = SignalRoute::Descendant { depth: 1 };
    let options = StartOptions {
        input: Input::Pipe,
        ..StartOptions::default()
    };
    let (mut process, pipes) = start(&launch, options).unwrap();
    let mut ready = [0; 6];
    let mut polled = [rustix::event::PollFd::new(
        &pipes.stdout,
        rustix::event::PollFlags::IN,
    )];
    rustix::event::poll(&mut polled, None).unwrap();
    (&pipes.stdout).read_exact(&mut ready).unwrap();
    process.signal(libc::SIGINT, SignalTarget::Main);
    let mut stdin = pipes.stdin.unwrap();
    stdin.write_all(b"typed\n").unwrap();
    drop(stdin);
    assert_eq!(read(&pipes.stdout), "below\ntyped\n");
    assert_eq!(process.wait().unwrap(), code(4));
}

#[test]
fn a_process_that_is_dropped_is_killed_with_its_group() {
    let (process, pipes) =
        start(&shell("sleep 1000 & sleep 1000"), StartOptions::default()).unwrap();
    drop(process);
    // Both held the pipe's other end.
    assert_eq!(read(&pipes.stdout), "");
}

#[test]
fn the_command_dies_with_the_thread_that_started_it() {
    let (process, pipes) = std::thread::spawn(|| {
        // Not by a shell, whose child would live on.
        let mut launch = shell("");
        launch.program = "sleep".into();
        launch.args = vec!["1000".to_owned()];
        start(&launch, StartOptions::default()).unwrap()
    })
    .join()
    .unwrap();
    assert_eq!(read(&pipes.stdout), "");
    let ended = (0..1000).find_map(|_| {
        std::thread::sleep(Duration::from_millis(5));
        process.status()
    });
    assert_eq!(ended.unwrap().signal, Some(libc::SIGKILL));
}

/// A cgroup v2 folder of its own; none, with the reason printed, where none can be made.
fn cgroup() -> Option<std::path::PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        after
            .starts_with("cgroup2 ")
            .then(|| before.split(' ').nth(4))?
    });
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"));
    let (Some(mount), Some(own)) = (mount, own) else {
        println!("skipped: there is no cgroup v2");
        return None;
    };
    let name = format!("aod-launch-test-{}", std::process::id());
    let group = std::path::Path::new(mount).join(own).join(name);
    match std::fs::create_dir(&group) {
        Ok(()) if group.join("cgroup.kill").exists() => Some(group),
        made => {
            println!(
                "skipped: no group with `cgroup.kill` at {}: {made:?}",
                group.display()
            );
            None
        }
    }
}

#[test]
fn a_cgroup_is_joined_killed_and_removed() {
    let Some(group) = cgroup() else {
        return;
    };
    let mut launch =
        shell("(setsid sh -c 'echo $$; exec sleep 1000 >&- 2>&-' &); read -r line; sleep 1000");
    launch.cgroup = Some(group.clone());
    let options = StartOptions {
        input: Input::Pipe,
        ..StartOptions::default()
    };
    let (mut process, pipes) = start(&launch, options).unwrap();
    let mut polled = [rustix::event::PollFd::new(
        &pipes.stdout,
        rustix::event::PollFlags::IN,
    )];
    rustix::event::poll(&mut polled, None).unwrap();
    let mut line = [0; 32];
    let length = (&pipes.stdout).read(&mut line).unwrap();
    let daemon = std::str::from_utf8(&line[..length])
        .unwrap()
        .trim()
        .to_owned();
    let members = std::fs::read_to_string(group.join("cgroup.procs")).unwrap();
    assert!(members.lines().any(|pid| pid == daemon), "{members}");
    process.kill();
    process.wait().unwrap();
    let empty = || std::fs::read_to_string(group.join("cgroup.events")).unwrap();
    let emptied = (0..1000).any(|_| {
        std::thread::sleep(Duration::from_millis(5));
        empty().contains("populated 0")
    });
    assert!(emptied, "{}", empty());
    drop(process);
    assert!(!group.exists());
}
