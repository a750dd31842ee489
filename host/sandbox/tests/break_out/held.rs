//! Limits that the kernel holds, by a cgroup for each sandbox. Where none is delegated they are skipped,
//! and say so.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use aod_sandbox::{Cancel, Ended, Launch, Limits, RunOptions, SandboxSpec, run};

use crate::{PATIENCE, Session, collect, eventually};

/// A launch and its group; none, with the reason printed, where there are no groups.
fn grouped(session: &Session, spec: &SandboxSpec) -> Option<(Launch, PathBuf)> {
    let launch = session.launch(spec);
    let Some(group) = launch.cgroup.clone() else {
        eprintln!("skipped: no cgroup v2 is delegated here");
        return None;
    };
    Some((launch, group))
}

fn number(group: &Path, file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(group.join(file)).unwrap();
    let found = text.lines().find_map(|line| line.strip_prefix(name));
    found.unwrap().trim().parse().unwrap()
}

#[test]
fn a_storm_of_forks_gets_no_further_than_the_limit() {
    let program = "import os, time\n\
        alive = 0\n\
        for n in range(2000):\n  \
          try:\n    \
            if os.fork() == 0:\n      time.sleep(60); os._exit(0)\n    \
            alive += 1\n  \
          except OSError: pass\n\
        print(alive)";
    let session = Session::new();
    let mut spec = session.spec(&format!("/usr/bin/python3 - <<'END'\n{program}\nEND\n"));
    spec.limits = Limits {
        pids: Some(100),
        ..Limits::default()
    };
    let Some((launch, group)) = grouped(&session, &spec) else {
        return;
    };
    let (ended, output) = collect(&launch);
    assert_eq!(ended, Ended::Exited(0), "{output}");
    let alive: u64 = output.trim().parse().unwrap();
    // All but the launcher, the init, the shell and Python itself.
    assert!((90..=98).contains(&alive), "{alive}");
    assert!(!group.exists());
}

#[test]
fn all_of_a_sandbox_goes_with_the_one_that_wants_too_much() {
    let session = Session::new();
    let name = format!("bystander-{}", std::process::id());
    let script = format!(
        "(exec -a {name} sleep 1000) & echo begun; /usr/bin/python3 -c 'bytearray(400 << 20)'; \
         echo survived; sleep 1000"
    );
    let mut spec = session.spec(&script);
    spec.limits.memory_bytes = Some(100 << 20);
    let Some((launch, group)) = grouped(&session, &spec) else {
        return;
    };
    let (ended, output) = collect(&launch);
    assert!(matches!(ended, Ended::OverLimit(_)), "{ended:?}");
    assert_eq!(output, "begun\n");
    assert!(crate::command_lines_with(&name).is_empty());
    assert!(!group.exists());
}

#[test]
fn nothing_of_a_sandbox_leaves_its_group_and_the_group_goes_with_it() {
    let session = Session::new();
    let script = "(setsid sleep 1000 </dev/null >/dev/null 2>&1 &); (setsid setsid sleep 1000 &) & \
        cat /proc/self/cgroup; \
        for f in /sys/fs/cgroup/cgroup.procs /proc/1/cgroup; do echo $$ > $f; done 2>/dev/null; \
        unshare --cgroup true 2>/dev/null; echo ready; sleep 1000";
    let Some((launch, group)) = grouped(&session, &session.spec(script)) else {
        return;
    };
    let cancel = Cancel::new().unwrap();
    let options = RunOptions {
        cancel: Some(cancel.clone()),
        timeout: Some(PATIENCE),
        ..RunOptions::default()
    };
    let (mut output, mut most) = (String::new(), 0);
    let ended = run(&launch, &options, &mut |piece| {
        output.push_str(&String::from_utf8_lossy(piece));
        if output.ends_with("ready\n") {
            // The launcher, the init, and three that sleep.
            eventually("all of them", || {
                let procs = fs::read_to_string(group.join("cgroup.procs")).unwrap();
                most = procs.lines().count();
                most >= 5
            });
            cancel.trigger();
        }
    });
    assert_eq!(ended.unwrap(), Ended::Cancelled);
    // Where it is among the host's groups is not told.
    assert!(output.starts_with("0::/\n"), "{output}");
    assert!(!group.exists(), "{most}");
}

#[test]
fn a_group_outlives_neither_a_launch_that_fails_nor_one_that_is_never_started() {
    let session = Session::new();
    let Some((launch, group)) = grouped(&session, &session.spec("true")) else {
        return;
    };
    let broken = Launch {
        program: "/no/such/program".into(),
        ..launch
    };
    run(&broken, &RunOptions::default(), &mut |_| {}).unwrap_err();
    assert!(!group.exists());
}

#[test]
fn a_sandbox_of_many_gets_no_more_of_the_processor_than_one_of_a_single_process() {
    // On one processor, whatever the machine has.
    let busy = |processes: usize| {
        let each = "taskset -c 0 sh -c 'while :; do :; done' &".repeat(processes);
        format!("{each} echo ready; wait")
    };
    let (one, many) = (Session::new(), Session::new());
    let Some((one_launch, one_group)) = grouped(&one, &one.spec(&busy(1))) else {
        return;
    };
    if !one_group.join("cpu.weight").exists() {
        eprintln!("skipped: the group has no processor share");
        fs::remove_dir(one_group).unwrap();
        return;
    }
    let (many_launch, many_group) = grouped(&many, &many.spec(&busy(12))).unwrap();
    let cancel = Cancel::new().unwrap();
    let started = [one_launch, many_launch].map(|launch| {
        let cancel = cancel.clone();
        thread::spawn(move || {
            let options = RunOptions {
                cancel: Some(cancel),
                timeout: Some(PATIENCE),
                ..RunOptions::default()
            };
            run(&launch, &options, &mut |_| {}).unwrap()
        })
    });
    let used = |group: &Path| number(group, "cpu.stat", "usage_usec ");
    // Until they have begun, and then until there is something to compare.
    eventually("both at work", || {
        used(&one_group).min(used(&many_group)) > 200_000
    });
    let before = (used(&one_group), used(&many_group));
    eventually("a second of work", || {
        used(&many_group) - before.1 > 1_000_000
    });
    let (single, crowd) = (used(&one_group) - before.0, used(&many_group) - before.1);
    cancel.trigger();
    for thread in started {
        assert_eq!(thread.join().unwrap(), Ended::Cancelled);
    }
    // Half each; by processes it would be a twelfth.
    assert!(single * 2 > crowd, "{single} against {crowd}");
    assert!(!one_group.exists() && !many_group.exists());
}
