//! Real command-line programs, ordinary users, and what the probe says.

use std::path::{Path, PathBuf};
use std::process::Command;

use aod_sandbox::{Mount, Process, SandboxDriver as _, State};

use crate::Session;

/// A folder with installed agents (`npm install` in it), for checking that they start.
const AGENTS: &str = "AOD_TEST_AGENTS";

#[test]
fn installed_agents_start() {
    let Some(folder) = std::env::var_os(AGENTS).map(PathBuf::from) else {
        eprintln!("skipped: {AGENTS} names no folder with installed agents");
        return;
    };
    let session = Session::new();
    let programs = folder.join("node_modules/.bin");
    let mut started = 0;
    for name in std::fs::read_dir(&programs)
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
    {
        let name = name.to_str().unwrap().to_owned();
        if !["claude", "codex", "gemini", "opencode"].contains(&name.as_str()) {
            continue;
        }
        let (ended, output) = session.run_with("", |spec| {
            spec.argv = vec![
                format!("/opt/aod/runtimes/x/node_modules/.bin/{name}"),
                "--version".into(),
            ];
            spec.read_only
                .push(Mount::new(&folder, "/opt/aod/runtimes/x"));
        });
        println!("{name}: {output}");
        assert!(
            ended.success() && output.contains('.'),
            "{name}: {ended:?} {output}"
        );
        started += 1;
    }
    assert!(started > 0, "no agent in {}", programs.display());
}

#[test]
fn works_for_an_ordinary_user() {
    as_an_ordinary_user(
        "",
        &[
            "sight::",
            "filter::",
            "network::",
            "layers::",
            "life::",
            "ends::",
            "polled::",
            "pids_are_limited_for_ordinary_users",
        ],
    );
}

/// As a service manager mounts something over folders, and a container engine over files.
#[test]
fn layers_lie_over_a_system_in_which_something_is_mounted() {
    let mounts = format!(
        "mount -t tmpfs none /usr/share/doc && echo mounted >{} && mount --bind /proc/version \
         /etc/hosts && ",
        crate::layers::MOUNTED
    );
    as_an_ordinary_user(&mounts, &["layers::"]);
}

/// Runs tests of this program again as `nobody`, after a script that changes mounts for them alone.
fn as_an_ordinary_user(mounts: &str, tests: &[&str]) {
    if !rustix::process::getuid().is_root() {
        eprintln!("skipped: every test here runs as an ordinary user already");
        return;
    }
    let copy = tempfile::tempdir().unwrap();
    // As Cargo places them.
    let (deps, examples) = (copy.path().join("deps"), copy.path().join("examples"));
    let (program, init) = (deps.join("tests"), examples.join("init"));
    let greeter = examples.join("greeter");
    for folder in [&deps, &examples] {
        std::fs::create_dir(folder).unwrap();
    }
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    std::fs::copy(crate::init(), &init).unwrap();
    std::fs::copy(crate::network::greeter(), &greeter).unwrap();
    for path in [copy.path(), &deps, &examples, &program, &init, &greeter] {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
    }
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &format!("{mounts}exec \"$@\""), "sh"])
        .args(["setpriv", "--reuid=65534", "--regid=65534"])
        .args(["--clear-groups", "--inh-caps=-all"])
        .arg(&program)
        .args(tests)
        .env("TMPDIR", "/tmp")
        .env(crate::INIT, &init)
        .env_remove(AGENTS)
        .current_dir("/")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains("test result: ok"), "{text}");
}

#[test]
fn pids_are_limited_for_ordinary_users() {
    if rustix::process::getuid().is_root() {
        eprintln!("skipped: the kernel exempts root; see works_for_an_ordinary_user");
        return;
    }
    let session = Session::new();
    let script = "for i in $(seq 60); do sleep 1000 & done 2>/dev/null; echo unlimited";
    let (_, output) = session.run_with(script, |spec| {
        spec.limits.pids = Some(20);
        spec.argv.insert(0, "timeout".into());
        spec.argv.insert(1, "5".into());
    });
    assert!(!output.contains("unlimited"), "{output}");
}

#[test]
fn the_probe_tells_what_is_in_force() {
    let session = Session::new();
    let probe = session.driver.probe();
    assert!(probe.usable, "{probe:#?}");
    for name in [
        "isolation",
        "seccomp",
        "network",
        "loopback",
        "abstract_sockets",
        "files",
    ] {
        let check = probe
            .checks
            .iter()
            .find(|check| check.name == name)
            .unwrap();
        assert_eq!(check.state, State::Enforced, "{check:?}");
    }
    println!("{probe:#?}");

    let sharing = aod_sandbox::Bubblewrap::new(aod_sandbox::BubblewrapConfig {
        init: Some(crate::init()),
        shares_network: true,
        ..aod_sandbox::BubblewrapConfig::default()
    });
    let probe = sharing.probe();
    for name in ["network", "loopback", "abstract_sockets"] {
        assert!(
            probe.shortcomings().any(|check| check.name == name),
            "{name}"
        );
    }

    let missing = aod_sandbox::Bubblewrap::new(aod_sandbox::BubblewrapConfig {
        program: Some("/nonexistent/bwrap".into()),
        ..aod_sandbox::BubblewrapConfig::default()
    });
    let probe = missing.probe();
    assert!(!probe.usable && probe.checks[0].detail.contains("apt install bubblewrap"));
}

#[test]
fn the_process_driver_isolates_nothing_and_says_so() {
    let session = Session::new();
    let driver = Process::new(Some(crate::init()));
    let (home, workspace) = (session.home(), session.workspace());
    let mut spec = session.spec("echo $HOME; pwd; cat ~/.tool/key; stat -c %a ~/.tool/key");
    assert!(
        driver.launch(&spec).is_err(),
        "it has no network of its own to give"
    );
    spec.network = aod_sandbox::Network::Host;
    spec.cwd = driver.place(&workspace, Path::new("/workspace"));
    spec.private_files.push(aod_sandbox::PrivateFile {
        path: driver
            .place(&home, Path::new("/home/agent"))
            .join(".tool/key"),
        mode: 0o600,
        content: b"secret\n".to_vec().into(),
    });
    let (ended, output) = crate::collect(&driver.launch(&spec).unwrap());
    assert!(ended.success());
    let expected = format!("{}\n{}\nsecret\n600\n", home.display(), workspace.display());
    assert_eq!(output, expected);
    assert_eq!(driver.probe().checks[0].state, State::NotEnforced);
}
