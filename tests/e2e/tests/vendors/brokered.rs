//! Credentials that never enter the sandbox.

use aod_e2e::{GitServer, files_with};
use serde_json::json;

use crate::lab::{CLAUDE, Lab, Vendor, said};

each_vendor!(
    a_brokered_key_is_nowhere_in_the_sandbox,
    an_injected_key_is_found_by_the_same_search,
    a_private_repository_is_cloned_changed_and_pushed_without_its_token,
);

/// Looks for whatever has the form of a key: in the environment and the arguments of all processes,
/// in all files that it can read, and in the memory of all processes that let it.
const SEARCH: &str = r#"
import os, re, sys
form = re.compile(sys.argv[1].encode() + b"[0-9a-f]{32}")
found, looked = set(), {"files": 0, "memory": 0}

def look(data, where):
    for key in form.findall(data):
        found.add(key.decode() + " " + where)

def read(path, where):
    try:
        with open(path, "rb") as file:
            look(file.read(64 << 20), where)
            looked["files"] += 1
    except OSError:
        pass

look("\0".join(f"{k}={v}" for k, v in os.environ.items()).encode(), "env")
for pid in filter(str.isdigit, os.listdir("/proc")):
    for name in ("environ", "cmdline"):
        read(f"/proc/{pid}/{name}", name)
    if int(pid) == os.getpid():
        continue
    try:
        maps = open(f"/proc/{pid}/maps").read().splitlines()
        memory = open(f"/proc/{pid}/mem", "rb", 0)
    except OSError:
        continue
    for line in maps:
        span, rights = line.split()[:2]
        begin, end = (int(part, 16) for part in span.split("-"))
        if "rw" in rights and end - begin < 1 << 30:
            try:
                memory.seek(begin)
                look(memory.read(end - begin), "memory")
                looked["memory"] += 1
            except (OSError, ValueError, OverflowError):
                pass
for top in ("/workspace", os.environ["HOME"], "/tmp", "/run", "/etc", "/dev/shm"):
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                read(path, path)
with open("/workspace/found", "w") as out:
    out.write("\n".join(sorted(found)) + "\n")
    out.write(f"looked at {looked['files']} files, {looked['memory']} pieces of memory\n")
"#;

/// Has the agent search its sandbox; answers what it found, and the keys that the model was sent.
async fn search(vendor: &'static Vendor, mode: &str) -> (Lab, String, Vec<String>) {
    let lab = Lab::new(vendor).await;
    let environment = lab
        .client()
        .create_environment(&json!({
            "name": "e",
            "credentials": mode,
            "setup_script": format!("cat >/workspace/search.py <<'END'\n{SEARCH}\nEND\n"),
        }))
        .await;
    let prompt = format!(
        "[[bash env; python3 /workspace/search.py {}]] [[say done]] searching",
        vendor.prefix
    );
    let session = lab
        .session_with(json!({"prompt": prompt, "environment_id": environment}))
        .await;
    let ended = session.ended().await.completed();
    assert_eq!(said(&session, &ended).await, "done");
    let found = lab.server.workspace_file(&session.id, "found").unwrap();
    let sent = lab.asked("searching");
    let sent = sent.into_iter().map(|it| it.credential.unwrap_or_default());
    let sent = sent.collect();
    (lab, found, sent)
}

async fn a_brokered_key_is_nowhere_in_the_sandbox(vendor: &'static Vendor) {
    let (lab, found, sent) = search(vendor, "brokered").await;
    assert!(
        !sent.is_empty() && sent.iter().all(|key| *key == lab.key),
        "{sent:?}"
    );
    assert!(!found.contains(&lab.key), "{found}");
    let (_, looked) = found.rsplit_once("looked at ").unwrap();
    assert!(!looked.starts_with("0 "), "{found}");
}

async fn an_injected_key_is_found_by_the_same_search(vendor: &'static Vendor) {
    let (lab, found, sent) = search(vendor, "injected").await;
    assert!(sent.iter().all(|key| *key == lab.key), "{sent:?}");
    assert!(found.contains(&lab.key), "{found}");
}

async fn a_private_repository_is_cloned_changed_and_pushed_without_its_token(
    vendor: &'static Vendor,
) {
    let git = GitServer::https();
    git.repository("private/r.git").commit(&[("file", "one")]);
    let authority = git.authority().display().to_string();
    let lab = Lab::with_setting(vendor, ("AOD_EGRESS__CA_FILE", authority)).await;
    let environment = lab
        .client()
        .create_environment(&json!({
            "name": "e", "git_identity": {"name": "Ada", "email": "ada@example.com"},
        }))
        .await;
    let prompt = "[[bash cd /workspace/r && git checkout -qb topic && echo changed >file \
                  && git commit -qam change && git push -q origin topic; mkdir /workspace/own && cd /workspace/own \
                  && git init -q && git commit -q --allow-empty -m own]] [[say pushed]]";
    let session = lab
        .session_with(json!({
            "prompt": prompt,
            "environment_id": environment,
            "resources": [{
                "type": "git_repository", "url": git.url("private/r.git"),
                "authorization_token": git.token(),
            }],
        }))
        .await;
    let ended = session.ended().await.completed();
    assert_eq!(said(&session, &ended).await, "pushed");
    let shown = std::process::Command::new("git")
        .args([
            "-c",
            "safe.directory=*",
            "log",
            "-1",
            "--format=%an %s",
            "topic",
        ])
        .current_dir(git.bare("private/r.git"))
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert_eq!(shown.trim(), "Ada change", "{}", ended.stdout());
    let everywhere = files_with(&lab.server.data(), git.token(), &|_| false);
    assert!(everywhere.is_empty(), "{everywhere:?}");
    let diff = format!("/sessions/{}/diff", session.id);
    let diff = lab.client().get(&diff).await.expect(200);
    assert!(diff.to_string().contains("+changed"), "{diff}");
}

/// What a setup script runs cannot have the key sent elsewhere, and a base URL that is none does not
/// send it to the provider's own address.
#[tokio::test]
async fn where_a_key_is_sent_is_said_by_its_user_alone() {
    let lab = Lab::new(&CLAUDE).await;
    let script = "echo ANTHROPIC_BASE_URL=http://model.test:9 >>$AOD_ENV";
    let environment = json!({"name": "e", "setup_script": script});
    let environment = lab.client().create_environment(&environment).await;
    let body = json!({"prompt": "[[say hi]]", "environment_id": environment});
    let error = lab.session_with(body).await.ended().await.failed();
    assert!(
        error.contains("ANTHROPIC_BASE_URL") && error.contains("$AOD_ENV"),
        "{error}"
    );
    for odd in ["https://user:pw@model.test", "model.test:8443", "file:///x"] {
        lab.register("env:ANTHROPIC_BASE_URL", odd).await;
        let error = lab.session("[[say hi]]").await.ended().await.failed();
        assert!(
            error.contains("ANTHROPIC_BASE_URL") && !error.contains("pw@"),
            "{odd}: {error}"
        );
    }
    assert!(lab.model.requests().is_empty());
}
