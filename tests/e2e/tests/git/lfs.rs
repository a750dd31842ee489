//! Files in Git LFS.

use aod_e2e::{GitServer, lfs_pointer};
use serde_json::json;

use crate::{diffs, printed, server, start};

const ATTRIBUTES: (&str, &str) = (
    ".gitattributes",
    "*.bin filter=lfs diff=lfs merge=lfs -text\n",
);

#[tokio::test]
async fn what_a_commit_has_in_lfs_is_fetched_with_its_token() {
    let git = GitServer::https();
    let repository = git.repository("private/big.git");
    let (old, new) = (b"the old content\n", b"the new content\n");
    let pointers = [old, new].map(|content| git.store_lfs("private/big.git", content));
    let before = repository.commit(&[ATTRIBUTES, ("a.bin", &pointers[0])]);
    repository.commit(&[
        ("a.bin", &pointers[1]),
        // Whatever the repository says, its own server is asked, with its token.
        (".lfsconfig", "[lfs]\n\turl = https://elsewhere.test/lfs\n"),
    ]);
    let server = server(&git).await;
    let client = server.client();
    let of = |checkout: &str, path: &str| {
        json!({"type": "git_repository", "url": git.url("private/big.git"), "checkout": checkout,
               "mount_path": path, "authorization_token": git.token()})
    };
    let prompt = "$ cat new/a.bin old/a.bin; git -C new status --porcelain; echo \"<changed>\"";
    let session = start(
        client,
        json!([of("main", "new"), of(&before, "old")]),
        prompt,
    )
    .await;
    let ended = session.ended().await.completed();
    let expected = r"the new content\nthe old content\n<changed>";
    assert!(ended.stdout().contains(expected), "{}", ended.stdout());
    for diff in diffs(&session).await {
        assert_eq!(diff["diff"], "", "{diff}");
    }
    let downloads = git.requests();
    let downloads = downloads
        .iter()
        .filter(|line| line.starts_with("GET") && line.contains("/info/lfs/objects/"));
    assert_eq!(downloads.count(), 2);

    // What is changed is a change of the pointer, as git has it.
    session
        .prompt("$ echo more >>new/a.bin; git -C new diff --stat")
        .await;
    session.ended().await.completed();
    let changed = &diffs(&session).await[0]["diff"];
    assert!(
        changed.as_str().unwrap().contains("+oid sha256:"),
        "{changed}"
    );
}

#[tokio::test]
async fn what_is_not_to_be_had_stays_a_pointer_and_is_noted() {
    let git = GitServer::https();
    let repository = git.repository("o/r.git");
    let there = git.store_lfs("o/r.git", b"there\n");
    let gone = lfs_pointer(b"gone\n");
    repository.commit(&[ATTRIBUTES, ("there.bin", &there), ("gone.bin", &gone)]);
    let server = server(&git).await;
    let url = git.url("o/r.git");
    let resources = json!([{"type": "git_repository", "url": url}]);
    let session = start(server.client(), resources, "$ head -n 1 r/*.bin").await;
    let ended = session.ended().await.completed();
    let stdout = ended.stdout();
    assert!(stdout.contains("version https://git-lfs"), "{stdout}");
    let text = printed(&session).await;
    assert!(
        text.contains("could not be fetched: they are pointers"),
        "{text}"
    );
}
