//! `/metrics`, held against Prometheus's own checker, and scraped by Prometheus itself.

use std::path::PathBuf;
use std::process::Stdio;

use aod_e2e::{DEADLINE, Server, eventually, free_port, repository, run, target};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Prometheus or its checker: the machine's, else the distribution's, unpacked into the target
/// folder. Its package is not installed: that would start a server.
async fn program(name: &str) -> PathBuf {
    let asked = Command::new(name).arg("--version").output().await;
    if asked.is_ok_and(|asked| asked.status.success()) {
        return name.into();
    }
    let folder = target().join("promtool");
    let program = folder.join("usr/bin").join(name);
    if !program.is_file() {
        let draft = tempfile::tempdir_in(target()).unwrap();
        let script = "apt-get download prometheus && dpkg-deb -x prometheus_*.deb unpacked";
        let mut download = Command::new("sh");
        download.args(["-c", script]).current_dir(draft.path());
        run("apt-get download prometheus", download).await;
        // Somebody else may have been first.
        let _ = std::fs::rename(draft.path().join("unpacked"), &folder);
    }
    assert!(program.is_file(), "{} is missing", program.display());
    program
}

#[tokio::test]
async fn promtool_finds_nothing_wrong_with_the_metrics() {
    let promtool = program("promtool").await;
    let server = Server::demo().await;
    let session = server.client().demo_session("hello").await;
    session.ended().await.completed();
    let metrics = server.client().get("/metrics").await;
    assert_eq!(metrics.status, 200);
    let check = async |text: &str| {
        let mut command = Command::new(&promtool);
        command.args(["check", "metrics"]).stdin(Stdio::piped());
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(text.as_bytes()).await.unwrap();
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), said)
    };
    let (is_good, said) = check(&metrics.text).await;
    assert!(is_good && said.is_empty(), "{said}\n{}", metrics.text);
    assert!(
        metrics
            .text
            .contains("aod_sessions{status=\"completed\"} 1")
    );
    // It would have said so.
    let (is_good, said) = check("# TYPE a_total gauge\na_total 1\n").await;
    assert!(!is_good && !said.is_empty());
}

/// What Prometheus answers to a query, if it answers by now.
async fn query(port: u16, text: &str) -> Option<Value> {
    let base = format!("http://127.0.0.1:{port}/api/v1/query");
    let url = reqwest::Url::parse_with_params(&base, [("query", text)]).unwrap();
    let reply = reqwest::get(url).await.ok()?;
    let body: Value = serde_json::from_str(&reply.text().await.ok()?).ok()?;
    assert_eq!(body["status"], "success", "{text}: {body}");
    Some(body["data"]["result"].clone())
}

#[tokio::test]
async fn prometheus_scrapes_them_and_the_dashboard_finds_what_it_asks_for() {
    let prometheus = program("prometheus").await;
    let server = Server::demo().await;
    let session = server.client().demo_session("hello").await;
    session.ended().await.completed();
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, server.token()).unwrap();
    let address = server.client().base().trim_start_matches("http://");
    let config = folder.path().join("prometheus.yml");
    let text = format!(
        "scrape_configs:\n- job_name: aod\n  scrape_interval: 1s\n  scrape_timeout: 1s\n  \
         authorization: {{credentials_file: {token:?}}}\n  \
         static_configs: [{{targets: ['{address}']}}]\n"
    );
    std::fs::write(&config, text).unwrap();
    let port = free_port();
    let mut command = Command::new(prometheus);
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            folder.path().join("data").display()
        ))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let _process = command.spawn().unwrap();
    let is_there = async |text: &str| {
        eventually(&format!("an answer to {text}"), DEADLINE, async || {
            let found = query(port, text).await?;
            (found[0]["value"][1].as_str() > Some("0")).then_some(())
        })
        .await;
    };
    is_there("up{job='aod'}").await;
    is_there("aod_turns_total{runtime='demo', outcome='completed'}").await;
    is_there("aod_turn_duration_seconds_count").await;
    is_there("aod_turn_start_seconds_count").await;
    is_there("aod_turn_first_event_seconds_count").await;
    is_there("aod_provisioning_duration_seconds_count{stage='create_sandbox', result='done'}")
        .await;
    is_there("aod_http_requests_total{route='/sessions/{id}', method='GET', status='200'}").await;
    is_there("aod_http_request_duration_seconds_bucket{route='/sessions', method='POST'}").await;
    let dashboard = std::fs::read_to_string(repository().join("docs/grafana.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let mut asked = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let text = target["expr"].as_str().unwrap();
            // Prometheus says what is wrong with it, if anything is.
            query(port, &text.replace("$__rate_interval", "1m"))
                .await
                .unwrap();
            asked += 1;
        }
    }
    assert!(asked > 20);
}

#[tokio::test]
async fn what_nobody_serves_is_counted_as_one_route() {
    let server = Server::demo().await;
    for path in ["/a", "/b/c", "/sessions/x/y/z"] {
        server.client().get(path).await.refused(404);
    }
    let text = server.client().get("/metrics").await.text;
    let line = "aod_http_requests_total{method=\"GET\",route=\"other\",status=\"404\"} 3";
    assert!(text.contains(line), "{text}");
    assert!(!text.contains("/b/c"), "{text}");
}
