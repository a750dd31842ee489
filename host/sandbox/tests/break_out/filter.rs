//! System calls that are refused, and tools that still work.

use crate::Session;

/// Runs Python inside. Debian's own, since others may live outside /usr.
fn python(session: &Session, program: &str) -> Option<String> {
    if !std::path::Path::new("/usr/bin/python3").exists() {
        eprintln!("skipped: no /usr/bin/python3");
        return None;
    }
    let program = format!(
        "/usr/bin/python3 - <<'END'\nimport ctypes, errno, os, socket\n\
         libc = ctypes.CDLL(None, use_errno=True)\n\
         def call(*arguments):\n  \
           ctypes.set_errno(0)\n  \
           result = libc.syscall(*[ctypes.c_long(a) for a in arguments])\n  \
           return errno.errorcode.get(ctypes.get_errno()) if result < 0 else 'done'\n\
         {program}\nEND\n"
    );
    Some(session.output(&program))
}

#[test]
#[cfg(target_arch = "x86_64")]
fn dangerous_calls_are_refused() {
    let session = Session::new();
    let calls = [
        ("mount", libc::SYS_mount),
        ("umount2", libc::SYS_umount2),
        ("pivot_root", libc::SYS_pivot_root),
        ("fsopen", libc::SYS_fsopen),
        ("open_tree", libc::SYS_open_tree),
        ("move_mount", libc::SYS_move_mount),
        ("setns", libc::SYS_setns),
        ("bpf", libc::SYS_bpf),
        ("keyctl", libc::SYS_keyctl),
        ("add_key", libc::SYS_add_key),
        ("perf", libc::SYS_perf_event_open),
        ("userfaultfd", libc::SYS_userfaultfd),
        ("io_uring", libc::SYS_io_uring_setup),
        ("handle", libc::SYS_open_by_handle_at),
        ("module", libc::SYS_init_module),
        ("kexec", libc::SYS_kexec_load),
        ("reboot", libc::SYS_reboot),
        ("acct", libc::SYS_acct),
        ("swapon", libc::SYS_swapon),
        ("quotactl", libc::SYS_quotactl),
        ("syslog", libc::SYS_syslog),
    ];
    for (name, number) in calls {
        let Some(output) = python(
            &session,
            &format!("print(call({number}, 0, 0, 0, 0, 0, 0))"),
        ) else {
            return;
        };
        assert_eq!(output, "EPERM\n", "{name}");
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn arguments_are_looked_at_where_they_decide() {
    let session = Session::new();
    let cases = [
        // Namespaces, one by one, with upper bits that a careless comparison would trip over.
        ("call(272, 0x10000000)", "EPERM"),
        ("call(272, 0x00020000)", "EPERM"),
        ("call(272, 0x40000000)", "EPERM"),
        ("call(272, 0x20000000)", "EPERM"),
        ("call(272, 0x80)", "EPERM"),
        ("call(272, 0x110000000)", "EPERM"),
        ("call(272, 0x400)", "done"),
        ("call(56, 0x10000011, 0, 0, 0, 0)", "EPERM"),
        ("call(435, 0, 0)", "ENOSYS"),
        // An x32 call.
        ("call(0x40000000 + 39)", "ENOSYS"),
        ("call(16, 0, 0x5412, 0)", "EPERM"),
        ("call(16, 0, 0x541c, 0)", "EPERM"),
        ("call(16, 0, 0x100005412, 0)", "EPERM"),
        ("call(135, 0xffffffff)", "done"),
        ("call(135, 0x40000)", "done"),
        ("call(135, 0x0400000)", "EPERM"),
        ("call(41, 40, 1, 0)", "EPERM"),
        ("call(41, 38, 5, 0)", "EPERM"),
        ("call(41, 17, 3, 0)", "EPERM"),
        ("call(41, 16, 3, 12)", "EPERM"),
        ("call(41, 16, 3, 0)", "done"),
        ("call(41, 1, 1, 0)", "done"),
        ("call(41, 2, 1, 0)", "done"),
        ("call(41, 10, 1, 0)", "done"),
    ];
    for (call, expected) in cases {
        let Some(output) = python(&session, &format!("print({call})")) else {
            return;
        };
        assert_eq!(output.trim(), expected, "{call}");
    }
}

#[test]
fn namespace_tools_fail() {
    let session = Session::new();
    for tool in [
        "unshare -Ur true",
        "unshare -n true",
        "nsenter -t 1 -m true",
        "mount -t tmpfs x /tmp",
        "umount /tmp",
        "bwrap --bind / / true",
        "chroot / true",
    ] {
        session.output(&format!("! {tool} 2>/dev/null"));
    }
}

#[test]
fn debuggers_reach_their_own_processes() {
    let session = Session::new();
    // PTRACE_TRACEME, and PTRACE_ATTACH on a process that is not there for this namespace.
    let host = std::process::id();
    let program = format!("print(libc.ptrace(0, 0, 0, 0)); print(libc.ptrace(16, {host}, 0, 0))");
    if let Some(output) = python(&session, &program) {
        assert_eq!(output, "0\n-1\n");
    }
}
