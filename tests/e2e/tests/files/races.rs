//! What an agent does at the same moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Method;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::json;

use crate::Lab;

const SECRET: &str = "the-secret-outside";

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_becomes_a_link_while_it_is_used_leads_nowhere() {
    let lab = Lab::new().await;
    let outside = lab.server.data().parent().unwrap().join("outside");
    std::fs::create_dir_all(outside.join("deep")).unwrap();
    for path in ["secret", "deep/secret"] {
        std::fs::write(outside.join(path), SECRET).unwrap();
    }
    for path in ["swap/secret", "swap/deep/secret"] {
        lab.write(path, "inside");
    }
    // Through one that leads up, since an absolute one is never followed.
    lab.link("../../../../outside", "link");
    let stop = Arc::new(AtomicBool::new(false));
    let swapper = {
        let (stop, workspace) = (stop.clone(), lab.workspace.clone());
        std::thread::spawn(move || {
            let (one, other) = (workspace.join("swap"), workspace.join("link"));
            let mut swaps = 0u32;
            while !stop.load(Ordering::Relaxed) {
                renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).unwrap();
                swaps += 1;
            }
            swaps
        })
    };
    let client = &lab.session.client;
    let mut statuses = std::collections::BTreeMap::new();
    for round in 0..150 {
        let body = json!({"to": "swap/deep/moved", "overwrite": true});
        let requests = [
            lab.request(Method::GET, "swap/secret"),
            lab.request(Method::GET, "swap/deep/secret"),
            lab.request(Method::GET, "swap?format=tar"),
            lab.request(Method::GET, "?path=swap/deep&recursive=true"),
            lab.request(Method::GET, "?recursive=true&glob=**/*"),
            lab.request(Method::PUT, "swap/deep/new").body("new"),
            lab.request(Method::PUT, "swap/secret").body("inside"),
            lab.request(Method::POST, "swap/deep/new").json(&body),
            lab.request(Method::DELETE, "swap/deep/moved"),
        ];
        for (index, request) in requests.into_iter().enumerate() {
            let reply = client.send(request).await;
            let status = reply.status.as_u16();
            assert!(!reply.text.contains(SECRET), "{round} {}", reply.request);
            assert!(
                [200, 201, 404, 409].contains(&status),
                "{}: {}",
                reply.request,
                reply.text
            );
            *statuses.entry((index, status)).or_insert(0) += 1;
        }
    }
    stop.store(true, Ordering::Relaxed);
    let swaps = swapper.join().unwrap();
    eprintln!("{swaps} swaps, {statuses:?}");
    assert!(swaps > 1000, "{swaps}");
    // Both of them were met.
    for index in [0, 5] {
        let met = |status| statuses.contains_key(&(index, status));
        assert!(met(409) && (met(200) || met(201)), "{index}: {statuses:?}");
    }
    let mut left: Vec<_> = std::fs::read_dir(outside.join("deep")).unwrap().collect();
    assert_eq!(left.pop().unwrap().unwrap().file_name(), "secret");
    assert!(left.is_empty());
    for path in ["secret", "deep/secret"] {
        assert_eq!(std::fs::read_to_string(outside.join(path)).unwrap(), SECRET);
    }
}

#[tokio::test]
async fn a_file_that_shrinks_breaks_its_download_off() {
    let lab = Lab::new().await;
    let path = lab.workspace.join("shrinks");
    std::fs::write(&path, vec![b'x'; 64 << 20]).unwrap();
    let mut reply = lab.request(Method::GET, "shrinks").send().await.unwrap();
    assert_eq!(reply.content_length(), Some(64 << 20));
    reply.chunk().await.unwrap().unwrap();
    std::fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(1)
        .unwrap();
    let ended = loop {
        match reply.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    assert!(ended.is_err(), "what is not whole seems to be");
    // In an archive, it is filled up: its size is told already.
    std::fs::write(&path, vec![b'x'; 64 << 20]).unwrap();
    let mut reply = lab
        .request(Method::GET, "?format=tar")
        .send()
        .await
        .unwrap();
    let mut archive = reply.chunk().await.unwrap().unwrap().to_vec();
    std::fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(1)
        .unwrap();
    while let Some(piece) = reply.chunk().await.unwrap() {
        archive.extend_from_slice(&piece);
    }
    let mut archive = tar::Archive::new(&archive[..]);
    let mut entries = archive.entries().unwrap().map(Result::unwrap);
    let entry = entries
        .find(|it| it.path().unwrap().ends_with("shrinks"))
        .unwrap();
    assert_eq!(entry.size(), 64 << 20);
}
