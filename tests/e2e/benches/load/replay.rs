//! Replaying a large session, against nginx serving the same bytes from a file.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aod_e2e::{DEADLINE, eventually};

use crate::{row, server};

const ROUNDS: usize = 3;

pub(crate) async fn measure(mib: usize) {
    let server = server().await;
    let session = server
        .client()
        .demo_session(&format!("bytes {}", mib << 20))
        .await;
    session.wait_within("completed", DEADLINE * 10).await;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = folder.path().join("stream");
    let url = format!("{}/sessions/{}/stream", server.client().base(), session.id);
    let token = format!("Authorization: Bearer {}", server.token());
    // Also brings the log into the page cache, as nginx's file will be.
    fetch(&url, &token, &file);
    let size = std::fs::metadata(&file).unwrap().len();
    assert!(size > mib as u64 * (1 << 20));
    let Some(nginx) = Nginx::start(folder.path()).await else {
        println!("replay: nginx is not installed (Debian: apt-get install nginx-light)");
        return;
    };
    let (mut ours, mut theirs) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        ours = ours.min(fetch(&url, &token, Path::new("/dev/null")));
        theirs = theirs.min(fetch(&nginx.url, &token, Path::new("/dev/null")));
    }
    let rate = |time: Duration| size as f64 / time.as_secs_f64() / f64::from(1 << 20);
    row(
        &format!("replay of a session of {mib} MiB over SSE"),
        &format!("{:.0} MiB/s", rate(ours)),
        &format!("nginx, a file of the same bytes, {:.0} MiB/s", rate(theirs)),
        &format!("{:.2}", rate(ours) / rate(theirs)),
        "≥ 0.5",
    );
}

fn fetch(url: &str, header: &str, into: &Path) -> Duration {
    let begun = Instant::now();
    let status = Command::new("curl")
        .args([
            "--silent",
            "--fail",
            "--no-buffer",
            "--header",
            header,
            "--output",
        ])
        .arg(into)
        .arg(url)
        .status()
        .unwrap();
    assert!(status.success(), "{url}: {status}");
    begun.elapsed()
}

/// nginx, as Debian has it, serving a folder.
struct Nginx {
    process: Child,
    url: String,
}

impl Nginx {
    async fn start(folder: &Path) -> Option<Self> {
        let port = free_port();
        let shown = folder.display();
        let text = format!(
            "daemon off; master_process off; pid {shown}/nginx.pid; error_log {shown}/error.log;\n\
             events {{}}\n\
             http {{ sendfile on; access_log off; client_body_temp_path {shown}/body;\n\
             proxy_temp_path {shown}/p; fastcgi_temp_path {shown}/f; uwsgi_temp_path {shown}/u;\n\
             scgi_temp_path {shown}/s;\n\
             server {{ listen 127.0.0.1:{port}; location / {{ root {shown}; }} }} }}\n"
        );
        let config = folder.join("nginx.conf");
        std::fs::write(&config, text).unwrap();
        let process = Command::new("/usr/sbin/nginx")
            .arg("-e")
            .arg(folder.join("error.log"))
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .spawn()
            .ok()?;
        let nginx = Self {
            process,
            url: format!("http://127.0.0.1:{port}/stream"),
        };
        eventually("nginx listens", DEADLINE, async || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        })
        .await;
        Some(nginx)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}
