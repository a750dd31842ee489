//! Behind nginx as Debian has it: nothing is configured but where the server is.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use aod_e2e::{Client, DEADLINE, Gate, Server, Session, check_ids, eventually, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// nginx, until this is dropped.
struct Nginx {
    process: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Nginx {
    /// Starts nginx in front of a server.
    async fn before(server: &Server) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Free a moment ago; whoever takes it before nginx does makes this test fail loudly.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let root = match rustix::process::getuid().is_root() {
            true => "user root;",
            false => "",
        };
        let dir = folder.path().display();
        // Buffering stays on, and HTTP/1.0 towards the server: both are nginx's defaults.
        let configuration = format!(
            "daemon off; {root} pid {dir}/pid; error_log {dir}/error.log; worker_processes 1;
             events {{ worker_connections 64; }}
             http {{
                 access_log off;
                 client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;
                 fastcgi_temp_path {dir}/fastcgi; uwsgi_temp_path {dir}/uwsgi;
                 scgi_temp_path {dir}/scgi;
                 server {{
                     listen 127.0.0.1:{port};
                     location / {{ proxy_pass {}; }}
                 }}
             }}",
            server.client().base()
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, configuration).unwrap();
        let installed = Path::new("/usr/sbin/nginx");
        let program = match installed.exists() {
            true => installed,
            false => Path::new("nginx"),
        };
        let process = Command::new(program)
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let nginx = Self {
            process: process.expect("nginx is installed: apt-get install nginx"),
            port,
            folder,
        };
        let client = Client::new(&nginx.base(), None);
        eventually("nginx answers", DEADLINE, async || {
            let request = client.request(reqwest::Method::GET, "/health");
            client.try_send(request).await.ok()
        })
        .await
        .expect(200);
        nginx
    }

    fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A session as it is seen through the proxy.
    fn sees(&self, server: &Server, session: &Session) -> Session {
        session.at(&Client::new(&self.base(), Some(server.token())))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("error.log"));
            eprintln!("--- nginx's log ---\n{}", log.unwrap_or_default());
        }
        // Asked, so that it takes its worker along.
        if let Some(pid) = rustix::process::Pid::from_raw(self.process.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn events_arrive_while_the_turn_runs_and_can_be_resumed() {
    let server = Server::demo().await;
    let nginx = Nginx::before(&server).await;
    let gate = Gate::new("gate");
    let prompt = format!("$ echo one\n{}\n$ echo two", gate.step());
    let direct = server.client().demo_session(&prompt).await;
    let session = nginx.sees(&server, &direct);
    let mut stream = session.stream().await;
    let is = |text: &'static str| move |event: &aod_e2e::Event| event.says(text);
    // The turn stands at the gate until what it has written so far has arrived.
    let seen = stream.until(is("\"output\":\"one\"")).await;
    let last = seen.last().unwrap().line_id.unwrap();
    assert_eq!(session.read().await["status"], "running");
    drop(stream);

    // Another connection goes on right there, and sees the rest as it comes.
    gate.reached(&server, &direct).await;
    let mut resumed = session.client.stream_after(&session.id, last).await;
    let mut rest = resumed.until(is("gate")).await;
    assert_eq!(session.read().await["status"], "running");
    gate.open(&server, &direct);
    rest.extend(resumed.rest().await);
    check_ids(&rest, last);
    assert!(rest.last().unwrap().is_terminal());
    session.ended().await.completed();
}

#[tokio::test]
async fn heartbeats_pass() {
    let server = Server::demo().await;
    let nginx = Nginx::before(&server).await;
    let gate = Gate::new("gate");
    let session = server.client().demo_session(&gate.step()).await;
    gate.reached(&server, &session).await;
    let mut connection = TcpStream::connect(("127.0.0.1", nginx.port)).await.unwrap();
    let request = format!(
        "GET /sessions/{}/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
        session.id,
        server.token()
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    within("a heartbeat", DEADLINE, async {
        let (mut text, mut buffer) = (String::new(), vec![0; 4096]);
        while !text.contains("\n: heartbeat\n\n") {
            let count = connection.read(&mut buffer).await.unwrap();
            assert!(count > 0, "the stream ended: {text}");
            text.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    })
    .await;
    gate.open(&server, &session);
    session.ended().await.completed();
}
