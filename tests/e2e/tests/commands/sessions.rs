//! `aod session`.

use std::io::{BufRead as _, BufReader};
use std::process::{ChildStdout, Stdio};

use aod_e2e::{DEADLINE, GitServer, Runtimes, Server, ServerOptions, eventually};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{Said, aod, aod_with, lines, session_of, spawn};

#[tokio::test]
async fn a_session_is_listed_shown_prompted_and_removed() {
    let server = Server::demo().await;
    let ask = |arguments: &[&str]| aod(&server, &[&["session"][..], arguments].concat());
    let id = aod(
        &server,
        &["run", "first words", "--detach", "--title", "plums"],
    )
    .good();
    let id = id.trim();
    let waited = ask(&["wait", id]).good();
    assert!(waited.contains("first words"), "{waited}");

    let listed = ask(&["ls"]).good();
    assert!(
        listed.starts_with(id) && listed.contains("plums"),
        "{listed}"
    );
    for (arguments, found) in [
        (&["--status", "completed"][..], 1),
        (&["--status", "failed"], 0),
        (&["--runtime", "demo", "-q", "PLUM"], 1),
        (&["--label", "a=b"], 0),
        (&["--limit", "1"], 1),
    ] {
        let listed = ask(&[&["ls", "--json"][..], arguments].concat()).json();
        assert_eq!(listed.as_array().unwrap().len(), found, "{arguments:?}");
    }

    // The beginning of an id will do.
    let shown = ask(&["show", &id[..8]]).good();
    for part in [id, "plums", "completed", "turn 1", "first words"] {
        assert!(shown.contains(part), "{shown}");
    }
    assert_eq!(ask(&["show", id, "--json"]).json()["id"], id);

    let second = aod_with(&server, &["session", "prompt", id, "second words"], b"");
    let second = second.good();
    assert!(second.contains("second words"), "{second}");
    let third = aod(&server, &["session", "prompt", id, "third", "--json"]).good();
    let third = lines(&third);
    assert_eq!(third.last().unwrap()["session"]["turn_count"], 3);
    let of_turns: Vec<&Value> = third.iter().map(|event| &event["turn"]).collect();
    assert!(
        of_turns.iter().all(|turn| turn.is_null() || **turn == 3),
        "{of_turns:?}"
    );
    let failed = ask(&["prompt", id, "exit 3"]);
    assert_eq!(failed.code, Some(3), "{failed:#?}");

    logs(&server, id);
    assert_eq!(ask(&["queue", "ls", id]).good(), "");
    let changed = ask(&["diff", id]);
    assert!(changed.stderr.contains("no repositories"), "{changed:#?}");
    assert_eq!(ask(&["diff", id, "--json"]).json(), json!([]));
    assert!(ask(&["interrupt", id]).failed(75).contains("409"));
    ask(&["rm", id]).good();
    let gone = ask(&["show", id]).failed(66);
    assert!(gone.contains("404"), "{gone}");
    assert!(ask(&["show", "ffff"]).failed(66).contains("aod session ls"));
    assert!(ask(&["show", "plums"]).failed(1).contains("aod session ls"));
}

