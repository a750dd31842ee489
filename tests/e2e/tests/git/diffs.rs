//! What a session has changed in its repositories.

use aod_e2e::{Gate, GitServer};
use serde_json::json;

use crate::{diffs, server, start};

#[tokio::test]
async fn commits_changes_and_new_files_are_in_a_diff() {
    let git = GitServer::https();
    let repository = git.repository("r.git");
    let base = repository.commit(&[
        ("committed", "one\n"),
        ("changed", "one\n"),
        ("staged", "one\n"),
        ("removed", "one\n"),
        (".gitignore", "ignored\n"),
    ]);
    let server = server(&git).await;
    let client = server.client();
    let url = git.url("r.git");
    let resources = json!([
        {"type": "git_repository", "url": url},
        {"type": "git_repository", "url": url, "mount_path": "same"},
        {"type": "git_repository", "url": url, "mount_path": "shallow", "depth": 1},
    ]);
    let gate = Gate::new("gate");
    let prompt = format!(
        "$ cd r && echo two >>committed && git commit --quiet -am x && echo three >>changed && \
         echo four >>staged && git add staged && rm removed && echo new >größe && echo no >ignored\n\
         $ echo five >>shallow/changed\n{}",
        gate.step()
    );
    let session = start(client, resources, &prompt).await;
    // While the turn runs, it is what there is by now.
    gate.reached(&server, &session).await;
    let while_running = diffs(&session).await;
    gate.open(&server, &session);
    session.ended().await.completed();
    let all = diffs(&session).await;
    assert_eq!(all, while_running);
    let diff = all[0]["diff"].as_str().unwrap();
    for part in [
        "diff --git a/committed b/committed",
        "+two",
        "+three",
        "+four",
        "deleted file mode",
        "+++ b/größe",
        "+new",
    ] {
        assert!(diff.contains(part), "{part}: {diff}");
    }
    assert!(!diff.contains("ignored"), "{diff}");
    assert_eq!(all[0]["base"], base);
    assert_ne!(all[0]["head"], base);
    assert_eq!(all[0]["truncated"], false);
    assert_eq!(
        (&all[1]["diff"], &all[1]["head"]),
        (&json!(""), &json!(base))
    );
    assert!(all[2]["diff"].as_str().unwrap().contains("+five"));
    let of = |query: &str| format!("/sessions/{}/diff?repository={query}", session.id);
    for query in ["shallow", "/workspace/shallow/", "shallow/"] {
        let one = client.get(&of(query)).await.expect(200);
        assert_eq!(one["data"][0], all[2]);
        assert_eq!(one["data"].as_array().unwrap().len(), 1);
    }
    let refusal = client.get(&of("none")).await.refusal(404);
    assert!(refusal.contains("\"none\""), "{refusal}");
    // Nobody else's.
    let other = client.demo_session("hello").await;
    assert_eq!(diffs(&other).await, Vec::<serde_json::Value>::new());
}

#[tokio::test]
async fn a_diff_that_is_too_long_is_cut() {
    let git = GitServer::https();
    git.repository("r.git").commit(&[("file", "one\n")]);
    let server = server(&git).await;
    let resources = json!([{"type": "git_repository", "url": git.url("r.git")}]);
    let prompt = "$ seq 1 3000000 >r/long";
    let session = start(server.client(), resources, prompt).await;
    session.ended().await.completed();
    let all = diffs(&session).await;
    assert_eq!(all[0]["truncated"], true);
    assert_eq!(all[0]["error"], json!(null));
    assert_eq!(all[0]["diff"].as_str().unwrap().len(), 8 << 20);
}
