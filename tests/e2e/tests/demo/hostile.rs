//! CLIs that do what no CLI should.

use aod_e2e::{
    DEADLINE, Gate, Runtimes, Server, ServerOptions, Session, eventually, output, within,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

async fn server() -> Server {
    Server::start(ServerOptions::new(Runtimes::default().with_raw())).await
}

/// How often a byte comes in a session's stream, up to its end. On the wire, since the messages
/// are larger than the other tests' parser is made for.
async fn count(session: &Session, wanted: u8) -> usize {
    let base = session.client.base();
    let address = base.strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /sessions/{}/stream HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\n\
         Connection: close\r\n\r\n",
        session.id,
        session.client.token().unwrap()
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut buffer = vec![0; 256 << 10];
    let mut found = 0;
    loop {
        match connection.read(&mut buffer).await.unwrap() {
            0 => return found,
            count => {
                found += buffer[..count]
                    .iter()
                    .filter(|byte| **byte == wanted)
                    .count()
            }
        }
    }
}

#[tokio::test]
async fn a_line_of_a_hundred_megabytes_arrives_whole() {
    let server = server().await;
    // A letter that stands nowhere else in the stream.
    let script = "head -c 100000000 /dev/zero | tr '\\0' Z; echo; echo after";
    let session = server.client().raw_session(script).await;
    let found = within("the line", DEADLINE * 4, count(&session, b'Z')).await;
    assert_eq!(found, 100_000_000);
    assert_eq!(session.read().await["status"], "completed");
    // The next turn is as any other.
    session.prompt("echo fine").await;
    session.wait_for("completed").await;
}

#[tokio::test]
async fn rubbish_is_replaced_and_streams_stay_what_they_are() {
    let server = server().await;
    let script = "head -c 300000 /dev/urandom; printf '\\n\\0\\033[31m\\302\\205\\n'; echo after";
    let session = server.client().raw_session(script).await;
    let ended = session.ended().await.completed();
    let stdout = output(&ended.events, "stdout");
    assert!(stdout.contains("\n\0\u{1b}[31m\u{85}\nafter\n"));
    assert!(stdout.contains('\u{fffd}'));
    let path = format!("/sessions/{}/events?limit=200", session.id);
    let page = session.client.get(&path).await.expect(200);
    assert!(!page["data"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn one_that_closes_its_output_and_lives_on_is_waited_for() {
    let server = server().await;
    let gate = Gate::new("gate");
    let script = format!("echo before; exec >&- 2>&-; {}; exit 3", gate.command());
    let session = server.client().raw_session(&script).await;
    let mut stream = session.stream().await;
    stream.until(|event| event.data["data"] == "before\n").await;
    gate.reached(&server, &session).await;
    assert_eq!(session.read().await["status"], "running");
    gate.open(&server, &session);
    let rest = stream.rest().await;
    assert_eq!(rest.last().unwrap().data["code"], 3, "{rest:#?}");
    assert_eq!(session.ended().await.session["exit_code"], 3);
}

#[tokio::test]
async fn one_that_goes_into_the_background_ends_with_its_turn() {
    let server = server().await;
    // A daemon with all that makes one: a session of its own, no parent, and the pipe in its hand.
    let script = "(setsid sh -c 'echo daemon; exec sleep 1000' &); echo done";
    let session = server.client().raw_session(script).await;
    let ended = session.ended().await.completed();
    assert!(output(&ended.events, "stdout").contains("done\n"));
    assert!(server.supervisors().is_empty());
    session.prompt("echo next").await;
    session.ended().await.completed();
}

#[tokio::test]
async fn one_that_writes_faster_than_it_is_read_is_stopped() {
    let server = server().await;
    let session = server.client().raw_session("yes").await;
    let mut stream = session.stream().await;
    stream.until(|event| event.kind() == "output").await;
    drop(stream);
    // The host is behind by then, and would be further behind at any later time.
    let path = format!("/sessions/{}/terminate", session.id);
    let reply = server.client().post_empty(&path).await;
    // On a slow machine the rest of what was written may take longer than the request waits.
    assert!(matches!(reply.status.as_u16(), 200 | 503), "{}", reply.text);
    session.wait_within("terminated", DEADLINE * 2).await;
    assert!(server.supervisors().is_empty());
}

/// Whoever computes without end goes behind those who only want to answer, and no longer than that.
#[tokio::test]
async fn one_that_computes_without_end_goes_behind_the_others() {
    if std::fs::read("/proc/self/autogroup").is_err() {
        println!("skipped: this kernel has no autogroups");
        return;
    }
    let server = server().await;
    let gate = Gate::new("gate");
    // Each of them in a session of its own, as an agent that wants more than its share would.
    let spin = "for n in 1 2 3; do setsid timeout 3600 yes >/dev/null & done";
    let script = format!("{spin}; {}; pkill -f yes; sleep 3600", gate.command());
    let session = server.client().raw_session(&script).await;
    gate.reached(&server, &session).await;
    let busy = || {
        let mut below = server.supervisor().below;
        below.retain(|process| process.command().starts_with("yes"));
        below
    };
    eventually("all who compute are behind", DEADLINE, async || {
        let busy = busy();
        let behind = busy.iter().all(|process| nice(*process) == Some(10));
        (busy.len() == 3 && behind).then_some(())
    })
    .await;
    // What it takes to record what they say is theirs.
    assert_eq!(nice(server.supervisor().root), Some(5));
    gate.open(&server, &session);
    eventually("nobody is behind any more", DEADLINE, async || {
        let tree = server.supervisor();
        let mut all = std::iter::once(&tree.root).chain(&tree.below);
        let behind = all.any(|it| nice(*it) != Some(0));
        (busy().is_empty() && !behind).then_some(())
    })
    .await;
    session
        .client
        .post_empty(&format!("/sessions/{}/terminate", session.id))
        .await
        .expect(200);
}

/// The nice value of a process's group in the kernel's sharing out of processor time.
fn nice(process: aod_e2e::Process) -> Option<i32> {
    let text = std::fs::read_to_string(format!("/proc/{}/autogroup", process.pid)).ok()?;
    text.trim_end().rsplit_once(' ')?.1.parse().ok()
}
