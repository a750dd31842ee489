//! `aod webhook`.

use aod_e2e::{Receiver, ReceiverOptions, Server};

use crate::options;

#[tokio::test]
async fn a_webhook_is_added_tested_listed_and_removed() {
    let server = Server::start(options()).await;
    let receiver = Receiver::start(ReceiverOptions {
        answers: "200,500".to_owned(),
        ..ReceiverOptions::default()
    })
    .await;
    let run = async |arguments: &[&str]| {
        let mut command = tokio::process::Command::from(server.command(arguments));
        let output = command.output().await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (
            output.status.success(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let url = receiver.url();
    let (added, secret, said) = run(&["webhook", "add", &url, "--event", "turn.failed"]).await;
    assert!(added, "{said}");
    assert!(secret.starts_with("whsec_"), "{secret}");
    let id = said.trim().strip_prefix("added ").unwrap();
    let (_, listed, _) = run(&["webhook", "ls"]).await;
    assert_eq!(listed, format!("{id}  {url}  enabled  turn.failed\n"));
    let (tested, _, said) = run(&["webhook", "test", id]).await;
    assert!(tested && said.contains("200"), "{said}");
    let (tested, _, said) = run(&["webhook", "test", id]).await;
    assert!(!tested && said.contains("500"), "{said}");
    let (removed, _, _) = run(&["webhook", "rm", id]).await;
    assert!(removed);
    let (_, listed, _) = run(&["webhook", "ls"]).await;
    assert_eq!(listed, "");
    let (added, _, said) = run(&["webhook", "add", "ftp://x/"]).await;
    assert!(!added && said.contains("url"), "{said}");
}
