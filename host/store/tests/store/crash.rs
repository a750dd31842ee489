//! What was answered is there after the process was killed.

use std::{
    collections::HashSet,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use aod_resources::{Outcome, Status};
use aod_store::Store;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::support::{Fixture, turn_end, user};

const CHILD_FILE: &str = "AOD_STORE_TEST_FILE";

/// What the next test kills: makes and ends sessions, eight at a time, and prints each when the
/// store has answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by another test as a process of its own"]
async fn writing_child() {
    let path = PathBuf::from(std::env::var_os(CHILD_FILE).unwrap());
    let store = Store::open(&path).unwrap();
    let fixture = Fixture::of(store, &format!("child {}", Uuid::new_v4())).await;
    let mut writers = JoinSet::new();
    for _ in 0..8 {
        let fixture = fixture.clone();
        writers.spawn(async move {
            loop {
                let id = fixture.session().await.id;
                say(format!("made {id}"));
                let end = turn_end(id, 1, Outcome::Failed);
                fixture.store.end_turn(end).await.unwrap();
                say(format!("ended {id}"));
            }
        });
    }
    writers.join_all().await;
}

/// One write per line, so that a kill leaves whole lines but the last.
fn say(line: String) {
    std::io::stdout()
        .write_all(format!("\n{line} .\n").as_bytes())
        .unwrap();
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn what_was_answered_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("aod.db");
    let (mut made, mut ended) = (HashSet::new(), HashSet::new());
    for round in 1..=10 {
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "crash::writing_child",
                "--ignored",
                "--nocapture",
            ])
            .env(CHILD_FILE, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut child = Killed(child);
        let output = BufReader::new(child.0.stdout.take().unwrap());
        let mut lines = 0;
        for line in output.lines() {
            let line = line.unwrap();
            let words: Vec<_> = line.split(' ').collect();
            match words[..] {
                ["made", id, "."] => made.insert(Uuid::parse_str(id).unwrap()),
                ["ended", id, "."] => ended.insert(Uuid::parse_str(id).unwrap()),
                _ => continue,
            };
            lines += 1;
            // What it wrote before it died is still read.
            if lines == round * 37 {
                child.0.kill().unwrap();
            }
        }
        assert!(lines >= round * 37, "the child ended by itself");

        let store = Store::open(&path).unwrap();
        let ids: HashSet<_> = store.session_ids().await.unwrap().into_iter().collect();
        assert!(ids.is_superset(&made), "a session is lost");
        for id in &ids {
            let record = store.session_record(*id).await.unwrap();
            let turn = store.turn_record(*id, 1).await.unwrap();
            let is_ended = record.session.status == Status::Failed;
            assert_eq!(
                turn.turn.outcome.is_some(),
                is_ended,
                "turn and session disagree"
            );
            assert!(is_ended || !ended.contains(id), "an end is lost");
        }
        user(&store, &format!("after {round}")).await;
        store.close().await.unwrap();
    }
}
