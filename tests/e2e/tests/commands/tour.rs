//! Every command there is, once: `tour.sh` runs them, and none that the program has may be missing
//! there.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use aod_e2e::{Runtimes, Server, ServerOptions, plugin, program, repository};

use crate::Said;

/// The commands that do something, by the manual pages that the program writes: each has one, and
/// so have those that only hold others.
fn commands() -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let mut man = Command::new(program("aod"));
    Said::of(man.arg("man").arg(folder.path()).output().unwrap()).good();
    let pages = fs::read_dir(folder.path()).unwrap();
    let names: BTreeSet<String> = pages
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .map(|name| name.trim_end_matches(".1").to_owned())
        .collect();
    let holds = |name: &str| {
        let below = format!("{name}-");
        names.iter().any(|other| other.starts_with(&below))
    };
    // A page's name has hyphens between words, and so has a command.
    names
        .iter()
        .filter(|name| !holds(name))
        .map(|name| name.replace('-', " "))
        .collect()
}

#[tokio::test]
async fn each_command_is_run() {
    let script = repository().join("tests/e2e/tests/commands/tour.sh");
    let text = fs::read_to_string(&script).unwrap();
    let flat = text.replace('-', " ");
    let commands = commands();
    assert!(commands.len() > 50, "{commands:?}");
    let missing: Vec<&String> = commands
        .iter()
        .filter(|name| !flat.contains(&format!("{name} ")) && !flat.contains(&format!("{name}\n")))
        .collect();
    assert!(missing.is_empty(), "tour.sh does not run {missing:?}");

    let options = ServerOptions::new(Runtimes::demo()).set("AOD_WEBHOOKS__ALLOW_PRIVATE", true);
    let server = Server::start(options).await;
    let folder = tempfile::tempdir().unwrap();
    let environment = server.command(&[]);
    let programs = program("aod").parent().unwrap().to_owned();
    let path = std::env::var("PATH").unwrap();
    let mut shell = Command::new("timeout");
    shell
        .args(["--kill-after=5", "300", "bash", "-euxo", "pipefail"])
        .arg(&script)
        .envs(
            environment
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .env("PATH", format!("{}:{path}", programs.display()))
        .env("COMPONENT", plugin("demo"))
        .env("AOD_RUNTIMES", server.runtimes_file())
        .current_dir(folder.path());
    Said::of(shell.output().unwrap()).good();
}
