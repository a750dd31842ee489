//! What clients see whose body is too large: the reply that says so, and no connection that broke.

use aod_e2e::{Runtimes, Server, ServerOptions, run};
use serde_json::Value;
use tokio::process::Command;

use crate::{files, python};

/// Sizes in MiB: a little more than the server takes; more than it reads before it answers; and more
/// than it throws away of an upload, and than fits what is underway in a connection.
const SIZES: [u32; 3] = [3, 20, 90];

/// What a program has printed of its clients, line by line.
async fn told(what: &str, command: Command) -> Vec<Value> {
    let said = run(what, command).await;
    let lines = said.lines().filter(|line| line.starts_with('{'));
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn every_client_reads_that_its_body_is_too_large() {
    let python = python().await;
    let options = ServerOptions::new(Runtimes::demo()).set("AOD_LIMITS__UPLOAD", "2MiB");
    let server = Server::start(options).await;
    let session = server.client().demo_session("hello").await;
    session.ended().await.completed();
    let folder = tempfile::tempdir().unwrap();
    let body = folder.path().join("body");
    let base = server.client().base();
    let authorization = format!("authorization: Bearer {}", server.token());
    for (method, url) in [
        ("POST", format!("{base}/agents")),
        ("POST", format!("{base}/sessions/{}/prompt", session.id)),
        ("PUT", format!("{base}/sessions/{}/files/large", session.id)),
    ] {
        for size in SIZES {
            let mut all = Vec::new();
            for (program, script) in [
                (python.as_path(), "large_body.py"),
                ("node".as_ref(), "large_body.mjs"),
            ] {
                let mut command = Command::new(program);
                command
                    .arg(files().join(script))
                    .args([method, &url, &size.to_string()])
                    .env("AOD_API_TOKEN", server.token());
                all.extend(told(script, command).await);
            }
            std::fs::write(&body, vec![b' '; (size as usize) << 20]).unwrap();
            // It waits for leave where it is not told otherwise.
            for more in ["expect: 100-continue", "expect:"] {
                let mut curl = Command::new("curl");
                curl.args(["--silent", "--show-error", "--noproxy", "*"])
                    .args(["--request", method, "--header", &authorization])
                    .args(["--header", more, "--header", "content-type:"])
                    .arg("--data-binary")
                    .arg(format!("@{}", body.display()))
                    .args([
                        "--write-out",
                        "\n{\"client\": \"curl\", \"status\": %{http_code}}\n",
                    ])
                    .arg(&url);
                let mut said = told("curl", curl).await;
                let detail = said.remove(0)["detail"].clone();
                said[0]["detail"] = detail;
                all.extend(said);
            }
            assert_eq!(all.len(), 8, "{all:#?}");
            for reply in all {
                let about = format!("{method} {url}, {size} MiB: {reply}");
                assert_eq!(reply["status"], 413, "{about}");
                let detail = reply["detail"].as_str().unwrap_or_default();
                assert!(detail.contains("larger than the server takes"), "{about}");
            }
        }
    }
}