#[tokio::test]
async fn what_a_session_takes_of_the_disk_is_listed_and_shown() {
    let server = Server::demo().await;
    let ask = |arguments: &[&str]| aod(&server, &[&["session"][..], arguments].concat());
    let client = server.client();
    let pending = client.demo_session("hello").await;
    let prompt = "$ head -c 3145728 /dev/urandom >file; head -c 2097152 /dev/urandom >$HOME/own";
    let session = client.demo_session(prompt).await;
    session.ended().await.completed();
    session.checkpoint(1).await.unwrap();
    let sizes = session.read().await["sizes"].clone();
    let amount = |bytes: u64| match bytes >= 1 << 20 {
        true => format!("{:.1}M", bytes as f64 / f64::from(1 << 20)),
        false => format!("{:.1}K", bytes as f64 / f64::from(1 << 10)),
    };
    let bytes = |name: &str| sizes[name].as_u64().unwrap();
    let part = |name: &str| amount(bytes(name));
    let (home, workspace) = (part("home"), part("workspace"));
    let (log, checkpoints) = (part("log"), part("checkpoints"));
    let all = ["home", "workspace", "log", "checkpoints"].map(bytes);
    let all = amount(all.into_iter().sum());
    assert!(
        home.starts_with("2.0M") && workspace.starts_with("3.0M"),
        "{sizes}"
    );
    assert!(
        checkpoints.starts_with("5.0M") && log.ends_with('K'),
        "{sizes}"
    );

    let listed = ask(&["ls", "--sizes"]).good();
    let line = listed.lines().find(|line| line.starts_with(&session.id));
    let words: Vec<&str> = line.unwrap().split_whitespace().collect();
    let expected = ["completed", &home, &workspace, &log, &checkpoints, &all];
    assert_eq!(words[1..], expected, "{listed}");
    assert!(listed.contains(&pending.id), "{listed}");
    // Without that, all of it together.
    let listed = ask(&["ls"]).good();
    let line = listed.lines().find(|line| line.starts_with(&session.id));
    assert!(line.unwrap().trim_end().ends_with(&all), "{listed}");
    let shown = ask(&["show", &session.id]).good();
    let line =
        format!("{all}: {home} home, {workspace} workspace, {log} log, {checkpoints} checkpoints");
    assert!(shown.contains(&line), "{line}: {shown}");
}

fn logs(server: &Server, id: &str) {
    let logs =
        |arguments: &[&str]| aod(server, &[&["session", "logs", id][..], arguments].concat());
    let all = logs(&[]).good();
    for part in ["# turn 1  first words", "second words", "# turn 4  exit 3"] {
        assert!(all.contains(part), "{all}");
    }
    // What has ended is not waited for.
    assert_eq!(logs(&["--follow"]).good(), all);
    let events = lines(&logs(&["--json"]).good());
    let second = lines(&logs(&["--json", "--turn", "2"]).good());
    assert_eq!(second[0]["turn"], 2);
    let position = events.iter().position(|event| event["turn"] == 2).unwrap();
    assert_eq!(second, events[position..]);
    for tail in [0, 1, 3, 1000] {
        let tail_text = tail.to_string();
        let told = lines(&logs(&["--json", "--deltas", "--tail", &tail_text]).good());
        let whole = lines(&logs(&["--json", "--deltas"]).good());
        assert_eq!(told, whole[whole.len().saturating_sub(tail)..], "{tail}");
    }
    let native = logs(&["--raw"]);
    assert!(native.stderr.contains("this end"), "{native:#?}");
    assert!(
        lines(&native.good())
            .iter()
            .any(|line| line["demo"] == "started")
    );
}

#[tokio::test]
async fn a_turn_is_queued_behind_followed_and_stopped() {
    let server = Server::demo().await;
    let ask = |arguments: &[&str]| aod(&server, &[&["session"][..], arguments].concat());
    let id = aod(&server, &["run", "hello\nsleep 300", "--detach"]).good();
    let id = id.trim();
    let path = format!("/sessions/{id}");
    eventually("it runs", DEADLINE, async || {
        let session = server.client().get(&path).await.expect(200);
        (session["status"] == "running").then_some(())
    })
    .await;
    let busy = ask(&["prompt", id, "more"]).failed(75);
    assert!(busy.contains("409"), "{busy}");
    let queued = ask(&["prompt", id, "later", "--when-busy", "queue"]).good();
    let queued = queued.trim();
    let listed = ask(&["queue", "ls", id]).good();
    assert_eq!(listed, format!("{queued}  1  later\n"));
    assert_eq!(ask(&["queue", "ls", id, "--json"]).json()[0]["id"], queued);
    ask(&["queue", "rm", id, queued]).good();
    assert_eq!(ask(&["queue", "ls", id]).good(), "");
    assert!(
        ask(&["prompt", id, "more", "--when-busy", "steer"])
            .failed(75)
            .contains("409")
    );
    assert!(ask(&["answer", id, "no-such", "yes"]).code.unwrap() > 1);
    assert!(ask(&["rm", id]).failed(75).contains("409"));
    ask(&["interrupt", id]).good();
    assert!(ask(&["attach", id]).code == Some(0));
    let terminated = ask(&["prompt", id, "sleep 300", "--detach"]);
    assert!(terminated.stderr.contains("turn 2"), "{terminated:#?}");
    ask(&["terminate", id]).good();
    ask(&["rm", "--force", id]).good();
}

