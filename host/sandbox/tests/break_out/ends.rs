//! The end of a sandbox does not rest on a process that the command can tamper with.

use std::time::Duration;

use aod_launch::{Input, Output, StartOptions, start};
use aod_sandbox::{Cancel, Ended, Network, Process, RunOptions, SandboxDriver as _, run};

use crate::{PATIENCE, Session, collect, command_lines_with, eventually};

/// A program that tries to take over pid 1: it attaches to it, has it give up the signal that it
/// gets when its starter dies, and says how far it came. `leave()` then starts a daemon of the
/// script's name, in a session of its own and adopted by pid 1, and waits until it runs.
#[cfg(target_arch = "x86_64")]
const TAKE_OVER: &str = r#"
import ctypes, os, signal, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
def ptrace(request, pid, address=0, data=0):
    pointer = lambda value: value if isinstance(value, ctypes.Array) else ctypes.c_void_p(value)
    return libc.ptrace(ctypes.c_long(request), pid, pointer(address), pointer(data))

def call_in(pid, number, *arguments):
    """Has the traced process make a system call, with the instruction it is stopped behind."""
    Registers = ctypes.c_ulonglong * 27
    before = Registers()
    assert ptrace(12, pid, 0, before) == 0
    changed = Registers(*before)
    changed[10], changed[15], changed[16] = number, (1 << 64) - 1, before[16] - 2
    for at, value in zip((14, 13, 12), arguments):
        changed[at] = value
    assert ptrace(13, pid, 0, changed) == 0
    assert ptrace(9, pid) == 0
    os.waitpid(pid, 0)
    after = Registers()
    ptrace(12, pid, 0, after)
    ptrace(13, pid, 0, before)
    return after[10]

def take_over():
    if ptrace(16, 1) != 0:
        return 'untouchable'
    os.waitpid(1, 0)
    call_in(1, 157, 1, 0)
    ptrace(17, 1)
    return 'taken over'

