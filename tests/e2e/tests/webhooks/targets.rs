//! Where messages may go, and what receivers may do.

use std::process::Command;

use aod_e2e::{Receiver, ReceiverOptions, Runtimes, Server, ServerOptions};
use serde_json::json;

use crate::{SECRET, in_state, options, webhook};

#[tokio::test]
async fn private_addresses_are_refused_when_they_are_given_and_when_names_lead_there() {
    let server = Server::demo().await;
    let client = server.client();
    let inside = Receiver::start(ReceiverOptions::default()).await;
    let port = inside.port;
    for host in [
        "127.0.0.1",
        "127.1",
        "0x7f000001",
        "2130706433",
        "0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "10.0.0.1",
        "169.254.169.254",
        "192.168.0.1",
    ] {
        let body = json!({"url": format!("http://{host}:{port}/")});
        let refusal = client.post("/webhooks", &body).await.refusal(422);
        assert!(refusal.contains("url"), "{host}: {refusal}");
        assert!(refusal.contains("not public"), "{host}: {refusal}");
    }
    let agent = client.demo_agent().await;
    let url = format!("http://127.0.0.1:{port}/");
    let body = json!({"agent_id": agent, "prompt": "x", "webhook": {"url": url}});
    let refusal = client.post("/sessions", &body).await.refusal(422);
    assert!(refusal.contains("webhook.url"), "{refusal}");

    // A name says where it leads when it is resolved.
    let hook = webhook(&server, &format!("http://localhost:{port}/")).await;
    let path = format!("/webhooks/{hook}/test");
    client.post_empty(&path).await.expect(202);
    let delivery = aod_e2e::eventually("it was tried", aod_e2e::DEADLINE, async || {
        let all = crate::deliveries(&server, &hook).await;
        let first = all.into_iter().next()?;
        first["last_error"].is_string().then_some(first)
    })
    .await;
    let why = delivery["last_error"].as_str().unwrap();
    assert!(why.contains("not public"), "{why}");
    assert!(!why.contains("127.0.0.1"), "{why}");
    assert!(inside.requests().is_empty());
}

#[tokio::test]
async fn redirects_are_not_followed_and_long_replies_are_not_read() {
    let server = Server::start(options()).await;
    let receiver = Receiver::start(ReceiverOptions {
        secrets: vec![SECRET.to_owned()],
        answers: "302,307,200".to_owned(),
        more: vec!["--body".to_owned(), "3000000".to_owned()],
        ..ReceiverOptions::default()
    })
    .await;
    let hook = webhook(&server, &receiver.url()).await;
    let path = format!("/webhooks/{hook}/test");
    let queued = server.client().post_empty(&path).await.expect(202);
    assert_eq!(queued["event"], "webhook.test");
    let taken = in_state(&server, &hook, "delivered", 1).await.remove(0);
    assert_eq!(taken["attempts"], 3);
    let paths: Vec<_> = receiver
        .requests()
        .iter()
        .map(|request| request["path"].clone())
        .collect();
    assert_eq!(paths, ["/hook?x=y", "/hook?x=y", "/hook?x=y"]);
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_told_nothing_more() {
    let server = Server::start(options()).await;
    let receiver = Receiver::start(ReceiverOptions {
        answers: "410,200".to_owned(),
        ..ReceiverOptions::default()
    })
    .await;
    let hook = webhook(&server, &receiver.url()).await;
    let client = server.client();
    let path = format!("/webhooks/{hook}");
    client.post_empty(&format!("{path}/test")).await.expect(202);
    let failed = in_state(&server, &hook, "failed", 1).await.remove(0);
    assert_eq!(failed["last_status"], 410);
    let read = aod_e2e::eventually("it is disabled", aod_e2e::DEADLINE, async || {
        let read = client.get(&path).await.expect(200);
        (read["enabled"] == false).then_some(read)
    })
    .await;
    assert!(read["disabled_reason"].as_str().unwrap().contains("410"));
    let refusal = client
        .post_empty(&format!("{path}/test"))
        .await
        .refusal(409);
    assert!(refusal.contains("disabled"), "{refusal}");
    client.demo_session("hello").await.ended().await.completed();

    let on = client.patch(&path, &json!({"enabled": true})).await;
    assert_eq!(on.expect(200)["disabled_reason"], json!(null));
    client.post_empty(&format!("{path}/test")).await.expect(202);
    in_state(&server, &hook, "delivered", 1).await;
    assert_eq!(receiver.requests().len(), 2);
}

#[tokio::test]
async fn tls_is_verified_against_the_operators_authority_and_hosts_are_the_operators() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let make = |name: &str, subject: &str, more: &[&str]| {
        let made = Command::new("openssl")
            .args([
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            ])
            .args(["-subj", subject, "-keyout", &path(&format!("{name}.key"))])
            .args(["-out", &path(&format!("{name}.pem"))])
            .args(more)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
    };
    make("authority", "/CN=Tests", &[]);
    let (authority, its_key) = (path("authority.pem"), path("authority.key"));
    let signed = ["-CA", &authority, "-CAkey", &its_key];
    let names = ["-addext", "subjectAltName=DNS:hooks.test"];
    let leaf = ["-addext", "basicConstraints=critical,CA:FALSE"];
    make(
        "leaf",
        "/CN=hooks.test",
        &[&signed[..], &names, &leaf].concat(),
    );
    let both = [path("leaf.key"), path("leaf.pem")].map(|it| std::fs::read(it).unwrap());
    std::fs::write(path("both.pem"), both.concat()).unwrap();
    let receiver = Receiver::start(ReceiverOptions {
        secrets: vec![SECRET.to_owned()],
        more: vec!["--certificate".to_owned(), path("both.pem")],
        ..ReceiverOptions::default()
    })
    .await;
    // The mapped names are reached although they are private; what they stand for otherwise is not.
    let hosts =
        ["hooks.test", "other.test"].map(|name| format!("{name}=127.0.0.1:{}", receiver.port));
    let options = ServerOptions::new(Runtimes::demo())
        .set("AOD_EGRESS__HOSTS", hosts.join(","))
        .set("AOD_EGRESS__CA_FILE", path("authority.pem"))
        .set("AOD_WEBHOOKS__FIRST_RETRY", "200ms")
        .set("AOD_WEBHOOKS__GIVE_UP", "1s");
    let server = Server::start(options).await;
    let good = webhook(&server, "https://hooks.test/x").await;
    let bad = webhook(&server, "https://other.test/x").await;
    for hook in [&good, &bad] {
        let path = format!("/webhooks/{hook}/test");
        server.client().post_empty(&path).await.expect(202);
    }
    in_state(&server, &good, "delivered", 1).await;
    let failed = in_state(&server, &bad, "failed", 1).await.remove(0);
    let why = failed["last_error"].as_str().unwrap();
    assert!(why.contains("secure connection"), "{why}");
    let requests = receiver.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0]["headers"]["host"], "hooks.test");
    assert_eq!(requests[0]["verified"], json!([true]));
}
