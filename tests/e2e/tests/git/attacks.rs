//! Repositories that are made to harm.

use std::fs;

use aod_e2e::GitServer;
use serde_json::json;

use crate::{diffs, server, start};

#[tokio::test]
async fn submodules_come_by_https_alone_and_stay_in_their_place() {
    let git = GitServer::https();
    let server = server(&git).await;
    let client = server.client();
    let bait = server.data().join("bait");
    fs::create_dir(&bait).unwrap();
    for (n, url) in [
        format!("file://{}", server.data().display()),
        server.data().display().to_string(),
        "ext::sh -c touch% /tmp/broken-out".to_owned(),
        "ssh://-oProxyCommand=touch/x".to_owned(),
        "git://127.0.0.1/r".to_owned(),
        "http://127.0.0.1/r".to_owned(),
        "--upload-pack=touch /tmp/broken-out".to_owned(),
        "../../../../../etc".to_owned(),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("r{n}.git");
        let repository = git.repository(&name);
        let commit = repository.commit(&[("file", "one")]);
        let modules = format!("[submodule \"sub\"]\n\tpath = sub\n\turl = \"{url}\"\n");
        let link = format!("160000,{commit},sub");
        repository.git(&["update-index", "--add", "--cacheinfo", &link]);
        // `add --all` would take the link away again where there is no folder.
        fs::write(git.bare(&name).join("../modules"), &modules).unwrap();
        let blob = git.bare("modules");
        let blob = repository.git(&["hash-object", "-w", &blob.to_string_lossy()]);
        repository.git(&[
            "update-index",
            "--add",
            "--cacheinfo",
            &format!("100644,{blob},.gitmodules"),
        ]);
        repository.git(&["commit", "--quiet", "-m", "x"]);
        repository.git(&["push", "--quiet", "origin", "HEAD"]);
        let resources = json!([{"type": "git_repository", "url": git.url(&name)}]);
        let error = start(client, resources, "hello")
            .await
            .ended()
            .await
            .failed();
        assert!(error.contains("resources[0].submodules"), "{url}: {error}");
        assert!(error.contains("https"), "{url}: {error}");
        assert!(!std::path::Path::new("/tmp/broken-out").exists());
    }
}

#[tokio::test]
async fn nothing_that_a_repository_brings_is_run() {
    let git = GitServer::https();
    let repository = git.repository("r.git");
    repository.commit(&[
        (".gitattributes", "* filter=evil diff=evil merge=evil\n"),
        (
            ".gitconfig",
            "[filter \"evil\"]\n\tsmudge = touch /workspace/ran\n",
        ),
        (
            ".githooks/post-checkout",
            "#!/bin/sh\ntouch /workspace/ran\n",
        ),
        ("file", "one"),
    ]);
    let server = server(&git).await;
    // A hook on the mirror's side of things would be the server's.
    let resources = json!([{"type": "git_repository", "url": git.url("r.git")}]);
    let session = start(server.client(), resources, "$ ls; ls r/.git/hooks").await;
    let stdout = session.ended().await.completed().stdout();
    assert!(!stdout.contains("ran"), "{stdout}");
    assert!(
        !server
            .session_files(&session.id)
            .join("workspace/ran")
            .exists()
    );
}

#[tokio::test]
async fn a_link_in_one_repository_does_not_lead_another_out_of_the_workspace() {
    let git = GitServer::https();
    let outer = git.repository("outer.git");
    let work = git.bare("link");
    std::os::unix::fs::symlink("/home/agent", &work).unwrap();
    let blob = outer.commit(&[("file", "one")]);
    assert!(!blob.is_empty());
    fs::write(git.bare("target"), "/home/agent").unwrap();
    let target = git.bare("target");
    let blob = outer.git(&["hash-object", "-w", &target.to_string_lossy()]);
    outer.git(&[
        "update-index",
        "--add",
        "--cacheinfo",
        &format!("120000,{blob},link"),
    ]);
    outer.git(&["commit", "--quiet", "-m", "link"]);
    outer.git(&["push", "--quiet", "origin", "HEAD"]);
    let server = server(&git).await;
    let resources = json!([
        {"type": "git_repository", "url": git.url("outer.git"), "mount_path": "a"},
        {"type": "git_repository", "url": git.url("outer.git"), "mount_path": "a/link/b"},
    ]);
    let session = start(server.client(), resources, "hello").await;
    let error = session.ended().await.failed();
    assert!(error.contains("resources[1].mount_path"), "{error}");
    assert!(!server.session_files(&session.id).join("home/b").exists());
}

