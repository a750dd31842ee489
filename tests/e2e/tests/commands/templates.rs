//! `aod agent` and `aod env`.

use aod_e2e::Server;
use serde_json::{Value, json};

use crate::{aod, aod_with};

#[tokio::test]
async fn agents_are_made_of_flags_and_files_changed_and_archived() {
    let server = Server::demo().await;
    let ask = |arguments: &[&str]| aod(&server, &[&["agent"][..], arguments].concat());
    let said = ask(&["create", "--name", "x"]).failed(1);
    assert!(said.contains("--runtime"), "{said}");
    let made = ask(&[
        "create",
        "--name",
        "reviewer",
        "--runtime",
        "demo",
        "--model",
        "demo/echo",
        "--system",
        "Be brief.",
        "--label",
        "team=fruit",
        "--limit",
        "max_rounds=7",
    ]);
    let id = made.good();
    let id = id.trim();
    let shown = ask(&["show", id]).json();
    assert_eq!(shown["system"], "Be brief.");
    assert_eq!(shown["metadata"], json!({"team": "fruit"}));
    assert_eq!(shown["limits"], json!({"max_rounds": 7}));
    assert!(ask(&["ls"]).good().contains("reviewer"));
    for named in ["reviewer", &id[..8]] {
        assert_eq!(ask(&["show", named]).json()["id"], id, "{named}");
    }
    let nobody = ask(&["show", "reviewers"]).failed(66);
    assert!(nobody.contains("aod agent ls"), "{nobody}");

    // What was shown makes another, and changes this one, with what flags say on top.
    let text = shown.to_string();
    let create = ["agent", "create", "--from", "-", "--name", "copy", "--json"];
    let copy = aod_with(&server, &create, text.as_bytes()).json();
    assert_eq!(copy["name"], "copy");
    assert_eq!(
        (&copy["system"], &copy["version"]),
        (&shown["system"], &json!(1))
    );
    let changed = ask(&[
        "update", id, "--name", "better", "--label", "team=", "--json",
    ])
    .json();
    assert_eq!(
        (&changed["version"], &changed["name"]),
        (&json!(2), &json!("better"))
    );
    assert_eq!(changed["metadata"], json!({}));
    let update = ["agent", "update", id, "--from", "-"];
    let stale = aod_with(&server, &update, text.as_bytes()).failed(75);
    assert!(stale.contains("Version mismatch"), "{stale}");
    assert!(ask(&["update", id]).failed(1).contains("--from"));
    assert_eq!(ask(&["versions", id]).json().as_array().unwrap().len(), 2);
    let unknown = aod_with(&server, &update, br#"{"nmae": "x"}"#).failed(65);
    assert!(unknown.contains("name"), "{unknown}");

    let run = aod(&server, &["run", "hello", "--agent", "better", "--detach"]).good();
    let session = aod(&server, &["session", "show", run.trim(), "--json"]).json();
    assert_eq!(
        (&session["agent_id"], &session["agent_version"]),
        (&json!(id), &json!(2))
    );
    let listed = aod(&server, &["session", "ls", "--agent", "better", "--json"]).json();
    assert_eq!(listed[0]["title"], "hello");
    ask(&["archive", id]).good();
    let listed = ask(&["ls", "--json"]).json();
    let names: Vec<&Value> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["name"])
        .collect();
    assert_eq!(names, ["copy"]);
    aod(&server, &["session", "rm", "--force", run.trim()]).good();
}

#[tokio::test]
async fn environments_are_made_of_flags_and_files_and_their_secrets_stay_in() {
    let server = Server::demo().await;
    let ask = |arguments: &[&str]| aod(&server, &[&["env"][..], arguments].concat());
    let folder = tempfile::tempdir().unwrap();
    let setup = folder.path().join("setup.sh");
    std::fs::write(&setup, "mkdir -p out\n").unwrap();
    let made = ask(&[
        "create",
        "--name",
        "python",
        "--package",
        "pip=rich",
        "--package",
        "pip=httpx",
        "--allow-host",
        "pypi.org",
        "--var",
        "COLOUR=red",
        "--secret",
        "AOD_API_TOKEN",
        "--setup",
        setup.to_str().unwrap(),
    ]);
    let id = made.good();
    let id = id.trim();
    let shown = ask(&["show", id]).json();
    assert_eq!(shown["packages"], json!({"pip": ["rich", "httpx"]}));
    assert_eq!(shown["networking"]["allowed_hosts"], json!(["pypi.org"]));
    assert_eq!(shown["vars"], json!({"COLOUR": "red"}));
    assert_eq!(shown["setup_script"], "mkdir -p out\n");
    assert!(!shown.to_string().contains(server.token()));
    assert!(ask(&["ls"]).good().contains("limited"));
    let changed = ask(&["update", id, "--name", "py", "--version", "1", "--json"]).json();
    assert_eq!(changed["packages"], shown["packages"]);
    assert!(
        ask(&["update", id, "--name", "x", "--version", "1"])
            .failed(75)
            .contains("409")
    );
    assert_eq!(ask(&["versions", id]).json().as_array().unwrap().len(), 2);
    let said = ask(&["create", "--name", "x", "--secret", "A=s3cret"]).failed(1);
    assert!(!said.contains("s3cret"), "{said}");
    assert!(ask(&["create"]).failed(1).contains("--name"));
    let other = ask(&["create", "--name", "other"]).good();
    ask(&["archive", other.trim()]).good();
    ask(&["rm", id]).good();
    assert!(ask(&["show", id]).failed(66).contains("404"));
}
