//! What a command sees and can write.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};

use aod_sandbox::{Ended, Mount, Network, PrivateFile, SandboxDriver as _, SandboxError};

use crate::{Session, collect, files_of_processes};

fn private(path: &str, content: &str) -> PrivateFile {
    PrivateFile {
        path: path.into(),
        mode: 0o600,
        content: content.as_bytes().to_vec().into(),
    }
}

#[test]
fn sees_neither_the_data_folder_nor_homes_nor_sockets_of_the_host() {
    let session = Session::new();
    let data = session.data.path().display().to_string();
    for path in [
        data.as_str(),
        "/root",
        "/var/run/docker.sock",
        "/run/docker.sock",
        "/etc/shadow",
        "/etc/ssh",
        "/etc/ssl/private",
        "/sys/kernel",
        "/var/lib/dpkg",
        "/work",
        "/boot",
        "/oldroot",
        "/newroot",
    ] {
        session.output(&format!("! test -e {path}"));
    }
    assert_eq!(session.output("ls /home"), "agent\n");
    assert_eq!(
        session.output("ls -A /home/agent /tmp | grep -v : | grep . || true"),
        ""
    );
}

#[test]
fn nothing_outside_its_own_folders_can_be_written() {
    let session = Session::new();
    for path in [
        "/usr/x",
        "/usr/bin/x",
        "/etc/x",
        "/bin/x",
        "/x",
        "/dev/x",
        "/var/x",
        "/home/x",
        "/opt",
        "/proc/sys/kernel/core_pattern",
        "/proc/sysrq-trigger",
        "/etc/passwd",
        "/etc/hosts",
        "/etc/ssl/certs/ca-certificates.crt",
    ] {
        // Opens for appending and writes nothing: a failing test must not change the host.
        session.output(&format!("! (: >> {path}) 2>/dev/null"));
    }
    session.output("for d in ~ /workspace /tmp /run /dev/shm /var/tmp; do echo x > $d/own; done");
    assert_eq!(
        fs::read_to_string(session.home().join("own")).unwrap(),
        "x\n"
    );
    assert_eq!(
        fs::read_to_string(session.workspace().join("own")).unwrap(),
        "x\n"
    );
}

#[test]
fn nothing_else_is_writable_by_what_the_kernel_says() {
    let session = Session::new();
    let own = [
        "/home/agent",
        "/workspace",
        "/tmp",
        "/run",
        "/dev",
        "/proc/[0-9]*",
        "/proc/*self",
    ];
    let pruned = own.map(|path| format!("-path '{path}'")).join(" -o ");
    // Masked files are devices in truth, whatever the folder's listing says of them.
    let script = format!(
        "find / \\( {pruned} \\) -prune -o \\( -type f -o -type d \\) -writable -print 2>/dev/null |
         while read -r path; do test -c \"$path\" || echo \"$path\"; done"
    );
    assert_eq!(session.output(&script), "");
    assert_eq!(
        session.output("echo $(ls /dev)"),
        "core fd full null ptmx pts random shm stderr stdin stdout tty urandom zero\n"
    );
}

#[test]
fn the_hosts_kernel_and_hardware_are_not_described() {
    let session = Session::new();
    let script = "cd /proc
        for file in allocinfo buddyinfo cmdline config.gz consoles diskstats interrupts iomem \
            ioports kallsyms kcore key-users keys kmsg kpagecgroup kpagecount kpageflags \
            latency_stats mdstat modules mtrr pagetypeinfo partitions sched_debug slabinfo \
            softirqs swaps timer_list timer_stats vmallocinfo zoneinfo; do
            test -e $file || continue
            test -c $file && test -z \"$(timeout 9 head -c 1 $file | tr '\\0' x)\" || echo $file
        done
        for folder in acpi asound bus driver fs irq scsi tty/driver; do
            test ! -e $folder || test -z \"$(ls -A $folder)\" || echo $folder
        done
        test ! -e /sys || echo /sys";
    assert_eq!(session.output(script), "");
    // What programs do read.
    session.output(
        "cd /proc; for file in cpuinfo meminfo stat uptime loadavg version filesystems mounts \
         sys/kernel/osrelease self/cgroup net/tcp; do test -n \"$(head -c 1 $file)\" || exit 1; done",
    );
}

