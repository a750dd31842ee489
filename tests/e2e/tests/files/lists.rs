//! Lists, pages, globs, names that are no text.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use aod_e2e::Server;
use serde_json::json;

use crate::Lab;

#[tokio::test]
async fn a_list_says_what_there_is() {
    let lab = Lab::new().await;
    lab.write("src/main.rs", "fn main() {}");
    lab.write("run.sh", "#!/bin/sh\n");
    let run = lab.workspace.join("run.sh");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(run, executable).unwrap();
    lab.link("src/main.rs", "link");
    let listed = lab.get("").await.expect(200);
    assert_eq!(listed.get("next"), None, "{listed}");
    let entry = |path: &str| {
        let entries = listed["data"].as_array().unwrap();
        let found = entries.iter().find(|entry| entry["path"] == path);
        found
            .unwrap_or_else(|| panic!("{path} is not in {listed}"))
            .clone()
    };
    let file = entry("run.sh");
    assert_eq!(file["type"], "file");
    assert_eq!((&file["size"], &file["mode"]), (&json!(10), &json!("0755")));
    assert_eq!(file["executable"], true);
    assert!(file["etag"].as_str().unwrap().starts_with('"'), "{file}");
    assert!(file["modified_at"].as_str().unwrap().ends_with("+00:00"));
    let folder = entry("src");
    assert_eq!(
        (&folder["type"], folder.get("etag")),
        (&json!("folder"), None)
    );
    let link = entry("link");
    assert_eq!(
        (&link["type"], &link["target"]),
        (&json!("symlink"), &json!("src/main.rs"))
    );
    // What is asked about is the thing itself, a link or the workspace, too.
    let one = |reply: serde_json::Value| reply["data"][0].clone();
    assert_eq!(one(lab.get("?path=link&stat=true").await.expect(200)), link);
    assert_eq!(
        one(lab.get("?path=src&stat=true").await.expect(200)),
        folder
    );
    assert_eq!(one(lab.get("?stat=true").await.expect(200))["path"], "");
    let refusal = lab.get("?path=none&stat=true").await.refusal(404);
    assert!(refusal.contains("none"), "{refusal}");
    let refusal = lab.get("?path=run.sh").await.refusal(409);
    assert!(refusal.contains("no folder"), "{refusal}");
    // A folder is listed through a link that stays inside.
    lab.link("src", "there");
    assert_eq!(lab.paths("?path=there").await, ["there/main.rs"]);
}

#[tokio::test]
async fn pages_follow_one_another_in_order_and_miss_nothing() {
    let lab = Lab::new().await;
    // Their order as texts is another: a dot and a dash come before a slash.
    for path in ["a/x", "a/y/z", "a.txt", "a-b", "b/1", "b/2", "c"] {
        lab.write(path, "");
    }
    let own: Vec<String> = lab.paths("").await;
    let all = lab.paths("?recursive=true").await;
    let position = |path: &str| all.iter().position(|it| it == path).unwrap();
    assert!(
        position("a") < position("a/x") && position("a/y/z") < position("a-b"),
        "{all:?}"
    );
    assert!(own.iter().all(|path| !path.contains('/')), "{own:?}");
    for limit in 1..=all.len() {
        let mut paged = Vec::new();
        let mut query = format!("?recursive=true&limit={limit}");
        loop {
            let page = lab.get(&query).await.expect(200);
            let entries = page["data"].as_array().unwrap().clone();
            assert!(entries.len() <= limit);
            let paths = entries
                .iter()
                .map(|it| it["path"].as_str().unwrap().to_owned());
            paged.extend(paths);
            let Some(next) = page["next"].as_str() else {
                break;
            };
            query = format!(
                "?recursive=true&limit={limit}&after={}",
                next.replace('%', "%25")
            );
        }
        assert_eq!(paged, all, "{limit}");
    }
    let below: Vec<&String> = all.iter().filter(|it| it.starts_with("a/")).collect();
    assert_eq!(
        lab.paths("?path=a&recursive=true")
            .await
            .iter()
            .collect::<Vec<_>>(),
        below
    );
}

