//! Uploads, moves and deletes.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use aod_e2e::{Runtimes, Server, ServerOptions};
use reqwest::Method;
use serde_json::{Value, json};

use crate::Lab;

fn mode(lab: &Lab, path: &str) -> u32 {
    let metadata = std::fs::symlink_metadata(lab.workspace.join(path)).unwrap();
    metadata.permissions().mode() & 0o7777
}

#[tokio::test]
async fn a_file_is_there_when_it_is_whole_and_belongs_to_the_sandbox() {
    let lab = Lab::new().await;
    let made = lab.put("deep/er/file.txt", "content").await;
    let etag = made.headers["etag"].clone();
    let made = made.expect(201);
    assert_eq!(
        (&made["path"], &made["size"]),
        (&json!("deep/er/file.txt"), &json!(7))
    );
    assert_eq!(made["etag"], etag.to_str().unwrap());
    assert_eq!(lab.bytes("deep/er/file.txt").await, b"content");
    assert_eq!(mode(&lab, "deep/er/file.txt"), 0o644);
    assert_eq!(mode(&lab, "deep/er"), 0o755);
    let own = std::fs::metadata(&lab.workspace).unwrap();
    for path in ["deep", "deep/er/file.txt"] {
        let file = std::fs::metadata(lab.workspace.join(path)).unwrap();
        assert_eq!((file.uid(), file.gid()), (own.uid(), own.gid()), "{path}");
    }
    // Whether it can be executed stays as it is unless the client says so.
    lab.put("run?executable=true", "#!/bin/sh")
        .await
        .expect(201);
    assert_eq!(mode(&lab, "run"), 0o755);
    let again = lab.put("run", "#!/bin/sh\necho").await.expect(200);
    assert_eq!(
        (mode(&lab, "run"), &again["executable"]),
        (0o755, &json!(true))
    );
    lab.put("run?executable=false", "#!/bin/sh")
        .await
        .expect(200);
    assert_eq!(mode(&lab, "run"), 0o644);
    // The sandbox's user can do with it what it likes.
    lab.session
        .prompt("$ cat deep/er/file.txt && echo more >> deep/er/file.txt && rm run && rm -r deep && echo gone")
        .await;
    let ended = lab.session.ended().await.completed();
    assert!(
        ended.last_stdout().contains("gone"),
        "{}",
        ended.last_stdout()
    );
    assert!(
        std::fs::read_dir(lab.server.data().join("uploads"))
            .unwrap()
            .next()
            .is_none()
    );
}

#[tokio::test]
async fn what_is_in_the_way_is_named() {
    let lab = Lab::new().await;
    lab.write("folder/file", "x");
    for path in ["folder", "folder/file/below"] {
        let refusal = lab.put(path, "x").await.refusal(409);
        assert!(refusal.contains(path), "{refusal}");
    }
    let encoded = lab
        .request(Method::PUT, "x")
        .header("content-encoding", "gzip");
    let refusal = lab
        .session
        .client
        .send(encoded.body("x"))
        .await
        .refusal(415);
    assert!(refusal.contains("Content-Encoding"), "{refusal}");
    // A part would take the place of the whole.
    lab.write("whole", "whole");
    let part = lab
        .request(Method::PUT, "whole")
        .header("content-range", "bytes 0-1/5");
    let refusal = lab.session.client.send(part.body("wh")).await.refusal(400);
    assert!(refusal.contains("Content-Range"), "{refusal}");
    let kept = std::fs::read_to_string(lab.workspace.join("whole")).unwrap();
    assert_eq!(kept, "whole");
    lab.session
        .client
        .put(&lab.at(""), &json!({}))
        .await
        .refused(415);
}

#[tokio::test]
async fn one_of_many_who_have_seen_the_same_wins() {
    let lab = Lab::new().await;
    let once = |body: String, name: &'static str, value: String| {
        let request = lab
            .request(Method::PUT, "file")
            .header(name, value)
            .body(body);
        let client = lab.session.client.clone();
        async move { client.send(request).await.status.as_u16() }
    };
    let made = (0..10).map(|n| once(format!("{n}"), "if-none-match", "*".to_owned()));
    let mut made = futures::future::join_all(made).await;
    made.sort_unstable();
    assert_eq!(
        (made[0], made[1..].iter().all(|it| *it == 412)),
        (201, true),
        "{made:?}"
    );
    let entry = lab.get("?path=file&stat=true").await.expect(200);
    let etag = entry["data"][0]["etag"].as_str().unwrap().to_owned();
    let written = (0..10).map(|n| once(format!("{n}!"), "if-match", etag.clone()));
    let mut written = futures::future::join_all(written).await;
    written.sort_unstable();
    assert_eq!(
        (written[0], written[1..].iter().all(|it| *it == 412)),
        (200, true),
        "{written:?}"
    );
    for name in ["if-match", "if-none-match"] {
        for value in ["nonsense", "", "\"", "\"a\", b", "W/x"] {
            let status = once(String::new(), name, value.to_owned()).await;
            assert_eq!(status, 400, "{name}: {value}");
        }
    }
    // Deletes and moves have the same conditions.
    let delete = lab
        .request(Method::DELETE, "file")
        .header("if-match", &etag);
    lab.session.client.send(delete).await.refused(412);
    let rename = lab.request(Method::POST, "file").header("if-match", &etag);
    let rename = rename.json(&json!({"to": "other"}));
    lab.session.client.send(rename).await.refused(412);
    assert!(lab.workspace.join("file").exists());
}

