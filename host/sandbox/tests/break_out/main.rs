//! Commands that try to get out of a real bubblewrap sandbox, and what they see inside.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod changes;
mod ends;
mod filter;
mod held;
mod image;
mod launches;
mod layers;
mod life;
mod network;
mod polled;
mod quota;
mod sight;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aod_sandbox::{
    Bubblewrap, BubblewrapConfig, Ended, Launch, RunOptions, SandboxDriver, SandboxSpec, run,
};

/// Longer than any command here takes on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Names the init's program, where it is not this crate's example.
const INIT: &str = "AOD_TEST_INIT";

/// The program that is the sandboxes' init: an example of this crate, which Cargo builds for tests.
pub(crate) fn init() -> PathBuf {
    let beside = || {
        let tests = std::env::current_exe().unwrap();
        tests.parent().unwrap().with_file_name("examples/init")
    };
    std::env::var_os(INIT).map_or_else(beside, PathBuf::from)
}

/// Scripts that write more than the 40 MiB which they may, each in a way of its own.
pub(crate) const BURSTS: [&str; 6] = [
    "head -c 200000000 /dev/zero > big",
    "fallocate -l 200000000 big",
    "mkdir -p ~/a/b; head -c 200000000 /dev/zero > ~/a/b/big",
    "head -c 30000000 /dev/zero > ~/some && head -c 30000000 /dev/zero > more",
    "exec 3> gone; rm gone; head -c 200000000 /dev/zero >&3",
    "for n in $(seq 100); do head -c 1000000 /dev/zero > $n || break; done; test -e 90",
];

/// A data folder with one session's home and workspace in it.
pub(crate) struct Session {
    pub(crate) data: tempfile::TempDir,
    pub(crate) driver: Bubblewrap,
}

impl Session {
    pub(crate) fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        for folder in [
            "sessions/own/home",
            "sessions/own/workspace",
            "sessions/other/home",
        ] {
            fs::create_dir_all(data.path().join(folder)).unwrap();
        }
        fs::write(data.path().join("aod.db"), "host-only").unwrap();
        fs::write(data.path().join("sessions/other/home/key"), "host-only").unwrap();
        Self {
            data,
            driver: Bubblewrap::new(BubblewrapConfig {
                init: Some(init()),
                ..BubblewrapConfig::default()
            }),
        }
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.data.path().join("sessions/own/home")
    }

    pub(crate) fn workspace(&self) -> PathBuf {
        self.data.path().join("sessions/own/workspace")
    }

    pub(crate) fn spec(&self, script: &str) -> SandboxSpec {
        let argv = ["bash", "-c", script].map(str::to_owned).into();
        SandboxSpec::new(argv, self.home(), self.workspace())
    }

    pub(crate) fn launch(&self, spec: &SandboxSpec) -> Launch {
        self.driver.launch(spec).unwrap()
    }

    /// Runs a script with what `change` makes of its spec; answers how it ended and what it wrote.
    pub(crate) fn run_with(
        &self,
        script: &str,
        change: impl FnOnce(&mut SandboxSpec),
    ) -> (Ended, String) {
        let mut spec = self.spec(script);
        change(&mut spec);
        collect(&self.launch(&spec))
    }

    pub(crate) fn run(&self, script: &str) -> (Ended, String) {
        self.run_with(script, |_| {})
    }

    /// Runs a script that has to succeed, and answers what it wrote.
    pub(crate) fn output(&self, script: &str) -> String {
        let (ended, output) = self.run(script);
        assert!(ended.success(), "{ended:?}: {output}");
        output
    }
}

pub(crate) fn collect(launch: &Launch) -> (Ended, String) {
    let mut output = Vec::new();
    let options = RunOptions {
        timeout: Some(PATIENCE),
        ..RunOptions::default()
    };
    let ended = run(launch, &options, &mut |piece| {
        output.extend_from_slice(piece)
    })
    .unwrap();
    (ended, String::from_utf8_lossy(&output).into_owned())
}

/// Waits until `condition` holds; fails the test when it never does.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The command lines of all processes of the host that contain `needle`.
pub(crate) fn command_lines_with(needle: &str) -> Vec<String> {
    files_of_processes("cmdline", needle)
}

/// The given file of all processes of the host, where it contains `needle`.
pub(crate) fn files_of_processes(file: &str, needle: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    processes
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| is_number(Path::new(name)))
        })
        .filter_map(|path| fs::read(path.join(file)).ok())
        .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
        .filter(|text| text.contains(needle))
        .collect()
}

fn is_number(name: &Path) -> bool {
    name.to_str()
        .is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
}