#[tokio::test]
async fn globs_are_looked_for_in_all_folders() {
    let lab = Lab::new().await;
    for path in ["a.rs", "src/b.rs", "src/deep/c.rs", "src/d.txt", "{x}"] {
        lab.write(path, "");
    }
    for (glob, found) in [
        ("*.rs", &["a.rs"][..]),
        ("**/*.rs", &["a.rs", "src/b.rs", "src/deep/c.rs"]),
        ("src/*.{rs,txt}", &["src/b.rs", "src/d.txt"]),
        ("src/[a-c].*", &["src/b.rs"]),
        ("**/deep/**", &["src/deep/c.rs"]),
        ("\\{x\\}", &["{x}"]),
        ("../*", &[]),
        ("/etc/*", &[]),
    ] {
        let glob: String = glob.bytes().map(|byte| format!("%{byte:02X}")).collect();
        assert_eq!(lab.paths(&format!("?glob={glob}")).await, found, "{glob}");
    }
    assert_eq!(lab.paths("?path=src&glob=*.rs").await, ["src/b.rs"]);
    let refusal = lab.get("?glob=%5Ba").await.refusal(422);
    assert!(refusal.starts_with("glob:"), "{refusal}");
    let long = "%7Ba%2Cb%7D".repeat(200);
    lab.get(&format!("?glob={long}")).await.expect(200);
    lab.get(&format!("?glob={long}a")).await.refused(422);
}

#[tokio::test]
async fn names_that_are_no_text_are_listed_and_can_be_used() {
    let lab = Lab::new().await;
    let name = OsStr::from_bytes(b"caf\xe9 100%.txt");
    std::fs::write(lab.workspace.join(name), "latin").unwrap();
    let folder = lab.workspace.join(OsStr::from_bytes(b"\xff"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("in"), "in").unwrap();
    let listed = lab.get("?recursive=true").await.expect(200);
    let entries = listed["data"].as_array().unwrap();
    let entry = entries
        .iter()
        .find(|it| it["path"] == "caf\u{fffd} 100%.txt");
    let encoded = entry.unwrap()["encoded_path"].as_str().unwrap().to_owned();
    assert_eq!(encoded, "caf%E9%20100%25.txt");
    assert_eq!(lab.bytes(&encoded).await, b"latin");
    assert_eq!(lab.paths("?path=%FF").await, ["\u{fffd}/in"]);
    assert_eq!(lab.bytes("%FF%2Fin").await, b"in");
    let moved = lab.request(reqwest::Method::POST, &encoded);
    let moved = moved.json(&json!({"to": "café.txt"}));
    let moved = lab.session.client.send(moved).await.expect(200);
    assert_eq!(moved["encoded_path"], "caf%C3%A9.txt");
    lab.put("%FE%FF", "raw").await.expect(201);
    let raw = lab.workspace.join(OsStr::from_bytes(b"\xfe\xff"));
    assert_eq!(std::fs::read(&raw).unwrap(), b"raw");
    lab.session
        .client
        .delete(&lab.at("%FE%FF"))
        .await
        .expect(200);
    assert!(!raw.exists());
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_by_name() {
    let lab = Lab::new().await;
    for (query, status) in [
        ("?limit=0", 422),
        ("?limit=1001", 422),
        ("?recursive=perhaps", 422),
        ("?format=zip", 422),
        ("?paht=x", 422),
        ("?path=%00", 422),
        ("?path=..", 400),
        ("?path=/etc", 400),
        ("?after=..", 422),
    ] {
        lab.get(query).await.refused(status);
    }
    let extra = lab.get("?paht=x").await.text;
    assert!(extra.contains("did you mean path?"), "{extra}");
    let extra = lab.get("a?formt=tar").await.text;
    assert!(extra.contains("did you mean format?"), "{extra}");
}

#[tokio::test]
async fn a_workspace_is_its_owners_and_is_there_once_it_is_provisioned() {
    let server = Server::demo().await;
    let lab = Lab::of(server).await;
    lab.write("mine", "mine");
    let other = lab.server.add_user("other");
    for path in ["", "?path=..", "mine", "..%2f", "?format=tar"] {
        let refusal = other.get(&lab.at(path)).await.refusal(404);
        assert_eq!(refusal, "Session not found", "{path}");
    }
    for path in ["mine", "new", ""] {
        let put = other
            .request(reqwest::Method::PUT, &lab.at(path))
            .body("theirs");
        assert_eq!(other.send(put).await.refusal(404), "Session not found");
    }
    assert_eq!(
        other.delete(&lab.at("mine")).await.refusal(404),
        "Session not found"
    );
    assert_eq!(lab.bytes("mine").await, b"mine");
    std::fs::rename(&lab.workspace, lab.workspace.with_file_name("away")).unwrap();
    for path in ["", "mine"] {
        let refusal = lab.get(path).await.refusal(409);
        assert!(refusal.contains("no workspace yet"), "{refusal}");
    }
    lab.put("mine", "x").await.refused(409);
}
