//! A turn under the real binary with a real shell.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "tests; each file uses a part"
)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aod_launch::{DataFd, KillRoute, Launch, PolledLimits, SignalRoute, SignalTarget};
use aod_log::{Flags, Fsync, Kind, Options, Reader, is_locked};
use aod_supervisor::{
    Clock, Control, Effect, Exited, Fragment, Interrupt, Request, Secret, SpawnError, Started,
    Stdin, TurnSpec, spawn,
};

pub const BINARY: &str = env!("CARGO_BIN_EXE_aod-supervisor");
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Case {
    folder: tempfile::TempDir,
    pub spec: TurnSpec,
}

pub struct Entry {
    pub id: u64,
    pub kind: Kind,
    pub flags: Flags,
    pub time: i64,
    pub payload: Vec<u8>,
}

impl Case {
    /// A turn that runs `script` with sh.
    pub fn sh(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let spec = TurnSpec {
            session: "s".to_owned(),
            turn: 1,
            log_dir: folder.path().join("log"),
            log: Options {
                fsync: Fsync::Never,
                ..Options::default()
            },
            last_id: 0,
            control_socket: folder.path().join("control.sock"),
            begin: serde_json::json!({ "fact": 1 }),
            launch: Launch {
                program: "/bin/sh".into(),
                args: vec!["-c".to_owned(), script.to_owned()],
                env: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned().into())],
                cwd: folder.path().to_owned(),
                cgroup: None,
                data_fds: Vec::new(),
                signal_route: SignalRoute::Started,
                kill_route: KillRoute::Group,
                polled_limits: PolledLimits::default(),
                egress: None,
            },
            stdin: Stdin::None,
            secrets: Vec::new(),
            clock: Clock {
                timeout_ms: 60_000,
                idle_ms: 0,
                grace_ms: 5_000,
                after_result_grace_ms: 0,
                rest_ms: 0,
            },
            interrupt: Interrupt::default(),
            max_requests: None,
        };
        Self { folder, spec }
    }

    pub fn secret(mut self, name: &str, value: &str) -> Self {
        self.spec.secrets.push(Secret {
            name: name.to_owned(),
            value: value.to_owned(),
            is_open: false,
        });
        self.spec
            .launch
            .env
            .push((name.to_owned(), value.to_owned().into()));
        self
    }

    pub fn data(mut self, fd: i32, content: &str) -> Self {
        self.spec.launch.data_fds.push(DataFd {
            fd,
            content: content.to_owned().into(),
        });
        self
    }

    pub fn to(mut self, to: SignalTarget) -> Self {
        self.spec.interrupt.to = to;
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn try_start(&self) -> Result<Started, SpawnError> {
        spawn(Path::new(BINARY), &self.spec)
    }

    pub fn start(&self) -> Started {
        self.try_start().unwrap()
    }

    pub fn control(&self) -> Control {
        Control::connect(&self.spec.control_socket, Duration::from_secs(10)).unwrap()
    }

    pub fn send(&self, request: Request) {
        self.control().send(&request).unwrap();
    }

    /// Waits until stdout has a line.
    pub fn wait_for_line(&self, line: &str) {
        until(&format!("the line {line:?}"), || {
            self.entries()
                .iter()
                .any(|entry| entry.payload == format!("{line}\n").as_bytes())
        });
    }

    pub fn entries(&self) -> Vec<Entry> {
        let mut reader = Reader::open(&self.spec.log_dir).unwrap();
        let mut entries = Vec::new();
        while let Some(record) = reader.next().unwrap() {
            entries.push(Entry {
                id: record.id,
                kind: record.kind,
                flags: record.flags,
                time: record.time,
                payload: record.payload.to_vec(),
            });
        }
        entries
    }

    /// Waits for the end; checks what holds for every turn.
    pub fn end(&self) -> (Exited, Vec<Entry>) {
        until("the end of the turn", || {
            !is_locked(&self.spec.log_dir).unwrap()
        });
        let entries = self.entries();
        let count = |kind| entries.iter().filter(|entry| entry.kind == kind).count();
        assert_eq!((count(Kind::Begin), count(Kind::Exited)), (1, 1));
        let last = entries.last().unwrap();
        assert_eq!(last.kind, Kind::Exited);
        let numbers: Vec<u64> = entries
            .iter()
            .filter(|entry| entry.kind.is_numbered())
            .map(|entry| entry.id)
            .collect();
        assert!(numbers.iter().zip(1..).all(|(id, n)| *id == n));
        assert!(!self.spec.control_socket.exists());
        (serde_json::from_slice(&last.payload).unwrap(), entries)
    }
}

pub fn effect(seq: u64, effect: Effect) -> Request {
    Request::Effect { seq, effect }
}

pub fn write(seq: u64, text: &str) -> Request {
    effect(seq, Effect::Write(vec![Fragment::Text(text.to_owned())]))
}

pub fn text(entries: &[Entry], kind: Kind) -> String {
    let bytes: Vec<u8> = entries
        .iter()
        .filter(|entry| entry.kind == kind)
        .flat_map(|entry| entry.payload.clone())
        .collect();
    String::from_utf8(bytes).unwrap()
}

pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The pids that a script wrote, one a line.
pub fn pids(case: &Case, name: &str, count: usize) -> Vec<u32> {
    let path = case.path(name);
    let read = || -> Vec<u32> {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    };
    until("pids", || read().len() == count);
    read()
}

/// Whether a process lives; a zombie does not.
pub fn lives(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap()
            .trim_start()
            .starts_with('Z')
    })
}

pub fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
