//! Setup scripts: by what they are run, what they leave for turns, and how they are watched.

use aod_e2e::{Client, Ended, Event, Gate, Runtimes, Server, ServerOptions, Session, files_with};
use serde_json::{Value, json};

async fn start(client: &Client, environment: &Value, prompt: &str) -> Session {
    let environment = client.create_environment(environment).await;
    let agent = client.demo_agent().await;
    let body = json!({"agent_id": agent, "prompt": prompt, "environment_id": environment});
    client.create_session(&body).await
}

async fn run(client: &Client, script: &str, prompt: &str) -> Ended {
    let environment = json!({"name": "e", "setup_script": script});
    start(client, &environment, prompt).await.ended().await
}

async fn printed(session: &Session) -> String {
    let path = format!("/sessions/{}/provisioning", session.id);
    session.client.get(&path).await.text
}

#[tokio::test]
async fn the_first_line_of_a_script_says_what_runs_it() {
    let server = Server::demo().await;
    let client = server.client();
    let bash = "#!/bin/bash\na=(one two)\necho \"${a[1]} $BASH_VERSION\" >made";
    let python = "#!/usr/bin/env python3\nimport os\nopen('made', 'w').write('two ' + os.getcwd())";
    for (script, expected) in [
        (bash.to_owned(), "two "),
        // As an editor of another system writes it.
        (
            format!("\u{feff}{}\r\n", bash.replace('\n', "\r\n")),
            "two ",
        ),
        (python.to_owned(), "two /workspace"),
        (python.replace('\n', "\r\n"), "two /workspace"),
        ("echo \"two $0\" >made".to_owned(), "two "),
    ] {
        let ended = run(client, &script, "$ cat made").await.completed();
        let stdout = ended.stdout();
        assert!(stdout.contains(expected), "{script}: {stdout}");
    }
}

#[tokio::test]
async fn a_script_without_a_first_line_stops_at_failures_and_unset_variables() {
    let server = Server::demo().await;
    let client = server.client();
    for (script, expected) in [
        ("echo \"$NOT_SET\"; touch later", "NOT_SET"),
        ("#!/no/such/program\ntrue", "/no/such/program"),
    ] {
        let error = run(client, script, "hello").await.failed();
        assert!(error.contains(expected), "{script}: {error}");
    }
}

#[tokio::test]
async fn what_a_script_writes_to_its_file_is_the_environment_of_turns() {
    let server = Server::demo().await;
    let client = server.client();
    let secret = format!("made-{}", uuid::Uuid::new_v4());
    // The secret is put together by the script, so that it is nowhere but in its file.
    let (first, second) = secret.split_at(10);
    let script = format!(
        "#!/bin/bash\n\
         echo \"MADE={first}{second}\" | sed s/X// >>\"$AOD_ENV\"\n\
         echo OURS=script >>$AOD_ENV\n\
         echo FOR_ALL=script >>$AOD_ENV\n\
         printf 'LINES<<END\\none = 1\\n\\ntwo\\nEND\\n' >>$AOD_ENV\n\
         mkdir -p bin; printf '#!/bin/sh\\necho mine' >bin/mine; chmod +x bin/mine\n\
         echo \"PATH=$PWD/bin:$PATH\" >>$AOD_ENV\n"
    );
    let script = script.replace(&secret, &format!("{first}X{second}"));
    let environment = json!({
        "name": "e", "setup_script": script, "env_vars": {"OURS": "environment"},
    });
    client
        .put("/credentials/env:FOR_ALL", &json!({"value": "credential"}))
        .await
        .expect(200);
    let prompt = "$ printenv LINES | tr '\\n' '|'\n$ mine\n$ printenv MADE >made\n$ printenv MADE";
    let session = start(client, &environment, prompt).await;
    let ended = session.ended().await.completed();
    let stdout = ended.stdout();
    for shown in ["one = 1||two|", "\"mine\""] {
        assert!(stdout.contains(shown), "{shown}: {stdout}");
    }
    // What a script writes there is taken for a secret.
    assert!(stdout.contains("[redacted:MADE]"), "{stdout}");
    let made = || server.workspace_file(&session.id, "made").unwrap();
    assert_eq!(made().trim(), secret);
    // It is there in later turns as well, also behind a restart.
    session.prompt("$ printenv MADE OURS FOR_ALL >made").await;
    session.ended().await.completed();
    assert_eq!(made().trim(), format!("{secret}\nenvironment\nscript"));
    for path in ["", "/turns", "/stream", "/events", "/provisioning"] {
        let path = format!("/sessions/{}{path}", session.id);
        let reply = client.get(&path).await.text;
        assert!(!reply.contains(&secret), "{path}: {reply}");
    }
    let shown = |path: &std::path::Path| path.ends_with("workspace");
    let files = files_with(&server.data(), &secret, &shown);
    assert!(files.is_empty(), "{files:?}");
    assert!(!server.session_folder(&session.id).join("setup").exists());
}

#[tokio::test]
async fn a_session_wins_over_what_its_script_left() {
    let server = Server::demo().await;
    let client = server.client();
    let script = "echo A=script-value >>$AOD_ENV; echo B=script-value >>$AOD_ENV";
    let environment = client
        .create_environment(&json!({"name": "e", "setup_script": script}))
        .await;
    let agent = client.demo_agent().await;
    let session = client
        .create_session(&json!({
            "agent_id": agent, "environment_id": environment, "prompt": "$ echo $A $B >seen",
            "secret_env_vars": {"A": "session-value"},
        }))
        .await;
    session.ended().await.completed();
    let seen = server.workspace_file(&session.id, "seen").unwrap();
    assert_eq!(seen.trim(), "session-value script-value");
}