#[test]
fn is_an_unprivileged_user_in_a_pid_namespace_of_its_own() {
    let session = Session::new();
    let status = session.output("cat /proc/self/status");
    for line in [
        "Uid:\t1000\t1000\t1000\t1000",
        "Gid:\t1000\t1000\t1000\t1000",
        "CapInh:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "CapAmb:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        assert!(status.contains(line), "{line} is not in\n{status}");
    }
    let pids = session.output("ls /proc | grep -c '^[0-9]'");
    assert!(pids.trim().parse::<u32>().unwrap() < 8, "{pids}");
    assert_eq!(
        session.output("id -un; pwd; echo $HOME; hostname; tty || true"),
        "agent\n/workspace\n/home/agent\nsandbox\nnot a tty\n"
    );
    let host = std::process::id();
    session.output(&format!(
        "! kill -0 {host} 2>/dev/null && ! kill -0 -- -{host} 2>/dev/null"
    ));
}

#[test]
fn inherits_no_descriptor() {
    let session = Session::new();
    // One that this process leaves open across `exec`, as programs that started it may have.
    let open = fs::File::open("/usr").unwrap();
    let flags = rustix::io::FdFlags::empty();
    rustix::io::fcntl_setfd(&open, flags).unwrap();
    // The last one is the listing's own.
    assert_eq!(session.output("echo $(ls /proc/self/fd)"), "0 1 2 3\n");
}

#[test]
fn the_environment_is_the_spec_and_nothing_else() {
    let session = Session::new();
    let (_, output) = session.run_with("env | cut -d= -f1 | sort | tr '\\n' ' '", |spec| {
        spec.env.push(("KEY".into(), "v".to_owned().into()));
    });
    assert_eq!(
        output.trim(),
        "HOME KEY LANG LOGNAME PATH PWD SHELL SHLVL TMPDIR USER _"
    );
}

#[test]
fn a_loader_variable_takes_effect_inside_only() {
    let session = Session::new();
    let library = session.workspace().join("evil.so");
    let script = "echo 'void __attribute__((constructor)) f(void) { \
                  extern int printf(const char *, ...); printf(\"loaded\\n\"); }' > evil.c
                  cc -shared -fPIC -o evil.so evil.c";
    if !session.run(script).0.success() {
        eprintln!("skipped: no C compiler in /usr");
        return;
    }
    let (ended, output) = session.run_with("true", |spec| {
        let path = library.display().to_string();
        spec.env.push(("LD_PRELOAD".into(), path.into()));
    });
    assert!(ended.success() && !output.contains("loaded\n"), "{output}");
    let (_, output) = session.run_with("true", |spec| {
        spec.env
            .push(("LD_PRELOAD".into(), "/workspace/evil.so".to_owned().into()));
    });
    assert!(output.contains("loaded\n"), "{output}");
}

#[test]
fn private_files_are_private_and_on_no_disk() {
    let session = Session::new();
    let secret = "private-file-8a41c7";
    let script = "stat -c '%a %u' /run/aod/key ~/.tool/auth.json /workspace/.env
                  cat /run/aod/key ~/.tool/auth.json /workspace/.env
                  echo changed > ~/.tool/auth.json && cat ~/.tool/auth.json";
    let (ended, output) = session.run_with(script, |spec| {
        for path in [
            "/run/aod/key",
            "/home/agent/.tool/auth.json",
            "/workspace/.env",
        ] {
            spec.private_files
                .push(private(path, &format!("{secret}\n")));
        }
    });
    assert!(ended.success(), "{output}");
    let expected = format!(
        "{}{}changed\n",
        "600 1000\n".repeat(3),
        format!("{secret}\n").repeat(3)
    );
    assert_eq!(output, expected);
    for file in [
        session.home().join(".tool/auth.json"),
        session.workspace().join(".env"),
    ] {
        assert_eq!(fs::read(&file).unwrap(), b"", "{}", file.display());
    }
}

#[test]
fn a_planted_link_does_not_lead_a_later_launch_out() {
    let session = Session::new();
    let outside = session.data.path().join("sessions/other/home");
    symlink(
        format!("/oldroot{}", outside.display()),
        session.home().join(".tool"),
    )
    .unwrap();
    let mut spec = session.spec("true");
    spec.private_files
        .push(private("/home/agent/.tool/authorized_keys", "x"));
    let error = session.driver.launch(&spec).unwrap_err();
    assert!(
        matches!(error, SandboxError::UnsafeMountPoint { .. }),
        "{error}"
    );
    assert!(!outside.join("authorized_keys").exists());

    let mut spec = session.spec("true");
    spec.read_only
        .push(Mount::new("/usr/share", "/home/agent/.tool/skills"));
    assert!(session.driver.launch(&spec).is_err());
}

