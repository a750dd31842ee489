//! Completions and manual pages.

use std::process::Command;

use aod_e2e::{Server, program};

use crate::{Said, aod, aod_with};

#[tokio::test]
async fn a_shell_completes_values_that_the_server_has() {
    let server = Server::demo().await;
    let id = aod(
        &server,
        &["run", "sleep 300", "--detach", "--title", "plums"],
    )
    .good();
    let id = id.trim();
    let agent = "agent create --name fruit --runtime demo --model demo/echo";
    let agent = aod(&server, &agent.split(' ').collect::<Vec<_>>()).good();
    let environment = aod(&server, &["env", "create", "--name", "bowl"]).good();
    aod_with(&server, &["credential", "set", "env:PLUM"], b"0123456789").good();
    let hook = "webhook add https://hooks.invalid/plum --event turn.failed";
    aod(&server, &hook.split(' ').collect::<Vec<_>>()).good();
    let hooks = aod(&server, &["webhook", "ls", "--json"]).json();
    let complete = |words: &[&str]| {
        let mut command = server.command(&[&["--", "aod"][..], words].concat());
        command
            .env("AOD_COMPLETE", "bash")
            .env("_CLAP_COMPLETE_INDEX", words.len().to_string())
            .env("_CLAP_COMPLETE_COMP_TYPE", "9")
            .env("_CLAP_COMPLETE_SPACE", "true")
            .env("_CLAP_IFS", "\n");
        Said::of(command.output().unwrap()).good()
    };
    for (words, expected) in [
        (&["sess"][..], "session"),
        (&["session", "show", ""], id),
        (&["session", "logs", &id[..3]], id),
        (&["session", "files", "ls", ""], id),
        (&["agent", "show", ""], agent.trim()),
        (&["env", "show", &environment[..4]], environment.trim()),
        (&["runtime", "show", ""], "demo"),
        (&["credential", "rm", ""], "env:PLUM"),
        (&["webhook", "test", ""], hooks[0]["id"].as_str().unwrap()),
        (&["run", "x", "--runtime", ""], "demo"),
        (&["run", "x", "--model", "demo/"], "demo/echo"),
    ] {
        let found = complete(words);
        assert!(
            found.lines().any(|line| line == expected),
            "{words:?}: {found}"
        );
    }
    aod(&server, &["session", "terminate", id]).good();

    // A real shell, which asks by itself.
    let script = "source <(aod completions bash); COMP_WORDS=(aod run x --runtime ''); COMP_CWORD=4; \
        COMP_TYPE=9; _clap_complete_aod; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let aod = program("aod");
    let path = format!("{}:/usr/bin:/bin", aod.parent().unwrap().display());
    let mut bash = Command::new("bash");
    bash.args(["-c", script]).env("PATH", path);
    for (name, value) in server.command(&[]).get_envs() {
        if let Some(value) = value {
            bash.env(name, value);
        }
    }
    let found = Said::of(bash.output().unwrap());
    assert!(
        found.stdout.lines().any(|line| line.trim() == "demo"),
        "{found:#?}"
    );
}

/// The other shells complete by themselves, too, where they are there.
#[tokio::test]
async fn fish_and_zsh_complete_values() {
    let server = Server::demo().await;
    let programs = program("aod").parent().unwrap().display().to_string();
    let ask = |shell: &str, arguments: &[&str]| {
        let mut command = Command::new(shell);
        for (name, value) in server.command(&[]).get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command.env("PATH", format!("{programs}:/usr/bin:/bin"));
        let output = command.args(arguments).output();
        if output.is_err() {
            eprintln!("no {shell} here: its completions are not tried");
        }
        output.ok().map(Said::of)
    };
    let fish = r#"aod completions fish | source; complete -C "aod run x --runtime de""#;
    if let Some(said) = ask("fish", &["--no-config", "-c", fish]) {
        let found = said.good();
        assert!(found.lines().any(|it| it.starts_with("demo\t")), "{found}");
    }
    // Completing needs a line editor, and that a terminal.
    let zsh = r#"
zmodload zsh/zpty
zpty line zsh -f -i
zpty -w line 'autoload -U compinit; compinit -u -D; source <(aod completions zsh); PS1=REA""DY'
zpty -r -m line shown '*READY*'
zpty -n -w line $'aod run x --runtime de\t'
zpty -r -m line shown '*demo*' && print -r -- completed
zpty -d line"#;
    if let Some(said) = ask("timeout", &["60", "zsh", "-f", "-c", zsh]) {
        if said.code == Some(127) {
            eprintln!("no zsh here: its completions are not tried");
            return;
        }
        assert_eq!(said.good().trim(), "completed");
    }
}

#[test]
fn each_shell_and_each_command_is_served_without_a_server() {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(program("aod"));
        command
            .env_remove("AOD_API_TOKEN")
            .env("AOD_API_URL", "http://127.0.0.1:9");
        Said::of(command.args(arguments).output().unwrap())
    };
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        assert!(run(&["completions", shell]).good().contains("AOD_COMPLETE"));
    }
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    run(&["man", pages.to_str().unwrap()]).good();
    let page = std::fs::read_to_string(pages.join("aod-session-logs.1")).unwrap();
    assert!(page.contains(".TH") && page.contains("follow"), "{page}");
    assert!(pages.join("aod.1").is_file());
    assert!(!pages.join("aod-compile-component.1").exists());
}
