//! Whatever dies, every session is in a true state soon after.

use std::time::Duration;

use aod_e2e::{DEADLINE, Gate, Server, Session, check_ids, eventually, output};
use serde_json::json;

/// How soon a lost turn must be known as such.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_turn_outlives_the_host_and_no_event_is_lost_or_repeated() {
    let mut server = Server::demo().await;
    let gates: Vec<_> = (0..3)
        .map(|number| Gate::new(&format!("gate{number}")))
        .collect();
    let mut prompt = String::new();
    let mut line = 0;
    for gate in &gates {
        for _ in 0..20 {
            prompt.push_str(&format!("$ echo line-{line}-end\n"));
            line += 1;
        }
        prompt.push_str(&gate.step());
        prompt.push('\n');
    }
    let last_gate = Gate::new("last");
    prompt.push_str(&last_gate.step());
    prompt.push_str("\n$ echo line-last-end\n");
    let mut session = server.client().demo_session(&prompt).await;
    let mut seen = Vec::new();
    let mut last = 0;
    for gate in &gates {
        let mut stream = session.client.stream(&session.id, Some(last)).await;
        gate.reached(&server, &session).await;
        // Killed while a reader is in the middle of it.
        let begun = stream.until(|event| event.kind() == "output").await;
        server.kill();
        let mut events = begun;
        events.extend(stream.rest().await);
        last = check_ids(&events, last);
        seen.extend(events.into_iter().skip(1));
        // What is written while there is no host is in the log all the same.
        gate.open(&server, &session);
        server.start_again().await;
        session = session.at(server.client());
        assert_eq!(
            session.read().await["status"],
            "running",
            "the turn goes on"
        );
    }
    let mut stream = session.client.stream(&session.id, Some(last)).await;
    last_gate.open(&server, &session);
    let events = stream.rest().await;
    check_ids(&events, last);
    seen.extend(events.into_iter().skip(1));
    let ended = session.ended().await.completed();
    // Each piece began with an event that may stand twice only in front of it: `turn_start`.
    let mut whole = ended.events.clone();
    whole.remove(0);
    assert_eq!(seen, whole);
    let stdout = output(&seen, "stdout");
    let lines = (0..line).map(|number| format!("line-{number}-end"));
    for text in lines.chain(["line-last-end".to_owned()]) {
        let result = format!("\"output\":\"{text}\"");
        assert_eq!(stdout.matches(&result).count(), 1, "{text}");
    }
    session.prompt("and on").await;
    session.ended().await.completed();
}

#[tokio::test]
async fn a_turn_that_ends_while_there_is_no_host_is_finished_by_the_next() {
    let mut server = Server::demo().await;
    let gate = Gate::new("gate");
    let prompt = format!("{}\n$ echo after", gate.step());
    let session = server.client().demo_session(&prompt).await;
    gate.reached(&server, &session).await;
    let supervisor = server.supervisor();
    server.kill();
    gate.open(&server, &session);
    eventually("the turn ends by itself", DEADLINE, async || {
        (!supervisor.root.is_alive()).then_some(())
    })
    .await;
    server.start_again().await;
    let session = session.at(server.client());
    let ended = session.ended().await.completed();
    assert!(
        ended.stdout().contains("\"output\":\"after\""),
        "{}",
        ended.stdout()
    );
    assert!(
        ended.turn["usage"]["input_tokens"].as_u64().unwrap() > 0,
        "usage is counted"
    );
}

/// Holds a session's log as its writer does, until this is dropped.
fn hold_log(server: &Server, session: &Session) -> std::fs::File {
    use std::os::fd::AsRawFd as _;
    let path = server.session_folder(&session.id).join("log/lock");
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    // SAFETY: an all-zero flock is valid: from the start, to the end, of no process.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    // SAFETY: the descriptor is open, and the lock lives on.
    let done = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw mut lock) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    file
}

#[tokio::test]
async fn a_log_that_cannot_be_had_delays_the_end_and_changes_nothing_about_it() {
    let mut server = Server::demo().await;
    let gate = Gate::new("gate");
    let session = server.client().demo_session(&gate.step()).await;
    gate.reached(&server, &session).await;
    let supervisor = server.supervisor().root;
    server.kill();
    gate.open(&server, &session);
    eventually("the turn ends", DEADLINE, async || {
        (!supervisor.is_alive()).then_some(())
    })
    .await;
    let held = hold_log(&server, &session);
    server.start_again().await;
    let session = session.at(server.client());
    // It does not give up when its first patience is over.
    eventually("the server notices", DEADLINE, async || {
        server
            .log()
            .contains("its log is kept from the host")
            .then_some(())
    })
    .await;
    assert_eq!(session.read().await["status"], "running");
    drop(held);
    session.ended().await.completed();
    session.prompt("and on").await;
    session.ended().await.completed();
}

