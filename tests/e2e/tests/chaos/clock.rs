//! A clock that is set while turns run, back and forth.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use aod_e2e::{Process, Runtimes, Server, ServerOptions, program};
use rand::seq::IndexedRandom as _;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::player::{Fate, Player};
use crate::{LINES, dice, kills, moment};

/// Where it is set to, from what it is, in seconds.
const OFFSETS: [i64; 6] = [-400 * DAY, -DAY, -3600, -1, 3600, 400 * DAY];
const DAY: i64 = 86_400;
/// How often within a turn.
const EACH_TURN: u32 = 3;

/// The time of day as the server and its supervisors are told it, by Debian's `faketime`. Clocks
/// that only ever go on are left alone, as setting the time of day leaves them.
struct Clock(TempDir);

impl Clock {
    /// None where that is not installed.
    fn new() -> Option<Self> {
        library()?;
        let clock = Self(tempfile::tempdir().unwrap());
        clock.set(0);
        let supervisor = program("aod-supervisor");
        let bytes = fs::read(&supervisor).unwrap();
        // As a sandbox's init it is all that there is to see of the folder with the programs.
        let mut wrapper = format!(
            "#!/bin/sh\n\
             if [ \"$1\" = --init ]; then\n\
             init=$(mktemp) && tail -c {} \"$0\" > \"$init\" && chmod 700 \"$init\" && exec \"$init\" \"$@\"\n\
             fi\n\
             exec env {} {} \"$@\"\n\
             exit 1\n",
            bytes.len(),
            clock
                .variables()
                .map(|(name, value)| format!("{name}={value}"))
                .join(" "),
            supervisor.display(),
        )
        .into_bytes();
        wrapper.extend(bytes);
        fs::write(clock.supervisor(), wrapper).unwrap();
        fs::set_permissions(clock.supervisor(), fs::Permissions::from_mode(0o755)).unwrap();
        Some(clock)
    }

    fn set(&self, offset: i64) {
        let next = self.0.path().join("next");
        fs::write(&next, format!("{offset:+}\n")).unwrap();
        fs::rename(next, self.file()).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("offset")
    }

    fn supervisor(&self) -> PathBuf {
        self.0.path().join("supervisor")
    }

    fn variables(&self) -> [(&'static str, String); 5] {
        let library = library().unwrap_or_default();
        [
            ("LD_PRELOAD", library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file().display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("NO_FAKE_STAT", "1".to_owned()),
        ]
    }

    fn options(&self) -> ServerOptions {
        let mut options = ServerOptions::new(Runtimes::demo())
            // What a jump of hours must not be taken for.
            .set("AOD_TURN__IDLE", "60s")
            .set("AOD_SUPERVISOR", self.supervisor().display());
        for (name, value) in self.variables() {
            options = options.set(name, value);
        }
        options
    }
}

impl Drop for Clock {
    /// Removes the memory that the library shares between processes, where its owner was killed.
    fn drop(&mut self) {
        for entry in fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
            let name = entry.file_name();
            let owner = name
                .to_str()
                .filter(|name| name.contains("faketime_"))
                .and_then(|name| name.rsplit('_').next()?.parse().ok());
            if owner.is_some_and(|owner| Process::find(owner).is_none()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?;
    folders
        .flatten()
        .map(|folder| folder.path().join("faketime/libfaketime.so.1"))
        .find(|path| path.exists())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_is_set_while_turns_run() {
    let Some(clock) = Clock::new() else {
        println!("skipped: faketime is not installed");
        return;
    };
    let mut dice = dice();
    let mut server = Server::start(clock.options()).await;
    let (moved, address) = watch::channel(server.client().clone());
    let agent = server.client().demo_agent().await;
    let mut player = Player::new(&address, &agent, LINES).await;
    for _ in 0..kills().div_ceil(EACH_TURN) {
        let turn = player.follow(Fate::Completes);
        let jumps = async {
            for _ in 0..EACH_TURN {
                tokio::time::sleep(moment(&mut dice, 800)).await;
                clock.set(*OFFSETS.choose(&mut dice).unwrap());
            }
            // A new host reads the log with another time than it was written at.
            server.kill_and_start_again().await;
            moved.send_replace(server.client().clone());
        };
        tokio::join!(turn, jumps);
        player.prompt().await;
    }
    player.follow(Fate::Completes).await;

    // The server and the supervisor go by that clock, or this has shown nothing.
    let mark = player.mark().to_owned();
    clock.set(-800 * DAY);
    player.prompt().await;
    player.follow(Fate::Completes).await;
    let (first, last) = (
        player.event_after("0").await,
        player.event_after(&mark).await,
    );
    assert!(at(&last) < at(&first), "the clock was not set: {last:#}");
    let times = kills().next_multiple_of(EACH_TURN);
    println!("the clock was set {times} times: {:?}", player.score);
}

/// Texts of this form are in the order of their times.
fn at(event: &Value) -> &str {
    event["at"].as_str().unwrap()
}
