//! `aod run`.

use aod_e2e::Server;
use serde_json::{Value, json};

use crate::{Said, aod, aod_with, lines, session_of};

async fn session(server: &Server, id: &str) -> Value {
    server
        .client()
        .get(&format!("/sessions/{id}"))
        .await
        .expect(200)
}

async fn turn(server: &Server, id: &str) -> Value {
    let turns = server.client().get(&format!("/sessions/{id}/turns")).await;
    turns.expect(200)["data"][0].clone()
}

#[tokio::test]
async fn the_answer_is_on_stdout_and_all_else_on_stderr() {
    let server = Server::demo().await;
    let said = aod(&server, &["run", "hello there"]);
    let id = session_of(&said.stderr);
    let answer = session(&server, &id).await["result"]["text"].clone();
    assert!(
        said.stderr.contains("completed;") && said.stderr.contains("→ shell"),
        "{said:#?}"
    );
    assert_eq!(json!(said.good().trim_end()), answer);

    // What the agent is made of is not left behind.
    assert_eq!(aod(&server, &["agent", "ls"]).good(), "");

    let failed = aod(&server, &["run", "exit 7"]);
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(7), ""));
    assert!(failed.stderr.contains("failed;"), "{failed:#?}");
}

#[tokio::test]
async fn a_prompt_is_taken_from_wherever_it_comes() {
    let server = Server::demo().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prompt.md");
    std::fs::write(&file, "from a file\n").unwrap();
    let file = file.to_str().unwrap();
    for (arguments, input, expected) in [
        (
            vec!["run", "review this"],
            &b"+a\n-b\n"[..],
            "review this\n\n<stdin>\n+a\n-b\n</stdin>",
        ),
        (vec!["run", "-"], b"from stdin\n", "from stdin"),
        (vec!["run"], b"from stdin alone\n", "from stdin alone"),
        (vec!["run", "alone", "--no-stdin"], b"unread", "alone"),
        (vec!["run", "--prompt-file", file], b"", "from a file"),
        (vec!["run", "nothing more"], b"", "nothing more"),
    ] {
        let arguments = [arguments, vec!["--detach"]].concat();
        let id = aod_with(&server, &arguments, input).good();
        let prompt = turn(&server, id.trim()).await["prompt"].clone();
        assert_eq!(prompt, expected, "{arguments:?}");
        aod(&server, &["session", "terminate", id.trim()]);
    }
    assert!(aod(&server, &["run"]).failed(1).contains("--prompt-file"));
    assert!(aod(&server, &["run", " "]).failed(1).contains("empty"));
}

