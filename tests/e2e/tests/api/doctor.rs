//! What `aod doctor` says of this machine.

use std::fs;

use aod_e2e::{Server, repository};
use serde_json::Value;

/// Each finding's name and state.
fn findings(server: &Server, settings: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut command = server.command(&["doctor", "--json"]);
    command.env("AOD_RUNTIMES", repository().join("runtimes.toml"));
    command.envs(settings.iter().copied());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let list: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let mut found = Vec::new();
    for finding in &list {
        let text = |name: &str| finding[name].as_str().unwrap().to_owned();
        assert!(
            !text("detail").is_empty() && !text("detail").contains('\n'),
            "{finding}"
        );
        found.push((text("what"), text("state")));
    }
    found
}

/// What this machine and these settings make of the sandbox, found out in other ways.
fn expected() -> Vec<(&'static str, &'static str)> {
    let is_root = rustix::process::getuid().is_root();
    let has_groups = has_groups();
    let polled = if has_groups { "ok" } else { "partly" };
    let mut device = fs::OpenOptions::new();
    let device = device.read(true).write(true).open("/dev/net/tun");
    vec![
        ("isolation", "ok"),
        ("seccomp", "ok"),
        ("network", "ok"),
        ("loopback", "ok"),
        ("abstract_sockets", "ok"),
        ("direct", if device.is_ok() { "ok" } else { "partly" }),
        ("proc", "ok"),
        ("host_paths", "partly"),
        ("identity", if is_root { "partly" } else { "ok" }),
        ("packages", "ok"),
        ("memory", polled),
        ("pids", if is_root { polled } else { "ok" }),
        ("files", "ok"),
        ("disk", "partly"),
        ("raw_egress", "ok"),
        ("listen", "ok"),
    ]
}

/// Whether groups with limits can be made where this process is, or beside it.
fn has_groups() -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mount = mounts
        .lines()
        .find_map(|line| line.contains(" cgroup2 ").then(|| line.split(' ').nth(1))?);
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"));
    let (Some(mount), Some(own)) = (mount, own) else {
        return false;
    };
    let own = std::path::Path::new(mount).join(own);
    let can = |folder: &std::path::Path| {
        let read = |file| fs::read_to_string(folder.join(file)).unwrap_or_default();
        let has = |text: &str| ["memory", "pids"].iter().all(|name| text.contains(name));
        // A server has found out whether it may; here it is enough that it has.
        has(&read("cgroup.controllers")) && has(&read("cgroup.subtree_control"))
    };
    can(&own) || own.parent().is_some_and(can)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_names_each_weakness_that_is_measured() {
    let server = Server::demo().await;
    let found = findings(&server, &[]);
    let expected = expected();
    let sandbox: Vec<(&str, &str)> = found[..expected.len()]
        .iter()
        .map(|(what, state)| (what.as_str(), state.as_str()))
        .collect();
    assert_eq!(sandbox, expected);
    let rest: Vec<&str> = found[expected.len()..]
        .iter()
        .map(|(what, _)| what.as_str())
        .collect();
    assert_eq!(
        rest,
        ["node", "npm", "supervisor", "runtimes", "data", "space"]
    );
}

#[test]
fn the_doctor_looks_at_what_its_options_name_and_tries_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("my-runtimes.toml");
    fs::write(&manifest, "").unwrap();
    let finding = |data: &std::path::Path, what: &str| {
        let output = std::process::Command::new(aod_e2e::program("aod"))
            .args(["doctor", "--json", "--listen", "127.0.0.1:1", "--runtimes"])
            .args([manifest.as_os_str(), "--data".as_ref(), data.as_os_str()])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let list: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let found = list.into_iter().find(|finding| finding["what"] == what);
        found.unwrap()
    };
    let data = folder.path().join("data");
    assert_eq!(finding(&data, "data")["state"], "ok");
    let runtimes = finding(&data, "runtimes");
    assert_eq!(runtimes["detail"].as_str(), manifest.to_str());
    // Nothing can be written there, whoever tries.
    let data = finding("/proc/self/data".as_ref(), "data");
    assert_eq!(data["state"], "broken", "{data}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_follows_the_settings() {
    let server = Server::demo().await;
    let found = findings(
        &server,
        &[
            ("AOD_SANDBOX__DRIVER", "process"),
            ("AOD_LISTEN", "192.0.2.1:80"),
        ],
    );
    let state = |what: &str| {
        let mut found = found.iter();
        found
            .find(|(name, _)| name == what)
            .map(|(_, state)| state.as_str())
    };
    assert_eq!(state("isolation"), Some("missing"));
    assert_eq!(state("seccomp"), None);
    assert_eq!(state("listen"), Some("partly"));
    assert_eq!(state("port"), Some("partly"));
}