#[tokio::test]
async fn an_orderly_stop_leaves_running_turns_alone() {
    let mut server = Server::demo().await;
    let gate = Gate::new("gate");
    let session = server.client().demo_session(&gate.step()).await;
    gate.reached(&server, &session).await;
    let supervisor = server.supervisor();
    server.stop().await;
    assert!(
        supervisor.root.is_alive(),
        "the turn was stopped with the host"
    );
    server.start_again().await;
    let session = session.at(server.client());
    gate.open(&server, &session);
    session.ended().await.completed();
    assert_eq!(
        gate.arrivals(&server, &session),
        1,
        "the prompt was sent twice"
    );
}

#[tokio::test]
async fn a_turn_whose_supervisor_dies_fails_soon() {
    let server = Server::demo().await;
    let gate = Gate::new("gate");
    let session = server.client().demo_session(&gate.step()).await;
    gate.reached(&server, &session).await;
    let tree = server.supervisor();
    assert!(tree.below.len() > 2, "{tree:?}");
    tree.root.kill();
    session.wait_within("failed", SOON).await;
    let ended = session.ended().await;
    let error = ended.failed();
    assert!(error.contains("died"), "{error}");
    assert_eq!(ended.last().kind(), "error");
    assert_eq!(ended.session["resumable"], true);
    eventually("its sandbox is gone", SOON, async || {
        tree.survivors().is_empty().then_some(())
    })
    .await;
    session.prompt("go on").await;
    session.ended().await.completed();
}

#[tokio::test]
async fn when_both_die_the_next_host_says_so() {
    let mut server = Server::demo().await;
    let gate = Gate::new("gate");
    let session = server.client().demo_session(&gate.step()).await;
    gate.reached(&server, &session).await;
    let tree = server.supervisor();
    server.kill();
    tree.root.kill();
    eventually("its sandbox is gone", SOON, async || {
        tree.survivors().is_empty().then_some(())
    })
    .await;
    server.start_again().await;
    let session = session.at(server.client());
    session.wait_within("failed", SOON).await;
    let ended = session.ended().await;
    assert!(ended.failed().contains("died"));
    session.prompt("go on").await;
    session.ended().await.completed();
}

#[tokio::test]
async fn provisioning_goes_on_after_a_restart() {
    let mut server = Server::demo().await;
    let client = server.client();
    let gate = Gate::new("gate");
    let environment = gate.environment(client, "; echo made >made").await;
    let agent = client.demo_agent().await;
    let body = json!({"agent_id": agent, "prompt": "$ cat made", "environment_id": environment});
    let session = client.create_session(&body).await;
    gate.reached(&server, &session).await;
    server.kill_and_start_again().await;
    let session = session.at(server.client());
    assert_eq!(session.read().await["status"], "pending");
    eventually("the stage begins anew", DEADLINE, async || {
        (gate.arrivals(&server, &session) == 2).then_some(())
    })
    .await;
    gate.open(&server, &session);
    let ended = session.ended().await.completed();
    assert!(
        ended.stdout().contains("\"output\":\"made\""),
        "{}",
        ended.stdout()
    );
    for stage in ["create_sandbox", "provision_setup", "runtime_start"] {
        let done = ended
            .events
            .iter()
            .filter(|event| event.data["stage"] == stage && event.data["state"] == "done");
        assert_eq!(done.count(), 1, "{stage}: {:#?}", ended.events);
    }
}

#[tokio::test]
async fn a_session_resumes_after_a_restart_between_turns() {
    let mut server = Server::demo().await;
    let session = server.client().demo_session("the word is tangerine").await;
    let first = session.ended().await.completed();
    server.kill_and_start_again().await;
    let session = session.at(server.client());
    assert_eq!(
        session.ended().await.events,
        first.events,
        "history is as it was"
    );
    session.prompt("which word?").await;
    assert!(
        session
            .ended()
            .await
            .completed()
            .last_stdout()
            .contains("tangerine")
    );
}

#[tokio::test]
async fn what_was_accepted_is_done_even_if_the_host_dies_at_once() {
    let mut server = Server::demo().await;
    let agent = server.client().demo_agent().await;
    let mut sessions = Vec::new();
    for number in 0..5 {
        let body = json!({"agent_id": agent, "prompt": format!("number {number}")});
        sessions.push(server.client().create_session(&body).await);
        server.kill_and_start_again().await;
    }
    for (number, session) in sessions.iter().enumerate() {
        let session = session.at(server.client());
        let ended = session.ended().await;
        // Killed at whatever moment: it ran to its end, or it says that it did not.
        match ended.session["status"].as_str() {
            Some("completed") => {
                let note = server.workspace_file(&session.id, "demo-1.txt");
                assert_eq!(note.unwrap(), format!("number {number}\n"));
            }
            _ => assert!(ended.failed().contains("died"), "{ended:#?}"),
        }
    }
}