#[tokio::test]
async fn files_images_and_bounds_come_along() {
    let server = Server::demo().await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let image = path(
        "dot.png",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0:~\x9bU\0\0\0\nIDATx\x9cc`\0\0\0\x02\0\x01H\xaf\xa4q\0\0\0\0IEND\xaeB`\x82",
    );
    let notes = path("notes.txt", b"by hand");
    let schema = path("schema.json", br#"{"type": "object"}"#);
    // More than stands in a prompt, and no text.
    let big = [vec![0xff], vec![b'x'; 300 << 10]].concat();
    let said = aod_with(
        &server,
        &[
            "run",
            "look",
            "--image",
            &image,
            "--file",
            &notes,
            "--limit",
            "max_rounds=5",
            "--timeout",
            "60",
            "--title",
            "of the test",
            "--label",
            "team=fruit",
            "--var",
            "COLOUR=red",
            "--env",
            "AOD_API_TOKEN",
            "--detach",
            "--json",
        ],
        &big,
    );
    let id = said.json()["id"].as_str().unwrap().to_owned();
    let made = session(&server, &id).await;
    assert_eq!(made["title"], "of the test");
    assert_eq!(made["metadata"], json!({"team": "fruit"}));
    assert_eq!(made["vars"], json!({"COLOUR": "red"}));
    let first = turn(&server, &id).await;
    assert_eq!(made["limits"], json!({"max_rounds": 5}));
    assert_eq!(first["timeout"], 60);
    let names = first["blocks"].as_array().unwrap().iter();
    let names: Vec<&Value> = names.map(|block| &block["attachment"]["name"]).collect();
    let names = format!("{names:?}");
    for name in ["stdin.bin", "notes.txt", "png"] {
        assert!(names.contains(name), "{names}");
    }
    aod(&server, &["session", "terminate", &id]);

    for (arguments, named) in [
        (&["--image", notes.as_str()][..], "--file"),
        (&["--file", "no/such"], "no/such"),
        (&["--limit", "rounds=3"], "max_rounds"),
        (&["--schema", "no/such.json"], "no/such.json"),
        (&["--env", "KEY=s3cret"], "export KEY"),
        (&["--env", "NO_SUCH_VARIABLE"], "NO_SUCH_VARIABLE"),
        (&["--repo", "owner/repository"], "https://"),
    ] {
        let said = aod(&server, &[&["run", "x"][..], arguments].concat()).failed(1);
        assert!(said.contains(named) && !said.contains("s3cret"), "{said}");
    }
    // An option that the runtime does not have, and a repository, are the server's to look at.
    let said = aod(&server, &["run", "x", "--set", "colour=red"]).failed(65);
    assert!(said.contains("colour"), "{said}");
    let repository = "https://127.0.0.1:9/no/such#main";
    let said = aod(
        &server,
        &["run", "x", "--repo", repository, "--schema", &schema],
    );
    let id = session_of(&said.stderr);
    let resource = session(&server, &id).await["resources"][0].clone();
    assert_eq!(resource["checkout"], "main");
    assert_eq!(turn(&server, &id).await["output_schema"]["type"], "object");
    assert!(said.failed(1).contains("failed"));
}

#[tokio::test]
async fn with_json_each_line_of_stdout_is_json() {
    let server = Server::demo().await;
    let said = aod(&server, &["run", "hello", "--json"]);
    assert!(!said.stderr.contains("→"), "{said:#?}");
    let told = lines(&said.good());
    let (first, last) = (&told[0], &told[told.len() - 1]);
    assert_eq!(first["type"], "session");
    assert_eq!(last["session"]["id"], first["session"]["id"]);
    assert_eq!(last["session"]["status"], "completed");
    let types: Vec<&str> = told.iter().map(|it| it["type"].as_str().unwrap()).collect();
    assert!(
        types.contains(&"message") && types.contains(&"turn.result"),
        "{types:?}"
    );
    assert!(!types.contains(&"message.delta"), "{types:?}");
    let all = aod(&server, &["run", "hello", "--json", "--deltas"]);
    assert!(
        lines(&all.good())
            .iter()
            .any(|it| it["type"] == "message.delta")
    );
    // Behind a reader that has seen enough, nothing goes on.
    let native = aod(&server, &["run", "hello", "--raw"]).good();
    assert!(
        lines(&native).iter().any(|line| line["demo"] == "result"),
        "{native}"
    );
}

#[tokio::test]
async fn a_variable_is_in_the_sandbox_and_a_secret_one_in_nothing_that_is_told() {
    let server = Server::demo().await;
    let secret = "plum-s3cret-0123456789";
    let mut run = server.command(&[
        "run",
        "$ [ \"$PLUM\" = \"$(printf plum-; printf s3cret-0123456789)\" ] && echo $PLUM in $COLOUR",
        "--env",
        "PLUM",
        "--var",
        "COLOUR=blue",
        "--json",
    ]);
    let said = Said::of(run.env("PLUM", secret).output().unwrap());
    let id = session_of(&said.stderr);
    assert!(!said.stderr.contains(secret), "{said:#?}");
    let told = said.good();
    assert!(told.contains("[redacted:PLUM] in blue"), "{told}");
    assert!(!told.contains(secret));
    assert_eq!(session(&server, &id).await["vars"]["COLOUR"], "blue");
}
