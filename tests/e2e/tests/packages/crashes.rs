//! Servers that are killed while packages are installed.

use std::time::Duration;

use aod_e2e::{DEADLINE, Registry, Server, eventually};
use serde_json::json;

use crate::{environment, layers, printed, server, start};

#[tokio::test]
async fn a_build_that_was_killed_is_never_used() {
    // The first command that installs is held, then the second, behind one that has ended.
    for (packages, held) in [
        (
            json!({"pip": ["held-a"], "npm": ["sample-b"]}),
            "/simple/held-a/",
        ),
        (
            json!({"pip": ["sample-a"], "npm": ["held-b"]}),
            "/npm/held-b",
        ),
    ] {
        let registry = Registry::start();
        let mut server = server(&registry).await;
        let environment = environment(server.client(), packages).await;
        let prompt = "$ held-a-py || sample-a-py; held-b-js || sample-b-js";
        let mut session = start(server.client(), &environment, prompt).await;
        eventually("it is being built", DEADLINE, async || {
            (registry.asked(held) >= 1).then_some(())
        })
        .await;
        server.kill();
        let left = layers(&server);
        assert!(
            left.len() == 1 && left[0].starts_with(".staging-"),
            "{left:?}"
        );
        let before = registry.asked(held);
        server.start_again().await;
        session.client = server.client().clone();
        // The session goes on, and builds all of it anew.
        eventually("it is being built again", DEADLINE, async || {
            (registry.asked(held) > before).then_some(())
        })
        .await;
        let new = layers(&server);
        assert!(new.len() == 1 && new != left, "{new:?}");
        registry.open();
        let stdout = session.ended().await.completed().stdout();
        for word in ["python", "node"] {
            assert!(stdout.contains(word), "{stdout}");
        }
        let whole = layers(&server);
        assert!(whole.len() == 1 && !whole[0].starts_with('.'), "{whole:?}");
    }
}

#[tokio::test]
async fn apt_that_was_killed_at_any_step_is_never_used() {
    let mut server = Server::demo().await;
    let environment = environment(server.client(), json!({"apt": ["hello"]})).await;
    let mut session = start(server.client(), &environment, "$ hello").await;
    let last = match rustix::process::getuid().is_root() {
        true => "$ apt-get install --yes --no-remove --no-download",
        false => "$ dpkg-deb --extract",
    };
    // A session that the server has died with more often is not gone on with.
    let first = "$ apt-get install --yes --no-remove --download-only";
    for step in [first, last] {
        // No earlier start has come so far.
        eventually(step, Duration::from_secs(120), async || {
            printed(&session).await.contains(step).then_some(())
        })
        .await;
        server.kill();
        let left = layers(&server);
        let is_staged = |name: &String| name.starts_with(".staging-");
        assert!(
            left.len() == 1 && left.iter().all(is_staged),
            "{step}: {left:?}"
        );
        server.start_again().await;
        session.client = server.client().clone();
    }
    let mut stream = session.stream().await;
    stream.rest_within(Duration::from_secs(120)).await;
    let stdout = session.ended().await.completed().stdout();
    assert!(stdout.contains("Hello, world!"), "{stdout}");
    let whole = layers(&server);
    assert!(whole.len() == 1 && !whole[0].starts_with('.'), "{whole:?}");
}
