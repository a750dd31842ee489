//! What a supervisor costs a CLI that writes as fast as it can: `cargo xtask bench ingest`.
//!
//! The same child writes the same JSON lines into `cat > file` and into a turn, on the same disk,
//! in turns; what counts is the ratio of the best times. `AOD_BENCH_MIB` sets how much (1024).

#![allow(clippy::unwrap_used, reason = "what fails here is told by its panic")]

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{Command, Stdio as Pipe};
use std::time::{Duration, Instant};

use aod_launch::{KillRoute, Launch, PolledLimits, SignalRoute};
use aod_log::{Kind, Options, Reader, is_locked};
use aod_supervisor::{Clock, Interrupt, Secret, Stdin, TurnSpec, spawn};

const ROUNDS: usize = 3;
const SECRETS: usize = 50;

fn main() {
    let mib: u64 = std::env::var("AOD_BENCH_MIB").map_or(1024, |text| text.parse().unwrap());
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let lines = folder.path().join("lines");
    let size = write_lines(&lines, 64 << 20) * (mib / 64);
    let script = format!(
        "i=0; while [ $i -lt {} ]; do cat '{}'; i=$((i+1)); done",
        mib / 64,
        lines.display()
    );
    let mut best = [Duration::MAX; 3];
    let mut peak = 0;
    for round in 0..ROUNDS {
        best[0] = best[0].min(to_file(&script, folder.path()));
        for (at, secrets) in [(1, 0), (2, SECRETS)] {
            let dir = folder.path().join(format!("turn-{secrets}-{round}"));
            let (took, kib) = to_log(&script, &dir, secrets, size);
            std::fs::remove_dir_all(&dir).unwrap();
            best[at] = best[at].min(took);
            peak = peak.max(kib);
        }
    }
    let [plain, turn, redacted] = best.map(|time| mib as f64 / time.as_secs_f64());
    println!(
        "| ingest of {mib} MiB of JSON lines, every byte in the log | {turn:.0} MiB/s | `cat > file`, {plain:.0} MiB/s | {:.2} | ≥ 0.5 |",
        turn / plain
    );
    println!(
        "| the same with {SECRETS} secrets to redact | {redacted:.0} MiB/s | without, {turn:.0} MiB/s | {:.2} | ≥ 0.8 |",
        redacted / turn
    );
    println!("| the supervisor's private memory meanwhile | {peak} KiB | – | | ≤ 1536 KiB |");
}

/// Lines as CLIs write them: some short, some long.
fn write_lines(path: &Path, size: u64) -> u64 {
    let mut file = BufWriter::new(File::create(path).unwrap());
    let (mut written, mut n) = (0, 0_usize);
    while written < size {
        let text = "the quick brown fox jumps over the lazy dog ".repeat(1 + n % 20);
        let line = serde_json::json!({"type": "delta", "n": n, "text": text}).to_string();
        writeln!(file, "{line}").unwrap();
        written += line.len() as u64 + 1;
        n += 1;
    }
    file.flush().unwrap();
    written
}

fn to_file(script: &str, folder: &Path) -> Duration {
    let out = folder.join("plain");
    let started = Instant::now();
    let mut shell = Command::new("sh")
        .args(["-c", script])
        .stdout(Pipe::piped())
        .spawn()
        .unwrap();
    let mut cat = Command::new("cat")
        .stdin(shell.stdout.take().unwrap())
        .stdout(File::create(&out).unwrap())
        .spawn()
        .unwrap();
    assert!(cat.wait().unwrap().success() && shell.wait().unwrap().success());
    let took = started.elapsed();
    std::fs::remove_file(out).unwrap();
    took
}

/// How long it took until all was in the log. That it is then synced, too, is not counted: `cat`
/// does not.
fn to_log(script: &str, dir: &Path, secrets: usize, size: u64) -> (Duration, u64) {
    std::fs::create_dir(dir).unwrap();
    let spec = TurnSpec {
        session: "s".to_owned(),
        turn: 1,
        log_dir: dir.join("log"),
        log: Options::default(),
        last_id: 0,
        control_socket: dir.join("control.sock"),
        begin: serde_json::json!({}),
        launch: Launch {
            program: "/bin/sh".into(),
            args: vec!["-c".to_owned(), script.to_owned()],
            env: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned().into())],
            cwd: dir.to_owned(),
            cgroup: None,
            data_fds: Vec::new(),
            signal_route: SignalRoute::Started,
            kill_route: KillRoute::Group,
            polled_limits: PolledLimits::default(),
            egress: None,
        },
        stdin: Stdin::None,
        secrets: (0..secrets)
            .map(|n| Secret {
                name: format!("KEY_{n}"),
                value: format!("sk-{n}-0123456789abcdefghijklmnopqrstuvwxyz"),
                is_open: false,
            })
            .collect(),
        clock: Clock {
            timeout_ms: 3_600_000,
            idle_ms: 0,
            grace_ms: 5_000,
            after_result_grace_ms: 0,
            rest_ms: 0,
        },
        interrupt: Interrupt::default(),
        max_requests: None,
    };
    let started = spawn(Path::new(env!("CARGO_BIN_EXE_aod-supervisor")), &spec).unwrap();
    let mut peak = 0;
    while is_locked(&spec.log_dir).unwrap() {
        peak = peak.max(private_kib(started.supervisor_pid));
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut reader = Reader::open(&spec.log_dir).unwrap();
    let (mut begun, mut ended, mut bytes) = (0, 0, 0);
    while let Some(record) = reader.next().unwrap() {
        match record.kind {
            Kind::Begin => begun = record.time,
            Kind::Exited => ended = record.time,
            _ => bytes += record.payload.len() as u64,
        }
    }
    assert_eq!(bytes, size);
    (Duration::from_micros((ended - begun).cast_unsigned()), peak)
}

/// Resident memory that is the process's own. Its maps are closed to others, its counts are not.
fn private_kib(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let mut pages = text
        .split_ascii_whitespace()
        .skip(1)
        .map(|word| word.parse().unwrap_or(0_u64));
    let (resident, shared) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
    resident.saturating_sub(shared) * 4
}
