//! `aod runtime` and `aod model`, as scripts use them.

use std::process::{Command, Output};

use aod_e2e::{Runtimes, Server, plugin, program};
use aod_guests::hostile;
use serde_json::Value;

fn output(command: &mut Command) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// Without a server.
fn aod(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(program("aod"));
    command
        .env_remove("AOD_API_URL")
        .env_remove("AOD_API_TOKEN");
    output(command.args(arguments))
}

#[tokio::test]
async fn runtimes_and_models_are_listed_and_reloaded() {
    let mut server = Server::demo().await;
    let ask = |server: &Server, arguments: &[&str]| output(&mut server.command(arguments));
    let (code, listed, _) = ask(&server, &["runtime", "list"]);
    assert_eq!(code, Some(0));
    assert!(
        listed.starts_with("demo ") && listed.contains("ready"),
        "{listed}"
    );
    let (_, listed, _) = ask(&server, &["runtime", "list", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed[0]["name"], "demo");
    let (code, shown, _) = ask(&server, &["runtime", "show", "demo"]);
    assert_eq!(code, Some(0));
    assert!(
        shown.contains("demo/echo") && shown.contains("interface version"),
        "{shown}"
    );
    let (code, _, error) = ask(&server, &["runtime", "show", "no such"]);
    assert_eq!(code, Some(66));
    assert!(error.contains("no such"), "{error}");
    let (code, models, _) = ask(&server, &["model", "ls"]);
    assert_eq!(code, Some(0));
    assert!(
        models.starts_with("demo/echo ") && models.ends_with(" demo\n"),
        "{models}"
    );
    let (_, models, _) = ask(&server, &["model", "ls", "--runtime", "other", "--json"]);
    assert_eq!(models, "[]\n");

    let (code, report, _) = ask(&server, &["runtime", "reload"]);
    assert_eq!(code, Some(0), "{report}");
    assert!(report.contains("unchanged"), "{report}");
    let missing = server.runtimes_file().with_file_name("missing.wasm");
    server.write_runtimes(Runtimes::demo().with("gone", &missing, ""));
    let (code, report, _) = ask(&server, &["runtime", "reload"]);
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("missing.wasm"), "{report}");
    let (_, listed, _) = ask(&server, &["runtime", "ls"]);
    assert!(
        listed.contains("failed") && listed.contains("runtimes.toml:"),
        "{listed}"
    );

    // A file of which nothing can be read leaves the runtimes as they were, and says so.
    std::fs::write(server.runtimes_file(), "rubbish").unwrap();
    let (code, _, _) = ask(&server, &["runtime", "reload"]);
    assert_eq!(code, Some(1));
    let (code, listed, problems) = ask(&server, &["runtime", "list"]);
    assert_eq!(code, Some(0));
    assert!(listed.contains("demo"), "{listed}");
    assert!(problems.contains("runtimes.toml:1:"), "{problems}");
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    use std::process::Stdio;
    // More than a pipe holds, so that the command is still writing.
    let mut command = Command::new(program("aod"));
    let mut child = command
        .arg("openapi")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(ended.stderr).unwrap();
    assert_eq!((ended.status.code(), stderr.as_str()), (Some(141), ""));
}

#[test]
fn a_good_component_passes_without_a_server() {
    let demo = plugin("demo");
    let demo = demo.to_str().unwrap();
    // The machine may be busy.
    let patient = ["runtime", "check", "--call-deadline", "30s"];
    let check = |more: &[&str]| aod(&[&patient[..], more].concat());
    let (code, report, error) = check(&[demo, "--options", "delay_ms = 1"]);
    assert_eq!(code, Some(0), "{report}{error}");
    assert!(report.ends_with("passed\n"), "{report}");
    assert!(!report.contains('\u{1b}'), "{report}");
    let (_, report, _) = check(&[demo, "--json"]);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report[0]["findings"][0]["verdict"], "ok", "{report}");

    let (code, report, _) = check(&[demo, "--options", "{\"dealy\": 1}"]);
    assert_eq!(code, Some(1));
    assert!(report.contains("dealy"), "{report}");
    let (code, report, _) = check(&[demo, "--sha256", &"0".repeat(64)]);
    assert_eq!(code, Some(1));
    assert!(report.contains("sha256 pins 0000"), "{report}");
    let (code, _, error) = check(&[demo, "--transcript", "no/such.jsonl"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("no/such.jsonl"), "{error}");
}

#[test]
fn each_hostile_component_is_rejected_with_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    let all = hostile();
    let paths: Vec<_> = all
        .iter()
        .map(|hostile| hostile.guest.write(folder.path(), &hostile.name))
        .collect();
    let mut command = Command::new(program("aod"));
    command.args(["runtime", "check", "--json"]).args(&paths);
    let (code, reports, _) = output(&mut command);
    assert_eq!(code, Some(1));
    let reports: Vec<Value> = serde_json::from_str(&reports).unwrap();
    assert_eq!(reports.len(), all.len());
    for (hostile, report) in all.iter().zip(&reports) {
        let findings = report["findings"].as_array().unwrap();
        let told = findings.iter().any(|finding| {
            let detail = finding["detail"].as_str().unwrap();
            finding["verdict"] == "failed" && detail.contains(&hostile.cause)
        });
        assert!(told, "{}: {report:#}", hostile.name);
    }
}

#[test]
fn a_manifest_is_checked_with_what_it_declares() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runtimes.toml");
    let demo = plugin("demo");
    let text = format!(
        "[runtime.a]\ncomponent = {demo:?}\nlimits = {{ call_deadline = \"30s\" }}\n\
         [runtime.b]\ncomponent = 7\n[runtime.c]\ncomponent = \"gone.wasm\"\n"
    );
    std::fs::write(&path, text).unwrap();
    let (code, report, _) = aod(&["runtime", "check", path.to_str().unwrap()]);
    assert_eq!(code, Some(1));
    for told in ["runtimes.toml:5:13", "gone.wasm", "passed\n"] {
        assert!(report.contains(told), "{told}: {report}");
    }
}

/// Each adapter's scenarios lie in its folder.
#[test]
fn the_adapters_play_their_scenarios() {
    let plugins = aod_e2e::repository().join("plugins");
    let mut played = 0;
    for folder in std::fs::read_dir(plugins).unwrap() {
        let folder = folder.unwrap();
        let name = folder.file_name().into_string().unwrap();
        let Ok(scenarios) = std::fs::read_dir(folder.path().join("tests/scenarios")) else {
            continue;
        };
        for scenario in scenarios {
            let scenario = scenario.unwrap().path();
            let (component, scenario) = (plugin(&name), scenario.to_str().unwrap().to_owned());
            let component = component.to_str().unwrap();
            let patient = ["runtime", "check", "--call-deadline", "30s", component];
            let (code, report, error) = aod(&[&patient[..], &["--scenario", &scenario]].concat());
            assert_eq!(code, Some(0), "{scenario}: {report}{error}");
            played += 1;
        }
    }
    assert!(played > 0);
}
