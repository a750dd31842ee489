//! The host is killed between any two of the steps in which a turn reaches the disk: the log, the
//! database and the events agree after each.

use aod_e2e::{DEADLINE, Runtimes, Server, ServerOptions, Traced, TracedEnd, eventually, within};
use rand::seq::index::sample;
use tokio::sync::watch;

use crate::player::{Fate, Player};
use crate::{dice, kills};

/// Enough for the end to come when the beginning is over.
const LINES: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn the_host_is_killed_at_each_of_its_writes() {
    let mut server = Server::start(ServerOptions::new(Runtimes::demo())).await;
    let (moved, address) = watch::channel(server.client().clone());
    let agent = server.client().demo_agent().await;
    let mut player = Player::new(&address, &agent, LINES).await;
    player.follow(Fate::Completes).await;

    // From its start to its end, with a turn between.
    server.kill();
    let traced = server.start_again_traced(usize::MAX).await;
    moved.send_replace(server.client().clone());
    player.prompt().await;
    player.follow(Fate::Completes).await;
    traced.terminate();
    let TracedEnd::Exited { code: 0, changes } = ended(traced).await else {
        panic!("the server did not end well: {}", server.log())
    };
    assert!(changes > 20, "only {changes} writes were seen");

    let mut dice = dice();
    let points = sample(&mut dice, changes, changes.min(kills() as usize));
    let mut killed = 0;
    for point in points.iter() {
        let traced = server.start_again_traced(point + 1).await;
        moved.send_replace(server.client().clone());
        let turn = async {
            player.prompt().await;
            player.follow(Fate::Completes).await;
        };
        let survivor = async {
            eventually("the turn's end or the host's", DEADLINE, async || {
                traced.has_ended().then_some(())
            })
            .await;
            server.start_again().await;
            moved.send_replace(server.client().clone());
        };
        tokio::pin!(turn);
        // Another run takes a few steps more or less: the last points may never be reached.
        let is_over = tokio::select! {
            () = &mut turn => true,
            () = survivor => false,
        };
        if !is_over {
            within("the turn's end", DEADLINE, turn).await;
        }
        if !traced.has_ended() {
            traced.terminate();
        }
        killed += usize::from(ended(traced).await == TracedEnd::Killed);
        server.kill();
    }
    assert!(killed > 0, "no point was reached");
    server.start_again().await;
    moved.send_replace(server.client().clone());
    player.prompt().await;
    player.follow(Fate::Completes).await;
    println!("killed at {killed} of {changes} writes: {:?}", player.score);
}

async fn ended(traced: Traced) -> TracedEnd {
    let ended = tokio::task::spawn_blocking(|| traced.ended());
    within("the server's end", DEADLINE, ended).await.unwrap()
}
