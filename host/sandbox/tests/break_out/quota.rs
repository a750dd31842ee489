//! What home and workspace hold, bounded by the kernel. Where it cannot be (ext4 or XFS with
//! project quotas, and root) these are skipped, and say so.

use std::fs;

use aod_sandbox::{Ended, project_quota};

use crate::{BURSTS, Session, collect};

const MIB: u64 = 1 << 20;

/// A session whose home and workspace are counted together; none, with the reason printed, where
/// they cannot be.
fn counted() -> Option<Session> {
    let session = Session::new();
    if let Err(why) = project_quota::check(session.data.path()) {
        eprintln!("skipped: {why}");
        return None;
    }
    let (home, workspace) = (session.home(), session.workspace());
    project_quota::count_together(&[&home, &workspace]).unwrap();
    Some(session)
}

/// Runs a script that may leave 40 MiB; answers what it wrote.
fn run(session: &Session, script: &str) -> String {
    let mut spec = session.spec(script);
    spec.limits.disk_bytes = Some(40 * MIB);
    let launch = session.launch(&spec);
    assert_eq!(launch.polled_limits.disk, None, "the kernel holds it");
    let (ended, output) = collect(&launch);
    assert_eq!(ended, Ended::Exited(0), "{output}");
    output
}

#[test]
fn no_burst_passes_whatever_is_written() {
    for script in BURSTS {
        let Some(session) = counted() else {
            return;
        };
        let output = run(&session, &format!("{{ {script}; }} 2>&1 || echo refused"));
        assert!(output.ends_with("refused\n"), "{script}: {output}");
        let held = session.output("du -sc --block-size=1 ~ . | tail -1 | cut -f1");
        let held: u64 = held.trim().parse().unwrap();
        assert!(held <= 40 * MIB, "{script}: {held}");
    }
}

#[test]
fn what_is_full_can_be_cleared_up_and_written_to_again() {
    let Some(session) = counted() else {
        return;
    };
    run(
        &session,
        "head -c 200000000 /dev/zero > big 2>/dev/null; true",
    );
    // A CLI has to write something before it can do anything.
    let script = "head -c 1000000 /dev/zero > ~/log && rm big && \
        head -c 30000000 /dev/zero > ok && echo ok";
    assert_eq!(run(&session, script), "ok\n");
}

#[test]
fn nobody_inside_changes_what_is_counted() {
    let Some(session) = counted() else {
        return;
    };
    let program = "import fcntl, os, struct\n\
        GET, SET, FLAGS, SETFLAGS = 0x801c581f, 0x401c5820, 0x80086601, 0x40086602\n\
        def attempt(what, request, data):\n  \
          try: fcntl.ioctl(fd, request, data); print(what, 'done')\n  \
          except OSError as error: print(what, error.errno)\n\
        for path in ('.', os.path.expanduser('~'), 'file'):\n  \
          if path == 'file': open(path, 'w')\n  \
          fd = os.open(path, os.O_RDONLY)\n  \
          had = struct.unpack('=5I8s', fcntl.ioctl(fd, GET, bytes(28)))\n  \
          assert had[3] >= 1 << 30, had\n  \
          attempt('number', SET, struct.pack('=5I8s', *had[:3], 7, *had[4:]))\n  \
          attempt('inherit', SET, struct.pack('=5I8s', had[0] ^ 0x200, *had[1:]))\n  \
          flags = int.from_bytes(fcntl.ioctl(fd, FLAGS, bytes(8)), 'little')\n  \
          attempt('flag', SETFLAGS, (flags ^ 0x20000000).to_bytes(8, 'little'))";
    let output = session.output(&format!("/usr/bin/python3 - <<'END'\n{program}\nEND\n"));
    assert!(!output.contains("done"), "{output}");
    assert_eq!(output.lines().count(), 9, "{output}");
}

#[test]
fn sessions_are_counted_apart_and_a_limit_goes_when_it_is_forgotten() {
    let (Some(one), Some(other)) = (counted(), counted()) else {
        return;
    };
    run(&one, "head -c 200000000 /dev/zero > big 2>/dev/null; true");
    assert_eq!(
        run(&other, "head -c 30000000 /dev/zero > big && echo ok"),
        "ok\n"
    );
    // As large as the file system is where a folder has no limit.
    let size = |session: &Session| {
        let found = rustix::fs::statvfs(session.home()).unwrap();
        found.f_blocks * found.f_frsize
    };
    assert_eq!((size(&one), size(&other)), (40 * MIB, 40 * MIB));
    project_quota::forget(&one.home()).unwrap();
    assert!(size(&one) > size(&other));
    let script = "head -c 60000000 /dev/zero > all && echo ok";
    let (_, output) = one.run_with(script, |spec| spec.limits.disk_bytes = None);
    assert_eq!(output, "ok\n");
}

#[test]
fn what_was_there_before_is_no_ones_project() {
    let Some(session) = counted() else {
        return;
    };
    let old = session.data.path().join("old");
    fs::create_dir(&old).unwrap();
    fs::write(old.join("file"), "").unwrap();
    project_quota::count_together(&[&old]).unwrap_err();
    // It is polled, as ever.
    let mut spec = session.spec("true");
    spec.home = old;
    spec.limits.disk_bytes = Some(40 * MIB);
    assert!(session.launch(&spec).polled_limits.disk.is_some());
}
