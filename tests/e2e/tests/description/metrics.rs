//! `/metrics`, held against Prometheus's own checker.

use std::path::PathBuf;
use std::process::Stdio;

use aod_e2e::{Server, run, target};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// The checker: the machine's, else the distribution's, unpacked into the target folder. Its package
/// is not installed: that would start a server.
async fn promtool() -> PathBuf {
    let asked = Command::new("promtool").arg("--version").output().await;
    if asked.is_ok_and(|asked| asked.status.success()) {
        return "promtool".into();
    }
    let folder = target().join("promtool");
    let program = folder.join("usr/bin/promtool");
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
    let promtool = promtool().await;
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