#[tokio::test]
async fn a_diff_runs_nothing_outside_and_changes_nothing() {
    let git = GitServer::https();
    git.repository("r.git").commit(&[
        ("file", "one\n"),
        (".gitattributes", "file diff=evil filter=evil\n"),
    ]);
    let server = server(&git).await;
    let resources = json!([{"type": "git_repository", "url": git.url("r.git")}]);
    // What an agent could leave for whoever reads its repository, and where it would be seen.
    let prompt = "$ cd r && printf '#!/bin/sh\\nid >>/workspace/ran; id >>/tmp/aod-ran; exec cat\\n' >../evil && \
        chmod +x ../evil && for k in core.fsmonitor diff.external core.pager diff.evil.textconv \
        diff.evil.command filter.evil.clean filter.evil.smudge core.editor core.sshCommand alias.diff; \
        do git config $k /workspace/evil; done; git config core.hooksPath /workspace/hooks; \
        mkdir -p ../hooks; for h in post-index-change pre-commit post-checkout; do cp ../evil ../hooks/$h; done; \
        echo two >>file; rm -f ../ran; ls -la .git/index | wc -l";
    let session = start(server.client(), resources, prompt).await;
    session.ended().await.completed();
    let workspace = server.session_files(&session.id).join("workspace");
    let _ = fs::remove_file(workspace.join("ran"));
    let index = fs::read(workspace.join("r/.git/index")).unwrap();
    diffs(&session).await;
    assert!(
        !workspace.join("ran").exists(),
        "the workspace can be written to"
    );
    assert!(
        !std::path::Path::new("/tmp/aod-ran").exists(),
        "it ran outside"
    );
    assert_eq!(fs::read(workspace.join("r/.git/index")).unwrap(), index);
}

#[tokio::test]
async fn a_diff_of_a_repository_that_is_none_any_more_says_so() {
    let git = GitServer::https();
    git.repository("r.git").commit(&[("file", "one\n")]);
    let server = server(&git).await;
    let resource =
        |path: &str| json!({"type": "git_repository", "url": git.url("r.git"), "mount_path": path});
    let places = ["gone", "plain", "link", "other"];
    let resources: Vec<_> = places.iter().map(|place| resource(place)).collect();
    let prompt = "$ rm -rf gone; rm -rf plain/.git; rm -rf link; ln -s /etc link; \
        rm -rf other/.git; cd other; git init -q .";
    let session = start(server.client(), json!(resources), prompt).await;
    session.ended().await.completed();
    for diff in diffs(&session).await {
        let place = diff["repository"].as_str().unwrap();
        assert!(diff["error"].is_string(), "{place}: {diff}");
        assert_eq!(diff["diff"], "", "{place}: {diff}");
    }
}

#[tokio::test]
async fn a_diff_that_would_never_end_is_broken_off() {
    let git = GitServer::https();
    git.repository("r.git").commit(&[("file", "one\n")]);
    let server = server(&git).await;
    let resources = json!([{"type": "git_repository", "url": git.url("r.git")}]);
    let prompt = "$ rm r/.git/HEAD; mkfifo r/.git/HEAD";
    let session = start(server.client(), resources, prompt).await;
    session.ended().await.completed();
    let diff = diffs(&session).await.remove(0);
    let error = diff["error"].as_str().unwrap();
    assert!(error.contains("longer than"), "{error}");
}

#[tokio::test]
async fn a_diff_runs_no_filter_and_stays_in_its_repository() {
    let git = GitServer::https();
    git.repository("r.git").commit(&[("file", "one\n")]);
    let server = server(&git).await;
    let prompt = "$ cd r; git config filter.x.clean 'echo ran; id'; git config filter.x.required true; \
                  echo '* filter=x diff=x' >.gitattributes; git config diff.x.textconv 'echo ran'; \
                  echo changed >file; echo new >other; git config core.worktree /etc; echo ok";
    let resources = json!([{"type": "git_repository", "url": git.url("r.git")}]);
    let session = start(server.client(), resources, prompt).await;
    session.ended().await.completed();
    let diff = &diffs(&session).await[0];
    assert_eq!(diff["error"], json!(null), "{diff}");
    let text = diff["diff"].as_str().unwrap();
    assert!(text.contains("+changed") && text.contains("+new"), "{text}");
    assert!(!text.contains("ran") && !text.contains("uid="), "{text}");
    assert!(!text.contains("passwd"), "{text}");
}
