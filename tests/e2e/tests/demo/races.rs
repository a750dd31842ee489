//! Everything that can end a turn, at once: whoever wins, there is one end, and it is a legal one.

use std::time::Duration;

use aod_e2e::{DEADLINE, Runtimes, Server, ServerOptions, Session, check_ids};
use serde_json::Value;

const SESSIONS: u64 = 12;

/// The same numbers in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

async fn ask(session: &Session, what: &str) -> u16 {
    let path = format!("/sessions/{}/{what}", session.id);
    let reply = session.client.post_empty(&path).await;
    let status = reply.status.as_u16();
    // Too late is an answer; a server's error is not.
    assert!(
        matches!(status, 200 | 202 | 409 | 503),
        "{what}: {}",
        reply.text
    );
    status
}

/// Plays one session: it ends by itself, by interruption, by termination, whatever comes first.
async fn play(session: Session, seed: u64) -> Session {
    let mut dice = Dice(seed);
    let delays = [dice.below(400), dice.below(400), dice.below(400)];
    let terminates = dice.below(2) == 0;
    let interrupt = async {
        tokio::time::sleep(Duration::from_millis(delays[0])).await;
        ask(&session, "interrupt").await
    };
    let again = async {
        tokio::time::sleep(Duration::from_millis(delays[1])).await;
        ask(&session, "interrupt").await
    };
    let terminate = async {
        tokio::time::sleep(Duration::from_millis(delays[2])).await;
        match terminates {
            true => ask(&session, "terminate").await,
            false => 0,
        }
    };
    tokio::join!(interrupt, again, terminate);
    session
}

/// Checks that a session has come to one end, and that all that is said of it fits that.
async fn check(session: &Session, seed: u64) {
    let events = session.stream().await.rest_within(DEADLINE * 2).await;
    check_ids(&events, 0);
    let ends: Vec<_> = events.iter().filter(|event| event.is_terminal()).collect();
    assert_eq!(ends.len(), 1, "seed {seed}: {events:#?}");
    assert!(events.last().unwrap().is_terminal(), "seed {seed}");
    let read = session.read().await;
    let turn = session.turns().await.pop().unwrap();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let found = (
        word(&read["status"]),
        word(&turn["outcome"]),
        ends[0].kind().to_owned(),
    );
    let legal = [
        ("completed", "completed", "exit"),
        ("completed", "interrupted", "exit"),
        // Interrupted before its CLI was started.
        ("completed", "interrupted", "error"),
        ("failed", "interrupted", "error"),
        ("failed", "failed", "exit"),
        ("terminated", "terminated", "terminated"),
        // Terminated when the turn had ended.
        ("terminated", "completed", "exit"),
        ("terminated", "interrupted", "exit"),
        ("terminated", "interrupted", "error"),
    ];
    let is_legal = legal.iter().any(|(status, outcome, end)| {
        found == ((*status).into(), (*outcome).into(), (*end).into())
    });
    assert!(is_legal, "seed {seed}: {found:?}: {read:#} {turn:#}");
    if read["status"] != "terminated" && read["resumable"] == true {
        session.prompt("echo on").await;
        session.wait_for("completed").await;
    }
}

/// A script that ends by itself after a while, well or not.
fn script(seed: u64) -> String {
    let mut dice = Dice(seed ^ 0xdead);
    let (pause, code) = (dice.below(5), dice.below(2));
    format!("echo begun; sleep 0.{pause}; [ {code} = 0 ] || exit {code}")
}

async fn race(kills: bool) {
    let options = ServerOptions::new(Runtimes::default().with_raw())
        .set("AOD_LIMITS__SESSIONS_PER_USER", 100)
        .set("AOD_ADMISSION__MAX_RUNNING", 6)
        .set("AOD_TURN__GRACE", "1s");
    let mut server = Server::start(options).await;
    let mut sessions = Vec::new();
    for seed in 0..SESSIONS {
        sessions.push(server.client().raw_session(&script(seed)).await);
    }
    if kills {
        // What was asked of a host that dies may be lost with it, but never half done.
        for session in sessions.iter().step_by(3) {
            ask(session, "terminate").await;
        }
        server.kill_and_start_again().await;
        let client = server.client();
        sessions = sessions.iter().map(|session| session.at(client)).collect();
    }
    let played = sessions
        .into_iter()
        .zip(0..)
        .map(|(session, seed)| play(session, seed));
    let played = futures::future::join_all(played).await;
    for (session, seed) in played.iter().zip(0..) {
        check(session, seed).await;
    }
    assert!(server.supervisors().is_empty());
}

#[tokio::test]
async fn there_is_one_end_and_it_is_legal() {
    race(false).await;
}

#[tokio::test]
async fn there_is_one_end_also_when_the_host_dies() {
    race(true).await;
}
