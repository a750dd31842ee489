//! Repositories that need a token, and where that token is not.

use aod_e2e::{Gate, GitServer, files_with, processes_with};
use serde_json::json;

use crate::{printed, server, start};

#[tokio::test]
async fn a_token_opens_a_repository_and_is_nowhere() {
    let git = GitServer::https();
    let inner = git.repository("private/inner.git");
    inner.commit(&[("inner", "inner")]);
    let repository = git.repository("private/r.git");
    let from = git.bare("private/inner.git");
    let from = from.to_string_lossy();
    repository.git(&[
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        &from,
        "sub",
    ]);
    repository.git(&[
        "config",
        "--file",
        ".gitmodules",
        "submodule.sub.url",
        "../inner.git",
    ]);
    repository.commit(&[("file", "secret-content")]);
    let server = server(&git).await;
    let client = server.client();
    let gate = Gate::new("gate");
    let prompt = format!(
        "$ cat r/file r/sub/inner; env; cat r/.git/config; cat $HOME/.gitconfig /run/aod/*; \
         git -C r fetch 2>&1 | tail -n 2\n{}",
        gate.step()
    );
    let resources = json!([{
        "type": "git_repository", "url": git.url("private/r.git"),
        "authorization_token": git.token(),
    }]);
    let session = start(client, resources.clone(), &prompt).await;
    gate.reached(&server, &session).await;
    assert_eq!(processes_with(git.token()), Vec::<String>::new());
    gate.open(&server, &session);
    let ended = session.ended().await.completed();
    assert!(
        ended.stdout().contains("secret-contentinner"),
        "{}",
        ended.stdout()
    );
    let everywhere = files_with(&server.data(), git.token(), &|_| false);
    assert!(everywhere.is_empty(), "{everywhere:?}");
    assert!(!server.log().contains(git.token()));
    for path in ["", "/stream", "/events", "/provisioning", "/turns"] {
        let reply = client.get(&format!("/sessions/{}{path}", session.id)).await;
        assert!(!reply.text.contains(git.token()), "{path}: {}", reply.text);
    }
    assert!(printed(&session).await.contains("private/r.git"));
    // Another session has its mirror, and one without the token has not.
    let again = start(client, resources, "$ cat r/file").await;
    again.ended().await.completed();
    for token in [json!(null), json!("another-token-of-somebody")] {
        let resources = json!([{
            "type": "git_repository", "url": git.url("private/r.git"),
            "authorization_token": token,
        }]);
        let error = start(client, resources, "$ cat r/file")
            .await
            .ended()
            .await
            .failed();
        for part in [
            "authentication failed",
            "resources[0].authorization_token",
            "private/r.git",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}

/// The agent pushes without having the token: a gateway outside of its sandbox has it.
#[tokio::test]
async fn an_agent_pushes_a_branch_to_a_repository_whose_token_it_does_not_have() {
    let git = GitServer::https();
    git.repository("private/r.git").commit(&[("file", "one")]);
    git.repository("private/other.git")
        .commit(&[("file", "two")]);
    let server = server(&git).await;
    let client = server.client();
    let body = json!({
        "name": "e", "git_identity": {"name": "Ada", "email": "ada@example.com"},
    });
    let environment = client.create_environment(&body).await;
    let other = git.url("private/other.git");
    let prompt = format!(
        "$ cd r && git checkout -qb topic && echo changed >file && git commit -qam change \
         && git push -q origin topic && git fetch -q && git rev-parse origin/topic \
         && git remote get-url origin && env && cat .git/config /run/aod/gitconfig\n\
         $ git ls-remote {other} 2>&1; echo tried",
    );
    let session = client
        .create_session(&json!({
            "agent_id": client.demo_agent().await,
            "environment_id": environment,
            "prompt": prompt,
            "resources": [{
                "type": "git_repository", "url": git.url("private/r.git"),
                "authorization_token": git.token(),
            }],
        }))
        .await;
    let ended = session.ended().await.completed();
    let stdout = ended.stdout();
    assert!(stdout.contains(&git.url("private/r.git")), "{stdout}");
    assert!(!stdout.contains(git.token()) && !stdout.contains("[redacted:authorization"));
    let shown = std::process::Command::new("git")
        .args([
            "-c",
            "safe.directory=*",
            "log",
            "-1",
            "--format=%an <%ae> %s",
            "topic",
        ])
        .current_dir(git.bare("private/r.git"))
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert_eq!(shown.trim(), "Ada <ada@example.com> change", "{stdout}");
    // The gateway leads to this repository alone.
    assert!(
        stdout.contains("unable to access") && stdout.contains("tried"),
        "{stdout}"
    );
    let diffs = crate::diffs(&session).await;
    assert!(
        diffs[0]["diff"].as_str().unwrap().contains("+changed"),
        "{diffs:?}"
    );
    let everywhere = files_with(&server.data(), git.token(), &|_| false);
    assert!(everywhere.is_empty(), "{everywhere:?}");
}

#[tokio::test]
async fn a_token_may_come_with_a_user() {
    let git = GitServer::https();
    git.repository("private/r.git").commit(&[("file", "one")]);
    let server = server(&git).await;
    let resources = json!([{
        "type": "git_repository", "url": git.url("private/r.git"),
        "authorization_token": format!("ada:{}", git.token()),
    }]);
    let session = start(server.client(), resources, "$ cat r/file").await;
    assert!(session.ended().await.completed().stdout().contains("one"));
}

#[tokio::test]
async fn a_token_is_not_given_to_another_host() {
    let (git, other) = (GitServer::https(), GitServer::https());
    other.repository("inner.git").commit(&[("inner", "inner")]);
    let repository = git.repository("private/r.git");
    let from = other.bare("inner.git");
    let from = from.to_string_lossy();
    repository.git(&[
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        &from,
        "sub",
    ]);
    let url = other.url("private/inner.git");
    repository.git(&["config", "--file", ".gitmodules", "submodule.sub.url", &url]);
    repository.commit(&[("file", "one")]);
    let both = tempfile::NamedTempFile::new().unwrap();
    let authorities =
        [git.authority(), other.authority()].map(|file| std::fs::read_to_string(file).unwrap());
    std::fs::write(both.path(), authorities.concat()).unwrap();
    let options = crate::options(&git).set("AOD_EGRESS__CA_FILE", both.path().display());
    let server = aod_e2e::Server::start(options).await;
    let resources = json!([{
        "type": "git_repository", "url": git.url("private/r.git"),
        "authorization_token": git.token(),
    }]);
    let error = start(server.client(), resources, "hello")
        .await
        .ended()
        .await
        .failed();
    for part in [
        "resources[0].submodules",
        "\"sub\"",
        "authentication failed",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let asked = other.requests();
    assert!(!asked.is_empty());
    assert!(
        asked.iter().all(|line| line.ends_with(" without")),
        "{asked:#?}"
    );
}