def leave(name):
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() != 0:
            os._exit(0)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        null = os.open('/dev/null', os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        libc.prctl(1, 0, 0, 0, 0)
        os.write(writing, b'.')
        os.execvp('sleep', [name, '1000'])
    os.read(reading, 1)
"#;

/// The takeover, a daemon and what `then` says, as a script for the sandbox; none where there is
/// no Python.
#[cfg(target_arch = "x86_64")]
fn attack(name: &str, then: &str) -> Option<String> {
    if !std::path::Path::new("/usr/bin/python3").exists() {
        eprintln!("skipped: no /usr/bin/python3");
        return None;
    }
    let program = format!("{TAKE_OVER}\nprint(take_over(), flush=True)\nleave('{name}')\n{then}\n");
    Some(format!("/usr/bin/python3 - <<'END'\n{program}\nEND\n"))
}

fn gone(name: &str) {
    eventually("the end of every process", || {
        command_lines_with(name).is_empty()
    });
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_daemon_of_a_taken_over_init_does_not_outlive_the_command() {
    let session = Session::new();
    let name = format!("taken-exit-{}", std::process::id());
    let Some(script) = attack(&name, "sys.exit(7)") else {
        return;
    };
    let (ended, output) = session.run(&(script + "exit $?"));
    assert_eq!(ended, Ended::Exited(7), "{output}");
    gone(&name);
    assert_eq!(output, "untouchable\n");
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_daemon_of_a_taken_over_init_does_not_outlive_a_cancelled_step() {
    let session = Session::new();
    let name = format!("taken-cancel-{}", std::process::id());
    let Some(script) = attack(&name, "print('ready', flush=True)\ntime.sleep(1000)") else {
        return;
    };
    let cancel = Cancel::new().unwrap();
    let options = RunOptions {
        cancel: Some(cancel.clone()),
        timeout: Some(PATIENCE),
        ..Default::default()
    };
    let mut output = String::new();
    let ended = run(
        &session.launch(&session.spec(&script)),
        &options,
        &mut |piece| {
            output.push_str(&String::from_utf8_lossy(piece));
            if output.ends_with("ready\n") {
                cancel.trigger();
            }
        },
    );
    assert_eq!(ended.unwrap(), Ended::Cancelled, "{output}");
    gone(&name);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_daemon_of_a_taken_over_init_does_not_outlive_its_starter() {
    let session = Session::new();
    let name = format!("taken-death-{}", std::process::id());
    let Some(script) = attack(&name, "print('ready', flush=True)\ntime.sleep(1000)") else {
        return;
    };
    let launch = session.launch(&session.spec(&script));
    let (running, runs) = std::sync::mpsc::channel();
    let (end, ends) = std::sync::mpsc::channel::<()>();
    let starter = std::thread::spawn(move || {
        let options = StartOptions {
            input: Input::Null,
            output: Output::Joined,
            umask: None,
        };
        let started = start(&launch, options).unwrap();
        running.send(()).unwrap();
        // Forgotten, so that nothing kills it but the end of this thread.
        std::mem::forget(started);
        let _ = ends.recv();
    });
    runs.recv().unwrap();
    eventually("the daemon", || {
        command_lines_with(&name)
            .iter()
            .any(|line| line.starts_with(&name))
    });
    drop(end);
    starter.join().unwrap();
    gone(&name);
}

#[test]
fn pid_1_can_be_neither_traced_nor_written_nor_stopped_nor_killed() {
    let session = Session::new();
    if !std::path::Path::new("/usr/bin/python3").exists() {
        eprintln!("skipped: no /usr/bin/python3");
        return;
    }
    let program = r"
import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
for request in (16, 0x4206):
    print(libc.ptrace(ctypes.c_long(request), 1, None, None), end=' ')
for path in ('mem', 'environ', 'maps', 'fd/0', 'root', 'cwd', 'exe'):
    try:
        open(f'/proc/1/{path}', 'rb').read(1)
        print('read', path)
    except OSError:
        pass
try:
    open('/proc/1/mem', 'r+b')
    print('opened')
except OSError:
    pass
vector = (ctypes.c_size_t * 2)(ctypes.addressof(ctypes.create_string_buffer(8)), 8)
print(libc.process_vm_writev(1, vector, ctypes.c_ulong(1), vector, ctypes.c_ulong(1), ctypes.c_ulong(0)), end=' ')
print(libc.syscall(ctypes.c_long(438), libc.syscall(ctypes.c_long(434), 1, 0), 0, 0))
for number in (signal.SIGSTOP, signal.SIGKILL, signal.SIGSEGV, signal.SIGTRAP):
    os.kill(1, number)
status = open('/proc/1/status').read()
state = next(line for line in status.splitlines() if line.startswith('State'))
print('stopped' if 'T' in state.upper().split()[1] else 'goes on')
";
    let output = session.output(&format!("/usr/bin/python3 - <<'END'\n{program}\nEND\n"));
    assert_eq!(output, "-1 -1 -1 -1\ngoes on\n");
}

#[test]
fn variables_of_the_session_do_not_reach_the_init() {
    let session = Session::new();
    let (ended, output) = session.run_with("env", |spec| {
        spec.env.push((
            "SECRET".to_owned(),
            "s3cret value\nof two lines".to_owned().into(),
        ));
        // The loader complains about it to whoever has it in the environment.
        spec.env.push((
            "LD_PRELOAD".to_owned(),
            "/home/agent/none.so".to_owned().into(),
        ));
    });
    assert!(ended.success(), "{output}");
    assert!(
        output.contains("SECRET=s3cret value\nof two lines"),
        "{output}"
    );
    assert!(output.contains("'/home/agent/none.so'"), "{output}");
    assert!(!output.contains("init: "), "{output}");
    // Of two programs (bash, env) and of no other.
    assert_eq!(output.matches("ERROR: ld.so").count(), 2, "{output}");
}

#[test]
fn variables_of_the_session_reach_the_command_alone_without_isolation_too() {
    let session = Session::new();
    let mut spec = session.spec("env");
    spec.network = Network::Host;
    spec.cwd = session.workspace();
    for (name, value) in [
        ("LD_PRELOAD", "/nowhere/none.so"),
        ("PATH", "/usr/bin:/none"),
    ] {
        spec.env.push((name.to_owned(), value.to_owned().into()));
    }
    let driver = Process::new(Some(crate::init()));
    let (ended, output) = crate::collect(&driver.launch(&spec).unwrap());
    assert!(ended.success(), "{output}");
    assert!(output.contains("PATH=/usr/bin:/none"), "{output}");
    assert_eq!(output.matches("ERROR: ld.so").count(), 2, "{output}");
}

#[test]
fn a_command_is_found_by_its_path_whatever_path_the_session_has() {
    let session = Session::new();
    let (ended, output) = session.run_with("echo $PATH", |spec| {
        spec.argv[0] = "/bin/bash".to_owned();
        spec.env
            .push(("PATH".to_owned(), "/none".to_owned().into()));
    });
    assert!(ended.success(), "{output}");
    assert_eq!(output, "/none\n");
}

#[test]
fn a_command_that_is_not_there_is_named() {
    let session = Session::new();
    let (ended, output) = session.run_with("", |spec| spec.argv = vec!["mynah".to_owned()]);
    assert_eq!(ended, Ended::Exited(127));
    assert!(output.contains("cannot execute mynah"), "{output}");
}

#[test]
fn orphans_are_reaped() {
    let session = Session::new();
    let script = "for i in 1 2 3 4 5; do (true & exec true); done; \
                  for i in $(seq 500); do \
                    grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | grep -q . || exit 0; \
                    sleep 0.02; \
                  done; exit 9";
    assert_eq!(session.run(script).0, Ended::Exited(0));
}

#[test]
fn signals_for_the_init_are_meant_for_the_command() {
    let session = Session::new();
    let script = "trap 'echo asked; exit 3' TERM; kill -TERM 1; while :; do sleep 0.02; done";
    assert_eq!(
        session.run(script),
        (Ended::Exited(3), "asked\n".to_owned())
    );
}

/// A step of the driver without isolation, whose command leaves a daemon behind.
fn unisolated(script: &str, options: &RunOptions, on_output: &mut dyn FnMut(&[u8])) -> Ended {
    let session = Session::new();
    let mut spec = session.spec(script);
    spec.network = Network::Host;
    spec.cwd = session.workspace();
    let driver = Process::new(Some(crate::init()));
    run(&driver.launch(&spec).unwrap(), options, on_output).unwrap()
}

/// Leaves a daemon that is nobody's child any more, in a session of its own.
fn daemon(name: &str) -> String {
    format!(
        "(setsid bash -c 'trap \"\" TERM INT HUP; exec -a {name} sleep 1000' \
         </dev/null >/dev/null 2>&1 &) &
         until pgrep -f '^{name}' >/dev/null; do :; done; echo ready; "
    )
}

#[test]
fn without_isolation_daemons_do_not_outlive_their_step_either() {
    let name = format!("loose-exit-{}", std::process::id());
    let options = RunOptions {
        timeout: Some(PATIENCE),
        ..RunOptions::default()
    };
    let script = daemon(&name) + "exit 5";
    assert_eq!(unisolated(&script, &options, &mut |_| {}), Ended::Exited(5));
    assert!(command_lines_with(&name).is_empty());

    let name = format!("loose-signal-{}", std::process::id());
    let script = daemon(&name) + "kill -9 $$";
    assert_eq!(
        unisolated(&script, &options, &mut |_| {}),
        Ended::Signaled(9)
    );
    assert!(command_lines_with(&name).is_empty());

    let name = format!("loose-timeout-{}", std::process::id());
    let script = daemon(&name) + "sleep 1000";
    let options = RunOptions {
        timeout: Some(Duration::from_secs(3)),
        ..RunOptions::default()
    };
    assert_eq!(unisolated(&script, &options, &mut |_| {}), Ended::TimedOut);
    assert!(command_lines_with(&name).is_empty());
}

#[test]
fn without_isolation_a_stopped_init_is_killed_all_the_same() {
    // What is left then are the command's own children: nothing keeps them in the same process's
    // reach that a user of the same name could not stop as well.
    let script = "sleep 1000 & echo $!; kill -STOP $PPID; wait";
    let options = RunOptions {
        timeout: Some(Duration::from_secs(1)),
        ..RunOptions::default()
    };
    let mut output = String::new();
    let ended = unisolated(script, &options, &mut |piece| {
        output.push_str(&String::from_utf8_lossy(piece));
    });
    assert_eq!(ended, Ended::TimedOut);
    let left = rustix::process::Pid::from_raw(output.trim().parse().unwrap()).unwrap();
    let _ = rustix::process::kill_process(left, rustix::process::Signal::KILL);
}

#[test]
fn a_missing_init_is_told() {
    let session = Session::new();
    let driver = aod_sandbox::Bubblewrap::new(aod_sandbox::BubblewrapConfig {
        init: Some("/nonexistent/aod-supervisor".into()),
        ..aod_sandbox::BubblewrapConfig::default()
    });
    let error = driver.launch(&session.spec("true")).unwrap_err();
    assert!(error.to_string().contains("aod-supervisor"), "{error}");
    let (ended, _) = collect(&session.launch(&session.spec("true")));
    assert!(ended.success());
}
