//! Limits of memory and of the disk: what counts, and what does not, whether the kernel holds them or
//! they are polled.

use aod_sandbox::{Ended, LimitExceeded, Limits};

use crate::{Session, collect};

const MIB: u64 = 1 << 20;

/// Runs Python under a memory limit; none where that cannot be tried.
fn python(limit_mib: u64, program: &str) -> Option<(Ended, String)> {
    if !std::path::Path::new("/usr/bin/python3").exists() {
        eprintln!("skipped: no /usr/bin/python3");
        return None;
    }
    let session = Session::new();
    let mut spec = session.spec(&format!("/usr/bin/python3 - <<'END'\n{program}\nEND\n"));
    spec.limits = Limits {
        memory_bytes: Some(limit_mib * MIB),
        ..Limits::default()
    };
    Some(collect(&session.launch(&spec)))
}

fn assert_over(ended: Ended, output: &str) {
    let Ended::OverLimit(LimitExceeded::Memory { used, limit }) = ended else {
        panic!("{ended:?}: {output}");
    };
    // A cgroup lets nobody have more.
    assert!(used >= limit && limit % MIB == 0, "{ended:?}");
}

#[test]
fn memory_that_is_allocated_fast_is_noticed() {
    let program = "import time; data = bytearray(2000 << 20); time.sleep(60)";
    if let Some((ended, output)) = python(500, program) {
        assert_over(ended, &output);
    }
}

#[test]
fn memory_shared_between_processes_counts() {
    let program = "import mmap, os, time\n\
        data = mmap.mmap(-1, 300 << 20)\n\
        for n in range(300): data.write(bytes(1 << 20))\n\
        time.sleep(60)";
    if let Some((ended, output)) = python(200, program) {
        assert_over(ended, &output);
    }
}

#[test]
fn files_in_temporary_folders_count() {
    let program = "import time\n\
        for path in ('/tmp/a', '/dev/shm/a', '/run/a'):\n  \
          with open(path, 'wb') as file:\n    \
            for n in range(120): file.write(bytes(1 << 20))\n\
        time.sleep(60)";
    if let Some((ended, output)) = python(200, program) {
        assert_over(ended, &output);
    }
}

#[test]
fn files_without_a_name_count() {
    let program = "import os, time\n\
        fd = os.memfd_create('x')\n\
        for n in range(300): os.write(fd, bytes(1 << 20))\n\
        time.sleep(60)";
    if let Some((ended, output)) = python(200, program) {
        assert_over(ended, &output);
    }
}

#[test]
fn segments_of_shared_memory_that_nobody_has_attached_count() {
    let program = "import ctypes, time\n\
        c = ctypes.CDLL(None); c.shmat.restype = ctypes.c_void_p\n\
        c.shmget.argtypes = [ctypes.c_int, ctypes.c_size_t, ctypes.c_int]\n\
        c.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]\n\
        c.shmdt.argtypes = [ctypes.c_void_p]\n\
        for n in range(3):\n  \
          at = c.shmat(c.shmget(0, 100 << 20, 0o1600), None, 0)\n  \
          ctypes.memset(at, 1, 100 << 20)\n  \
          c.shmdt(at)\n\
        time.sleep(60)";
    if let Some((ended, output)) = python(200, program) {
        assert_over(ended, &output);
    }
}

#[test]
fn messages_that_nobody_has_received_count() {
    let program = "import ctypes, time\n\
        c = ctypes.CDLL(None); text = ctypes.create_string_buffer(bytes(8 + 8000))\n\
        text[0] = b'1'\n\
        for n in range(9000):\n  \
          queue = c.msgget(0, 0o1600)\n  \
          for m in range(2): c.msgsnd(queue, text, 8000, 0o4000)\n\
        time.sleep(60)";
    if let Some((ended, output)) = python(100, program) {
        assert_over(ended, &output);
    }
}

#[test]
fn temporary_folders_count_where_no_process_can_be_looked_at() {
    let program = "import ctypes, os, time\n\
        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\n\
        with open('/tmp/a', 'wb') as file:\n  \
          for n in range(180): file.write(bytes(1 << 20))\n\
        fd = os.memfd_create('x')\n\
        for n in range(180): os.write(fd, bytes(1 << 20))\n\
        time.sleep(60)";
    if let Some((ended, output)) = python(200, program) {
        assert_over(ended, &output);
    }
}