#[test]
fn mounts_are_as_writable_as_they_were_said_to_be() {
    let session = Session::new();
    let tools = tempfile::tempdir().unwrap();
    let staging = tempfile::tempdir().unwrap();
    fs::write(tools.path().join("tool"), "#!/bin/sh\necho ran\n").unwrap();
    fs::set_permissions(tools.path().join("tool"), PermissionsExt::from_mode(0o755)).unwrap();
    let script = "/opt/aod/runtimes/x/tool
                  ! (echo > /opt/aod/runtimes/x/new) 2>/dev/null || exit 1
                  ! (echo > /opt/aod/runtimes/x/tool) 2>/dev/null || exit 1
                  ! rm -f /opt/aod/runtimes/x/tool 2>/dev/null || exit 1
                  ! (echo > ~/.skills/new) 2>/dev/null || exit 1
                  echo made > /opt/aod/staging/new";
    let (ended, output) = session.run_with(script, |spec| {
        spec.read_only
            .push(Mount::new(tools.path(), "/opt/aod/runtimes/x"));
        spec.read_only
            .push(Mount::new(tools.path(), "/home/agent/.skills"));
        spec.writable
            .push(Mount::new(staging.path(), "/opt/aod/staging"));
    });
    assert_eq!((ended, output.as_str()), (Ended::Exited(0), "ran\n"));
    assert_eq!(
        fs::read_to_string(staging.path().join("new")).unwrap(),
        "made\n"
    );
    for reserved in [
        "/",
        "/usr/x",
        "/proc",
        "/home",
        "/home/agent",
        "/workspace",
        "/lib/x",
    ] {
        let mut spec = session.spec("true");
        spec.writable.push(Mount::new(staging.path(), reserved));
        assert!(session.driver.launch(&spec).is_err(), "{reserved}");
    }
}

#[test]
fn host_names_resolve_as_said() {
    let session = Session::new();
    let (_, output) = session.run_with("getent hosts api.example.test | tr -s ' '", |spec| {
        spec.hosts
            .push(("api.example.test".into(), [127, 0, 0, 7].into()));
    });
    assert_eq!(output, "127.0.0.7 api.example.test\n");
}

#[test]
fn without_a_network_the_hosts_loopback_is_out_of_reach() {
    let session = Session::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = format!("(exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null && echo reached");
    let reach = |network| session.run_with(&script, |spec| spec.network = network).1;
    assert_eq!(reach(Network::None), "");
    assert_eq!(reach(Network::Host), "reached\n");
}

#[test]
fn secrets_are_in_no_command_line_and_outside_in_no_environment() {
    let session = Session::new();
    let secret = "s3cret-5d0e77b1";
    let mut spec = session.spec("echo ready; read -r; echo $KEY");
    spec.env.push(("KEY".into(), secret.to_owned().into()));
    spec.private_files.push(private("/run/aod/key", secret));
    let launch = session.launch(&spec);
    assert!(!format!("{launch:?} {spec:?}").contains(secret));
    assert!(!launch.args.iter().any(|argument| argument.contains(secret)));
    let marker = launch.program.display().to_string();
    let options = aod_sandbox::RunOptions {
        timeout: Some(crate::PATIENCE),
        ..Default::default()
    };
    let mut seen = Vec::new();
    aod_sandbox::run(&launch, &options, &mut |piece| {
        if piece.ends_with(b"ready\n") {
            assert!(!crate::command_lines_with(&marker).is_empty());
            seen.extend(crate::command_lines_with(secret));
            // The command itself has it, inside its own user namespace; bubblewrap outside has not.
            seen.extend(
                files_of_processes("environ", secret)
                    .into_iter()
                    .filter(|environment| !environment.contains("HOME=/home/agent")),
            );
        }
    })
    .unwrap();
    assert_eq!(seen, Vec::<String>::new());
    let (_, output) = collect(&session.launch(&{
        let mut again = spec.clone();
        again.argv = ["bash", "-c", "echo $KEY"].map(str::to_owned).into();
        again
    }));
    assert_eq!(output.trim(), secret);
}
