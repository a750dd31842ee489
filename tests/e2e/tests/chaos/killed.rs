//! Kills: of the host, of supervisors, of CLIs, and of the first two together.

use std::time::Duration;

use aod_e2e::{Process, Runtimes, Server, ServerOptions, Tree, eventually, within};
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use tokio::sync::watch;

use crate::player::{Fate, Player, Score};
use crate::{LINES, dice, kills, moment};

/// Sessions that run at a time.
const SESSIONS: usize = 5;
/// The longest time between two kills, in milliseconds.
const BETWEEN: u64 = 1500;
/// In how many starts out of four the host is killed before it is ready.
const STILLBORN: u32 = 1;
/// How long a player may take to see its last turn end.
const PATIENCE: Duration = Duration::from_secs(180);

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Host,
    Supervisor,
    Cli,
    HostAndSupervisor,
}

impl Victim {
    fn fate(self) -> Fate {
        match self {
            Self::Host => Fate::Completes,
            _ => Fate::MayFail,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_killed() {
    let score = play(Victim::Host).await;
    assert_eq!(score.failed, 0, "{score:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn supervisors_are_killed() {
    let score = play(Victim::Supervisor).await;
    assert!(score.failed > 0, "{score:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clis_are_killed() {
    let score = play(Victim::Cli).await;
    assert!(score.failed > 0, "{score:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_and_supervisors_are_killed() {
    play(Victim::HostAndSupervisor).await;
}

async fn play(victim: Victim) -> Score {
    let mut dice = dice();
    let options = ServerOptions::new(Runtimes::demo());
    let mut server = Server::start(options.set("AOD_LOG__LEVEL", "info")).await;
    let (moved, address) = watch::channel(server.client().clone());
    let (stop, stopped) = watch::channel(false);
    let agent = server.client().demo_agent().await;
    let mut players = Vec::new();
    for _ in 0..SESSIONS {
        let (address, agent, stopped) = (address.clone(), agent.clone(), stopped.clone());
        players.push(tokio::spawn(async move {
            let mut player = Player::new(&address, &agent, LINES).await;
            loop {
                player.follow(victim.fate()).await;
                if *stopped.borrow() {
                    break;
                }
                player.prompt().await;
            }
            // Whatever has happened, the session goes on.
            player.prompt().await;
            player.follow(Fate::Completes).await;
            player.score
        }));
    }
    for _ in 0..kills() {
        tokio::time::sleep(moment(&mut dice, BETWEEN)).await;
        kill(victim, &mut server, &mut dice).await;
        moved.send_replace(server.client().clone());
        assert!(
            !players.iter().any(tokio::task::JoinHandle::is_finished),
            "a player has given up"
        );
    }
    stop.send_replace(true);
    let mut total = Score::default();
    for player in players {
        let score = within("a player's last turn", PATIENCE, player)
            .await
            .unwrap();
        total.turns += score.turns;
        total.failed += score.failed;
        total.lines += score.lines;
    }
    let sessions = server.client().get("/sessions").await.expect(200);
    let sessions = sessions["data"].as_array().unwrap();
    assert_eq!(sessions.len(), SESSIONS, "a session was created twice");
    for session in sessions {
        assert_eq!(session["status"], "completed", "{session:#}");
    }
    eventually("no supervisor is left", PATIENCE, async || {
        server.supervisors().is_empty().then_some(())
    })
    .await;
    println!("{victim:?} killed {} times: {total:?}", kills());
    total
}

async fn kill(victim: Victim, server: &mut Server, dice: &mut StdRng) {
    let supervisors = || server.supervisors();
    match victim {
        Victim::Host => {}
        Victim::Supervisor | Victim::HostAndSupervisor => {
            if let Some(tree) = supervisors().choose(dice) {
                tree.root.kill();
            }
        }
        Victim::Cli => {
            let trees = supervisors();
            if let Some(process) = trees.choose(dice).and_then(|tree| main_process(tree, dice)) {
                process.kill();
            }
        }
    }
    if matches!(victim, Victim::Host | Victim::HostAndSupervisor) {
        server.kill();
        while dice.random_ratio(STILLBORN, 4) {
            server.start_and_kill(moment(dice, 400)).await;
        }
        server.start_again().await;
    }
}

/// One of the processes without which a turn cannot go on: the sandbox's own and the CLI. That a
/// tool is killed is the CLI's affair.
fn main_process(tree: &Tree, dice: &mut StdRng) -> Option<Process> {
    let with = |start: &str| {
        let of_the_kind = tree
            .below
            .iter()
            .filter(|it| it.command().starts_with(start));
        of_the_kind.copied().collect::<Vec<_>>()
    };
    let mut main = with("/usr/bin/bwrap");
    main.extend(with("/run/aod-init"));
    // Its subshells are younger.
    main.extend(
        with("sh /run/aod/")
            .into_iter()
            .min_by_key(|process| process.pid),
    );
    main.choose(dice).copied()
}