#[test]
fn a_process_that_cannot_be_looked_at_counts_as_well() {
    let program = "import ctypes, time\n\
        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\n\
        data = bytearray(300 << 20); time.sleep(60)";
    if let Some((ended, output)) = python(200, program) {
        assert_over(ended, &output);
    }
}

#[test]
fn temporary_folders_are_never_larger_than_the_memory() {
    let session = Session::new();
    // Whoever fills one is over the limit of memory as well, where a cgroup holds that.
    let script = "stat --file-system --format '%b %S' /tmp /run /dev/shm";
    let (_, output) = session.run_with(script, |spec| {
        spec.limits.temporary_bytes = None;
        spec.limits.memory_bytes = Some(16 * MIB);
    });
    let sizes = output.lines().map(|line| {
        let (blocks, size) = line.split_once(' ').unwrap();
        blocks.parse::<u64>().unwrap() * size.parse::<u64>().unwrap()
    });
    assert_eq!(sizes.collect::<Vec<_>>(), [16 * MIB; 3], "{output}");
}

#[test]
fn a_storm_of_forks_is_bounded_before_it_is_measured() {
    // Counts those that live at once, as long as it lives itself.
    let program = "import os, sys, time\n\
        alive = 0\n\
        for n in range(20000):\n  \
          try:\n    \
            if os.fork() == 0:\n      time.sleep(60)\n    \
            alive += 1\n  \
          except OSError: break\n\
        print(alive, flush=True)\n\
        time.sleep(60)";
    let session = Session::new();
    let mut spec = session.spec(&format!("/usr/bin/python3 - <<'END'\n{program}\nEND\n"));
    spec.limits = Limits {
        pids: Some(100),
        ..Limits::default()
    };
    let launch = session.launch(&spec);
    if launch.polled_limits.pids.is_none() || !std::path::Path::new("/usr/bin/python3").exists() {
        eprintln!("skipped: something else bounds processes here, or there is no Python");
        return;
    }
    let (ended, output) = collect(&launch);
    let Ended::OverLimit(LimitExceeded::Pids { used, limit: 100 }) = ended else {
        panic!("{ended:?}: {output}");
    };
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut version = release
        .split(['.', '-'])
        .map(|part| part.parse::<u32>().unwrap_or(0));
    if (version.next(), version.next()) < (Some(6), Some(14)) {
        eprintln!("skipped: Linux {release} bounds no pid namespace");
        return;
    }
    // The kernel gives each pid below three hundred once.
    assert!(used <= 100 + 301, "{used}");
}

#[test]
fn six_hundred_forks_of_a_small_program_are_no_gigabyte() {
    let program = "import os, time\n\
        reading, writing = os.pipe()\n\
        data = bytearray(8 << 20)\n\
        for n in range(600):\n  \
          if os.fork() == 0:\n    \
            os.close(writing); os.read(reading, 1); os._exit(0)\n\
        time.sleep(4); print('all lived', flush=True)";
    if let Some((ended, output)) = python(700, program) {
        assert_eq!((ended, output.as_str()), (Ended::Exited(0), "all lived\n"));
    }
}

#[test]
fn what_is_left_on_the_disk_is_bounded_whatever_its_name() {
    for script in [
        "head -c 60000000 /dev/urandom > big; sleep 60",
        "mkdir -p ~/a/b; for n in $(seq 60); do head -c 1000000 /dev/urandom > ~/a/b/$n; done; sleep 60",
        "exec 3> gone; rm gone; head -c 60000000 /dev/urandom >&3; sleep 60",
    ] {
        let session = Session::new();
        let mut spec = session.spec(script);
        spec.limits.disk_bytes = Some(20 * MIB);
        let (ended, output) = collect(&session.launch(&spec));
        let Ended::OverLimit(LimitExceeded::Disk { used, limit }) = ended else {
            panic!("{script}: {ended:?}: {output}");
        };
        assert!(used > limit && limit == 20 * MIB, "{script}: {ended:?}");
    }
}

#[test]
fn what_is_too_much_on_the_disk_can_be_cleared_up() {
    let session = Session::new();
    session.run("head -c 60000000 /dev/urandom > big");
    let (_, output) = session.run_with("sleep 1; rm big; echo cleared", |spec| {
        spec.limits.disk_bytes = Some(20 * MIB);
    });
    assert_eq!(output, "cleared\n");
}
