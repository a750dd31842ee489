//! The tutorial, as a newcomer types it.

use std::fs;
use std::process::Command;

use aod_e2e::{Server, program, repository};

use crate::Said;

/// All that a page says to type, in order.
fn typed(page: &str) -> String {
    let text = fs::read_to_string(repository().join(page)).unwrap();
    let blocks = text.split("```sh\n").skip(1);
    let blocks: Vec<&str> = blocks.map(|it| it.split("```").next().unwrap()).collect();
    assert!(blocks.len() > 4, "{page}: {blocks:?}");
    blocks.concat()
}

#[tokio::test]
async fn the_tutorial_does_what_it_says() {
    let server = Server::demo().await;
    let environment = server.command(&[]);
    let mut bash = Command::new("bash");
    let folder = program("aod").parent().unwrap().to_owned();
    let path = std::env::var("PATH").unwrap();
    bash.args(["-eu", "-o", "pipefail", "-c", &typed("docs/tutorial.md")])
        .envs(
            environment
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .env_remove("AOD_API_TOKEN")
        .env("PATH", format!("{}:{path}", folder.display()))
        .current_dir(server.data());
    let said = Said::of(bash.output().unwrap());
    let stderr = said.stderr.clone();
    let printed = said.good();
    for text in [
        "You said: Say hello",
        "Earlier you said: \"Remember the number 7\"",
        "\"status\":\"completed\"",
        "turn.started",
        "You said: Hello again",
    ] {
        assert!(printed.contains(text), "no {text:?} in {printed}{stderr}");
    }
}
