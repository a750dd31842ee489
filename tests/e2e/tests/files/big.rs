//! Trees and files that are larger than anybody needs.

use std::time::{Duration, Instant};

use aod_e2e::{DEADLINE, Runtimes, Server, ServerOptions, eventually};
use reqwest::Method;

use crate::Lab;

/// In memory where that is permitted: a disk takes minutes for such trees.
async fn lab() -> Lab {
    let options = ServerOptions::new(Runtimes::demo());
    let in_memory = options.clone().on_a_disk_of("size=2g,nr_inodes=1m");
    Lab::of(Server::start(in_memory.unwrap_or(options)).await).await
}

/// The memory that the server holds, in MiB.
fn memory(lab: &Lab) -> u64 {
    let path = format!("/proc/{}/status", lab.server.process().pid);
    let status = std::fs::read_to_string(path).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024
}

/// Reads a reply to its end without keeping it.
async fn read_all(lab: &Lab, path: &str) -> u64 {
    let mut reply = lab.request(Method::GET, path).send().await.unwrap();
    assert_eq!(reply.status(), 200, "{path}");
    let mut length = 0;
    while let Some(piece) = reply.chunk().await.unwrap() {
        length += piece.len() as u64;
    }
    length
}

#[tokio::test]
async fn a_tree_of_25000_levels_is_listed_sent_and_deleted() {
    let lab = lab().await;
    let before = memory(&lab);
    lab.session
        .prompt("$ perl -e 'for (1..25000) { mkdir \"deep\" or die; chdir \"deep\" or die } open F, \">bottom\"'")
        .await;
    lab.session.ended().await.completed();
    // As far down as a path can name.
    let listed = lab.paths("?recursive=true&glob=**/deep").await;
    assert_eq!(listed.len(), 819);
    assert!(listed.iter().all(|path| path.len() <= 4095));
    assert_eq!(lab.paths("?glob=**/bottom").await, [""; 0]);
    let deep = listed.last().unwrap();
    assert_eq!(lab.paths(&format!("?path={deep}")).await, [""; 0]);
    for format in ["tar", "tar.zst"] {
        assert!(read_all(&lab, &format!("?format={format}")).await > 100);
    }
    let begun = Instant::now();
    lab.session.client.delete(&lab.at("deep")).await.expect(200);
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    assert!(!lab.paths("").await.contains(&"deep".to_owned()));
    let trash = lab.server.data().join("trash");
    eventually("the trash is empty", DEADLINE, async || {
        std::fs::read_dir(&trash)
            .unwrap()
            .next()
            .is_none()
            .then_some(())
    })
    .await;
    let grown = memory(&lab).saturating_sub(before);
    assert!(grown < 128, "{grown} MiB");
}

#[tokio::test]
async fn a_folder_of_200000_files_is_paged_and_sent() {
    let lab = lab().await;
    let folder = lab.workspace.join("many");
    std::fs::create_dir(&folder).unwrap();
    for n in 0..200_000 {
        std::fs::File::create(folder.join(format!("{n:06}"))).unwrap();
    }
    let before = memory(&lab);
    let begun = Instant::now();
    let first = lab.paths("?path=many&limit=1000").await;
    assert_eq!((first.len(), &*first[999]), (1000, "many/000999"));
    let last = lab.paths("?path=many&limit=1000&after=many/199989").await;
    assert_eq!(last.len(), 10);
    assert_eq!(lab.paths("?glob=**/1234?5").await.len(), 10);
    eprintln!("three lists: {:?}", begun.elapsed());
    let begun = Instant::now();
    assert!(read_all(&lab, "many").await > 200_000 * 512);
    eprintln!("an archive: {:?}", begun.elapsed());
    let grown = memory(&lab).saturating_sub(before);
    assert!(grown < 128, "{grown} MiB");
}

#[tokio::test]
async fn a_file_of_a_tebibyte_is_read_in_parts() {
    let lab = lab().await;
    let file = std::fs::File::create(lab.workspace.join("sparse")).unwrap();
    if file.set_len(1 << 40).is_err() {
        eprintln!("this disk takes no such file");
        return;
    }
    let before = memory(&lab);
    let entry = lab.get("?path=sparse&stat=true").await.expect(200);
    assert_eq!(entry["data"][0]["size"], 1u64 << 40);
    let part = lab
        .request(Method::GET, "sparse")
        .header("range", "bytes=-5");
    let part = part.send().await.unwrap();
    let end = (1u64 << 40) - 1;
    let range = format!("bytes {}-{end}/{}", end - 4, 1u64 << 40);
    assert_eq!(part.headers()["content-range"], range.as_str());
    assert_eq!(part.bytes().await.unwrap(), [0; 5].as_slice());
    // Clients that go away, and one that takes nothing, cost no more than what they have taken.
    let mut slow = Vec::new();
    for path in ["sparse", "?format=tar"] {
        for _ in 0..4 {
            let mut reply = lab.request(Method::GET, path).send().await.unwrap();
            reply.chunk().await.unwrap();
            slow.push(reply);
        }
    }
    let grown = memory(&lab).saturating_sub(before);
    assert!(grown < 128, "{grown} MiB");
    // One user has so many archives made at once, and not more.
    for format in ["tar.zst", "tar.zst"].into_iter().chain(["tar"; 10]) {
        let path = format!("?format={format}");
        slow.push(lab.request(Method::GET, &path).send().await.unwrap());
    }
    assert_eq!(
        lab.request(Method::GET, "?format=tar")
            .send()
            .await
            .unwrap()
            .status(),
        429
    );
    drop(slow);
    eventually("there is room again", DEADLINE, async || {
        let reply = lab
            .request(Method::GET, "?format=tar")
            .send()
            .await
            .unwrap();
        (reply.status() == 200).then_some(())
    })
    .await;
}
