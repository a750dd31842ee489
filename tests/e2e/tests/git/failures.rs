//! What is told of a repository that cannot be cloned.

use aod_e2e::GitServer;
use serde_json::{Value, json};

use crate::{server, start};

#[tokio::test]
async fn a_failure_says_which_it_is_and_of_what() {
    let git = GitServer::https();
    git.repository("r.git").commit(&[("file", "one")]);
    let server = server(&git).await;
    let client = server.client();
    let good = json!({"type": "git_repository", "url": git.url("r.git"), "mount_path": "good"});
    let bad = |path: &str, more: Value| {
        let mut resource = json!({"type": "git_repository", "url": git.url(path)});
        for (name, value) in more.as_object().unwrap() {
            resource[name] = value.clone();
        }
        resource
    };
    let nowhere = json!({"type": "git_repository", "url": "https://127.0.0.1:1/o/r"});
    // Together: what looks like a failure of the network is tried again for a while.
    let mut started = Vec::new();
    for (resource, parts) in [
        (
            bad("none.git", json!({})),
            vec!["not found", "resources[1].url", "none.git"],
        ),
        (
            bad("private/none.git", json!({})),
            vec!["authentication failed", "resources[1].authorization_token"],
        ),
        (
            bad("r.git", json!({"checkout": "v9"})),
            vec!["checkout failed", "resources[1].checkout", "\"v9\""],
        ),
        (
            bad("r.git", json!({"checkout": "v9", "depth": 1})),
            vec!["checkout failed", "\"v9\""],
        ),
        (
            bad("r.git", json!({"checkout": "refs/pull/9/head"})),
            vec!["checkout failed", "refs/pull/9/head"],
        ),
        (
            bad(
                "r.git",
                json!({"checkout": "0123456789012345678901234567890123456789"}),
            ),
            vec!["checkout failed", "0123456789"],
        ),
        (
            bad("broken/r.git", json!({})),
            vec!["network failure", "resources[1].url"],
        ),
        (nowhere, vec!["network failure", "https://127.0.0.1:1/o/r"]),
    ] {
        let session = start(client, json!([good, resource]), "hello").await;
        started.push((session, parts));
    }
    for (session, parts) in started {
        let ended = session.ended().await;
        let error = ended.failed();
        for part in parts {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert!(error.contains("provision_setup failed"), "{error}");
        assert_eq!(ended.session["resumable"], false);
    }
    // A server whose authority nobody has named is not trusted.
    let other = GitServer::https();
    other.repository("r.git").commit(&[("file", "one")]);
    let resources = json!([{"type": "git_repository", "url": other.url("r.git")}]);
    let error = start(client, resources, "hello")
        .await
        .ended()
        .await
        .failed();
    assert!(
        error.contains("network failure") && error.contains("certificate"),
        "{error}"
    );
    // One that has moved is followed.
    let moved = json!([{"type": "git_repository", "url": git.url("moved/r.git")}]);
    start(client, moved, "hello")
        .await
        .ended()
        .await
        .completed();
}

#[tokio::test]
async fn http_is_for_servers_that_allow_it() {
    let git = GitServer::http();
    git.repository("r.git").commit(&[("file", "one")]);
    let resources = json!([{"type": "git_repository", "url": git.url("r.git")}]);
    let strict = aod_e2e::Server::demo().await;
    let agent = strict.client().demo_agent().await;
    let body = json!({"agent_id": agent, "prompt": "x", "resources": resources});
    let refusal = strict.client().post("/sessions", &body).await.refusal(422);
    for part in ["resources.0.url", "https", "git.allow_http"] {
        assert!(refusal.contains(part), "{part}: {refusal}");
    }
    let options = aod_e2e::ServerOptions::new(aod_e2e::Runtimes::demo());
    let server = aod_e2e::Server::start(options.set("AOD_GIT__ALLOW_HTTP", true)).await;
    let session = start(server.client(), resources, "$ cat r/file").await;
    assert!(session.ended().await.completed().stdout().contains("one"));
}

#[tokio::test]
async fn what_is_no_resource_is_refused_with_its_field() {
    let server = aod_e2e::Server::demo().await;
    let client = server.client();
    let agent = client.demo_agent().await;
    for (more, field) in [
        (json!({"url": "ssh://git@git.test/o/r"}), "url"),
        (json!({"url": "git@git.test:o/r"}), "url"),
        (json!({"url": "file:///etc"}), "url"),
        (json!({"url": "https://user:pw@git.test/o/r"}), "url"),
        (json!({"checkout": "--upload-pack=x"}), "checkout"),
        (json!({"checkout": "a..b"}), "checkout"),
        (json!({"checkout": ""}), "checkout"),
        (json!({"depth": 0}), "depth"),
        (json!({"depth": "1"}), "depth"),
        (json!({"submodules": "no"}), "submodules"),
        (json!({"mount_path": "../x"}), "mount_path"),
        (json!({"mount_path": "/etc"}), "mount_path"),
        (
            json!({"authorization_token": "a\nb"}),
            "authorization_token",
        ),
        (json!({"branch": "main"}), "branch"),
    ] {
        for kind in ["git_repository", "github_repository"] {
            let mut resource = json!({"type": kind, "url": "https://git.test/o/r"});
            for (name, value) in more.as_object().unwrap() {
                resource[name] = value.clone();
            }
            let body = json!({"agent_id": agent, "prompt": "x", "resources": [resource]});
            let detail = client.post("/sessions", &body).await.refused(422);
            let loc = detail[0]["loc"].as_array().unwrap();
            assert_eq!(loc.last().unwrap(), field, "{more}: {detail}");
        }
    }
}
