//! The agent's script runs, and the adapter reads what it writes.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use aod_plugin_demo::Demo;
use aod_plugin_sdk::testing::{Recording, Replay, context, exit, laws, prompt, replay};
use aod_plugin_sdk::{
    Context, Continuity, EventBody, Exit, Fragment, Launch, Prompt, Stdin, StopKind, prepare,
};
use tempfile::TempDir;

/// A sandbox's folders.
struct Folders {
    folder: TempDir,
    turns: u32,
}

impl Folders {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        for name in ["home", "workspace", "private"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder, turns: 0 }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn next(&mut self, text: &str) -> (Context, Prompt) {
        self.turns += 1;
        let mut prompt = prompt(text);
        prompt.turn = self.turns;
        let mut context = context("demo/echo");
        context.options = r#"{"delay_ms": 0}"#.to_owned();
        context.paths.home = self.path("home");
        context.paths.workspace = self.path("workspace");
        context.paths.private = self.path("private");
        (context, prompt)
    }

    fn command(&self, launch: &Launch) -> Command {
        for file in &launch.files {
            fs::write(&file.path, literal(&file.content)).unwrap();
        }
        let mut command = Command::new(&launch.argv[0]);
        command
            .args(&launch.argv[1..])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.path("home"))
            .current_dir(self.path("workspace"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for variable in &launch.env {
            command.env(&variable.name, literal(&variable.value));
        }
        command
    }

    /// Runs a turn as a host would.
    fn turn(&mut self, prompt: &str) -> (Replay, Recording) {
        let (context, prompt) = self.next(prompt);
        let launch = prepare::<Demo>(&context, &prompt).unwrap();
        let mut child = self.command(&launch).spawn().unwrap();
        let Stdin::Text(text) = &launch.stdin else {
            panic!("{:?}", launch.stdin);
        };
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(literal(text).as_bytes()).unwrap();
        drop(stdin);
        let recording = recording(child.wait_with_output().unwrap());
        (replay::<Demo>(context, prompt, &recording, []), recording)
    }
}

fn literal(fragments: &[Fragment]) -> String {
    let each = fragments.iter().map(|fragment| match fragment {
        Fragment::Text(text) => text.as_str(),
        other => panic!("not literal: {other:?}"),
    });
    each.collect()
}

fn recording(output: Output) -> Recording {
    let stderr = String::from_utf8(output.stderr).unwrap();
    Recording {
        name: String::new(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        exit: Exit {
            stderr_tail: stderr.clone(),
            ..exit(output.status.code().unwrap())
        },
        stderr,
    }
}

fn messages(replay: &Replay) -> Vec<&str> {
    let each = replay.events().filter_map(|event| match event {
        EventBody::Message(message) => Some(message.text.as_str()),
        _ => None,
    });
    each.collect()
}

fn deltas(replay: &Replay) -> String {
    let each = replay.events().filter_map(|event| match event {
        EventBody::MessageDelta(delta) => Some(delta.text.as_str()),
        _ => None,
    });
    each.collect()
}

#[test]
fn a_second_turn_remembers_the_first() {
    let mut place = Folders::new();
    let awkward = "first \"quoted\" \\back\\slash\ttab\nsecond line; ünïcode & <tags> $HOME `id`";
    let (first, _) = place.turn(awkward);
    assert_eq!(messages(&first), [format!("You said: {awkward}")]);
    assert!(
        !first
            .events()
            .any(|event| matches!(event, EventBody::Unparsed(_)))
    );
    assert_eq!(
        deltas(&first).split_whitespace().collect::<Vec<_>>(),
        format!("You said: {awkward}")
            .split_whitespace()
            .collect::<Vec<_>>()
    );
    let note = Path::new(&place.path("workspace")).join("demo-1.txt");
    assert_eq!(fs::read_to_string(note).unwrap(), format!("{awkward}\n"));

    let (second, _) = place.turn("again");
    let messages = messages(&second);
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(
        messages[1].starts_with("Earlier you said: \"first "),
        "{}",
        messages[1]
    );
    assert!(second.failure().is_none());
    let listed = second.events().any(
        |event| matches!(event, EventBody::ToolResult(result) if result.output.contains("demo-1.txt")),
    );
    assert!(listed);
}

#[test]
fn continuity_is_told() {
    let mut place = Folders::new();
    for continuity in [Continuity::First, Continuity::Native] {
        let (context, prompt) = place.next("x");
        let launch = prepare::<Demo>(&context, &prompt).unwrap();
        assert_eq!(launch.continuity, continuity);
    }
}

#[test]
fn the_events_of_a_turn() {
    let mut place = Folders::new();
    let (replay, _) = place.turn("hello demo");
    let workspace = place.path("workspace");
    let text = format!("{:#?}", replay.events().collect::<Vec<_>>());
    insta::assert_snapshot!(text.replace(&workspace, "/workspace"));
}

#[test]
fn steering() {
    let mut place = Folders::new();
    let (tool, _) = place.turn("$ echo out; echo err >&2; exit 3");
    assert!(
        tool.events()
            .any(|event| matches!(event, EventBody::ToolResult(result)
        if result.output == "out\nerr" && result.is_error))
    );

    let (bytes, _) = place.turn("bytes 123456");
    assert_eq!(deltas(&bytes).matches('x').count(), 123_456);

    let (env, _) = place.turn("print-env");
    assert!(
        env.events()
            .any(|event| matches!(event, EventBody::ToolResult(result)
        if result.output.contains("DEMO_SESSION=5e551011")))
    );

    let (failed, recording) = place.turn("fail");
    assert_eq!(recording.exit.code, Some(1));
    assert_eq!(
        failed.failure().unwrap().message,
        "the prompt asked for a failure"
    );

    let (crashed, recording) = place.turn("exit 7");
    assert_eq!(recording.exit.code, Some(7));
    assert!(crashed.failure().is_some());
    let results = crashed
        .events()
        .filter(|it| matches!(it, EventBody::TurnResult(_)));
    assert_eq!(results.count(), 1);
}

#[test]
fn sigint_ends_a_turn_with_a_result() {
    let mut place = Folders::new();
    let (context, prompt) = place.next("sleep 600");
    let launch = prepare::<Demo>(&context, &prompt).unwrap();
    let mut child = place.command(&launch).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"sleep 600").unwrap();
    // The agent has written its memory before it sleeps, and traps before that.
    let memory = Path::new(&place.path("home")).join(".demo/prompts");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !fs::read_to_string(&memory).is_ok_and(|text| text.ends_with('\n')) {
        assert!(
            std::time::Instant::now() < deadline,
            "the agent does not start"
        );
        std::thread::yield_now();
    }
    let killed = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    let recording = recording(child.wait_with_output().unwrap());
    assert_eq!(recording.exit.code, Some(130));
    let replay = replay::<Demo>(context, prompt, &recording, []);
    assert!(
        replay
            .events()
            .any(|event| matches!(event, EventBody::TurnResult(result)
        if result.stop == StopKind::Interrupted
            && result.native_reason.as_deref() == Some("interrupted") && result.failure.is_none()))
    );
}

#[test]
fn the_laws_hold() {
    let mut place = Folders::new();
    let recordings = ["hello", "$ ls", "fail", "exit 2"].map(|prompt| place.turn(prompt).1);
    laws::<Demo>(&context("demo/echo"), &prompt("x"), &recordings);
}