#[tokio::test]
async fn uploads_have_a_limit_of_their_own() {
    let options = ServerOptions::new(Runtimes::demo()).set("AOD_LIMITS__UPLOAD", "3MiB");
    let lab = Lab::of(Server::start(options).await).await;
    // More than a request's body may have elsewhere.
    lab.put("fits", vec![b'x'; 3 << 20]).await.expect(201);
    let refusal = lab
        .put("large", vec![b'x'; (3 << 20) + 1])
        .await
        .refusal(413);
    assert!(refusal.contains("limits.upload"), "{refusal}");
    assert!(!lab.workspace.join("large").exists());
    let chunked = reqwest::Body::wrap_stream(futures::stream::iter(
        (0..40).map(|_| Ok::<_, std::io::Error>(vec![0u8; 100 << 10])),
    ));
    lab.put("large", chunked).await.refused(413);
    assert!(!lab.workspace.join("large").exists());
    let waits = lab
        .request(Method::PUT, "large")
        .header("expect", "100-continue");
    let waits = waits.body(vec![b'x'; 4 << 20]);
    lab.session.client.send(waits).await.refused(413);
    assert!(
        std::fs::read_dir(lab.server.data().join("uploads"))
            .unwrap()
            .next()
            .is_none()
    );
}

#[tokio::test]
async fn a_full_disk_is_said_and_leaves_nothing() {
    let options = ServerOptions::new(Runtimes::demo());
    let Some(options) = options.on_a_disk_of("size=64m") else {
        eprintln!("not permitted to mount");
        return;
    };
    let lab = Lab::of(Server::start(options).await).await;
    let refusal = lab.put("large", vec![b'x'; 80 << 20]).await.refusal(507);
    assert!(refusal.contains("disk is full"), "{refusal}");
    assert!(!lab.workspace.join("large").exists());
    lab.put("small", "fits").await.expect(201);
}

#[tokio::test]
async fn things_are_moved_and_deleted_with_all_that_is_in_them() {
    let lab = Lab::new().await;
    for path in ["a/1", "a/b/2", "c", "d/3", "empty/x"] {
        lab.write(path, path);
    }
    std::fs::remove_file(lab.workspace.join("empty/x")).unwrap();
    lab.link("c", "link");
    let client = &lab.session.client;
    let rename = async |from: &str, body: Value| client.post(&lab.at(from), &body).await;
    let moved = rename("c", json!({"to": "new/place/c"})).await.expect(200);
    assert_eq!(moved["path"], "new/place/c");
    // The link itself is moved, wherever it leads.
    let moved = rename("link", json!({"to": "moved"})).await.expect(200);
    assert_eq!(
        (&moved["type"], &moved["target"]),
        (&json!("symlink"), &json!("c"))
    );
    rename("a", json!({"to": "a/b/c"})).await.refusal(409);
    rename("a", json!({"to": "d"})).await.refusal(409);
    rename("a", json!({"to": "d", "overwrite": true}))
        .await
        .refusal(409);
    rename("a", json!({"to": "empty", "overwrite": true}))
        .await
        .expect(200);
    assert_eq!(lab.bytes("empty/b/2").await, b"a/b/2");
    rename("d/3", json!({"to": "empty/1"})).await.refusal(409);
    rename("d/3", json!({"to": "empty/1", "overwrite": true}))
        .await
        .expect(200);
    assert_eq!(lab.bytes("empty/1").await, b"d/3");
    rename("none", json!({"to": "x"})).await.refusal(404);
    for to in ["../x", "/x", ".", "a/../../x"] {
        let refusal = rename("empty/1", json!({"to": to})).await.refusal(400);
        assert!(refusal.starts_with("to:"), "{refusal}");
    }
    rename("empty/1", json!({"to": "x", "overwrit": true}))
        .await
        .expect(422);
    rename("empty/1", json!({})).await.expect(422);

    client.delete(&lab.at("empty")).await.expect(200);
    client.delete(&lab.at("moved")).await.expect(200);
    client.delete(&lab.at("empty")).await.refused(404);
    client.delete(&lab.at("")).await.refused(405);
    assert_eq!(lab.bytes("new/place/c").await, b"c");
}