#[tokio::test]
async fn what_is_wrong_in_the_file_is_told_with_its_line() {
    let server = Server::demo().await;
    let client = server.client();
    for (script, expected) in [
        (
            "echo A=1 >$AOD_ENV; echo 'export B=not-told' >>$AOD_ENV",
            "line 2",
        ),
        ("echo HOME=/not-told >$AOD_ENV", "HOME"),
        ("rm $AOD_ENV; mkfifo $AOD_ENV", "FIFO"),
        ("rm $AOD_ENV; ln -s /etc/passwd $AOD_ENV", "AOD_ENV"),
        ("head -c 2000000 /dev/zero >$AOD_ENV", "1048576 bytes"),
    ] {
        let error = run(client, script, "hello").await.failed();
        assert!(
            error.contains(expected) && error.contains("$AOD_ENV"),
            "{script}: {error}"
        );
        assert!(!error.contains("not-told"), "{error}");
    }
    // A script may leave none.
    run(client, "rm $AOD_ENV", "hello").await.completed();
}

#[tokio::test]
async fn a_script_has_a_time_limit_of_its_own() {
    let options = ServerOptions::new(Runtimes::demo()).set("AOD_TURN__SETUP_TIMEOUT", "1s");
    let server = Server::start(options).await;
    let client = server.client();
    let error = run(client, "echo begun; sleep 60", "hello").await.failed();
    assert!(
        error.contains("longer than 1 s") && error.contains("begun"),
        "{error}"
    );
    // The environment's wins.
    let environment = json!({"name": "e", "setup_script": "sleep 2", "setup_timeout": 600});
    let session = start(client, &environment, "hello").await;
    session.ended().await.completed();
    for bad in [9, 86_401] {
        let body = json!({"name": "e", "setup_timeout": bad});
        let refused = client.post("/environments", &body).await.refused(422);
        assert_eq!(refused[0]["loc"][1], "setup_timeout", "{refused}");
    }
}

#[tokio::test]
async fn a_script_runs_once_per_session_and_as_it_was_when_that_began() {
    let server = Server::demo().await;
    let client = server.client();
    let body = json!({"name": "e", "setup_script": "echo old >>runs"});
    let environment = client.create_environment(&body).await;
    let agent = client.demo_agent().await;
    let body = json!({"agent_id": agent, "prompt": "$ cat runs", "environment_id": environment});
    let first = client.create_session(&body).await;
    first.ended().await.completed();
    let path = format!("/environments/{environment}");
    let change = json!({"version": 1, "setup_script": "echo new >>runs"});
    client.put(&path, &change).await.expect(200);
    first.prompt("$ cat runs").await;
    first.ended().await.completed();
    let second = client.create_session(&body).await;
    second.ended().await.completed();
    for (session, runs) in [(&first, "old\n"), (&second, "new\n")] {
        assert_eq!(server.workspace_file(&session.id, "runs").unwrap(), runs);
    }
}

#[tokio::test]
async fn output_is_followed_while_a_script_runs_and_resumed() {
    let server = Server::demo().await;
    let client = server.client();
    let gate = Gate::new("half");
    let script = format!(
        "echo first-half; {}; echo 'zweite Hälfte €'",
        gate.command()
    );
    let environment = json!({"name": "e", "setup_script": script});
    let session = start(client, &environment, "hello").await;
    let mut stream = client.provisioning(&session.id, 0).await;
    let says = |event: &Event, text: &str| {
        event.data["text"]
            .as_str()
            .is_some_and(|it| it.contains(text))
    };
    let begun = stream.until(|event| says(event, "first-half")).await;
    let offset = begun.last().unwrap().line_id.unwrap();
    // Broken off, and resumed behind what was read.
    drop(stream);
    let mut stream = client.provisioning(&session.id, offset).await;
    gate.open(&server, &session);
    let rest = stream.rest().await;
    let text: String = rest
        .iter()
        .filter_map(|event| event.data["text"].as_str())
        .collect();
    assert_eq!(text, "zweite Hälfte €\n");
    let last = rest.last().unwrap();
    assert_eq!(last.data["type"], "end", "{rest:#?}");
    session.ended().await.completed();
    // As text it is the same, and from the same offsets.
    let whole = printed(&session).await;
    assert!(whole.ends_with(&text), "{whole}");
    let path = format!("/sessions/{}/provisioning?offset={offset}", session.id);
    assert_eq!(client.get(&path).await.text, text);
    let beyond = format!("/sessions/{}/provisioning?offset=1000000", session.id);
    assert_eq!(client.get(&beyond).await.text, "");
    let bad = format!("/sessions/{}/provisioning?offset=-1", session.id);
    client.get(&bad).await.refused(400);
    let replay = client.provisioning(&session.id, 0).await.rest().await;
    assert_eq!(replay.last().unwrap().data["status"], "completed");
}

#[tokio::test]
async fn followers_of_a_script_that_fails_see_its_end() {
    let server = Server::demo().await;
    let client = server.client();
    let gate = Gate::new("before");
    let script = format!("{}; echo it-breaks; exit 3", gate.command());
    let environment = json!({"name": "e", "setup_script": script});
    let session = start(client, &environment, "hello").await;
    let mut stream = client.provisioning(&session.id, 0).await;
    gate.reached(&server, &session).await;
    gate.open(&server, &session);
    let events = stream.rest().await;
    let is_told = events.iter().any(|event| {
        event.data["text"]
            .as_str()
            .is_some_and(|text| text.contains("it-breaks"))
    });
    assert!(is_told, "{events:#?}");
    assert_eq!(events.last().unwrap().data["status"], "failed");
}