#[tokio::test]
async fn a_session_is_forked_or_the_server_is_said_to_be_older() {
    let server = Server::demo().await;
    let ask = |arguments: &[&str]| aod(&server, &[&["session"][..], arguments].concat());
    let id = aod(&server, &["run", "hello", "--detach"]).good();
    let id = id.trim();
    ask(&["wait", id]).good();
    let described = server.client().get("/openapi.json").await.expect(200);
    let knows = |path: &str| described["paths"].get(path).is_some();
    for (path, arguments) in [
        ("/sessions/{id}/fork", vec!["fork", id, "--title", "other"]),
        ("/sessions/{id}/restore", vec!["restore", id, "1"]),
    ] {
        let said = ask(&arguments);
        match knows(path) {
            true => drop(said.good()),
            false => {
                let said = said.failed(66);
                assert!(said.contains("older than this command"), "{said}");
            }
        }
    }
    let missing = "00000000-0000-4000-8000-000000000000";
    let said = ask(&["fork", missing]).failed(66);
    assert!(!said.contains("older"), "{said}");
}

/// Reads lines until one has a text in it.
fn hear(lines: &mut BufReader<ChildStdout>, text: &str) {
    let mut line = String::new();
    while !line.contains(text) {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "no {text}");
    }
}

#[tokio::test]
async fn a_turn_is_followed_as_it_goes_and_whoever_looks_on_ends_nothing() {
    let server = Server::demo().await;
    let script = "$ echo before; while [ ! -e gate ]; do sleep 0.05; done\n$ echo behind";
    let id = aod(&server, &["run", script, "--detach"]).good();
    let id = id.trim();
    let mut followers = Vec::new();
    for arguments in [
        &["session", "logs", id, "-f", "--json"][..],
        &["session", "logs", id, "-f"],
        &["session", "attach", id, "--json"],
    ] {
        let mut child = spawn(server.command(arguments).stdin(Stdio::null()));
        let mut told = BufReader::new(child.stdout.take().unwrap());
        hear(&mut told, "before");
        followers.push((child, told));
    }
    // Ctrl-C ends who looks on, and not the turn.
    let (mut child, _) = followers.remove(0);
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let path = format!("/sessions/{id}");
    let session = server.client().get(&path).await.expect(200);
    assert_eq!(session["status"], "running");
    let workspace = server.session_files(id).join("workspace");
    std::fs::write(workspace.join("gate"), "").unwrap();
    for (mut child, mut told) in followers {
        hear(&mut told, "behind");
        // It ends with the turn, once all of it is read.
        std::io::copy(&mut told, &mut std::io::sink()).unwrap();
        assert!(child.wait().unwrap().success());
    }
}

#[tokio::test]
async fn what_a_session_changed_in_its_repository_is_a_diff_that_applies() {
    let git = GitServer::https();
    let repository = git.repository("owner/project");
    repository.commit(&[("a.txt", "one\n")]);
    let options =
        ServerOptions::new(Runtimes::demo()).set("AOD_EGRESS__CA_FILE", git.authority().display());
    let server = Server::start(options).await;
    let url = git.url("owner/project");
    let said = aod(
        &server,
        &["run", "$ echo two >>project/a.txt", "--repo", &url],
    );
    let id = session_of(&said.stderr);
    said.good();
    let diff = aod(&server, &["session", "diff", &id]).good();
    assert!(
        diff.contains("--- a/a.txt") && diff.contains("\n+two\n"),
        "{diff}"
    );
    let json = aod(&server, &["session", "diff", &id, "--json"]).json();
    assert_eq!(json[0]["diff"], diff.as_str());
    let clone = tempfile::tempdir().unwrap();
    std::fs::write(clone.path().join("a.txt"), "one\n").unwrap();
    let mut apply = std::process::Command::new("git");
    apply.arg("apply").current_dir(clone.path());
    let mut child = spawn(apply.stdin(Stdio::piped()));
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), diff.as_bytes()).unwrap();
    Said::of(child.wait_with_output().unwrap()).good();
    let applied = std::fs::read_to_string(clone.path().join("a.txt")).unwrap();
    assert_eq!(applied, "one\ntwo\n");
}
