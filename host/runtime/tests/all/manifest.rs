//! Mistakes in `runtimes.toml`, and where they are said to be.

use std::path::Path;
use std::time::Duration;

use aod_runtime::manifest::Manifest;
use aod_runtime::types::InstallStep;
use proptest::prelude::*;

fn parse(text: &str) -> Manifest {
    Manifest::parse(Path::new("/etc/aod/runtimes.toml"), text)
}

#[test]
fn everything_that_may_stand_there() {
    let manifest = parse(
        r#"
[runtime.acme]
component = "plugins/acme.wasm"
sha256 = "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"
command = "/opt/acme/bin/acme"
install = { npm = "@acme/cli@1.2.3" }
enabled = false
env = { QUIET = "1" }
limits = { memory = "128MiB", call_deadline = "1s" }
options = { args = ["--acp"], when = 2026-01-02, deep = { ratio = 0.5 } }
[[runtime.acme.models]]
id = "acme/m-2"
label = "M 2"
[[runtime.acme.models]]
id = "acme/m-1"
hidden = true

[runtime.other]
component = "/abs/other.wasm"
install = { steps = [["sh", "-c", "true"], ["ln", "-s", "x", "$PREFIX/bin"]] }
"#,
    );
    assert_eq!(
        manifest.problems().count(),
        0,
        "{:?}",
        manifest.problems().collect::<Vec<_>>()
    );
    let acme = manifest.runtimes["acme"].as_ref().unwrap();
    assert_eq!(acme.component, Path::new("/etc/aod/plugins/acme.wasm"));
    assert!(acme.sha256.is_some() && !acme.enabled);
    assert_eq!(acme.settings.command.as_deref(), Some("/opt/acme/bin/acme"));
    assert_eq!(
        acme.settings.install,
        Some(vec![InstallStep::Npm("@acme/cli@1.2.3".into())])
    );
    assert_eq!(acme.settings.env["QUIET"], "1");
    assert_eq!(acme.settings.limits.memory, 128 << 20);
    assert_eq!(acme.settings.limits.call_deadline, Duration::from_secs(1));
    let options: serde_json::Value = serde_json::from_str(&acme.settings.options).unwrap();
    assert_eq!(
        options,
        serde_json::json!({"args": ["--acp"], "when": "2026-01-02", "deep": {"ratio": 0.5}})
    );
    assert_eq!(acme.models.len(), 2);
    assert!(acme.models[1].hidden);
    let other = manifest.runtimes["other"].as_ref().unwrap();
    assert_eq!(other.component, Path::new("/abs/other.wasm"));
    assert!(other.enabled);
    assert_eq!(other.settings.install.as_ref().unwrap().len(), 2);
}

#[test]
fn mistakes_have_a_place() {
    let good = "\n[runtime.good]\ncomponent = \"g.wasm\"\n";
    for (text, place, word) in [
        ("[runtime.a]\ncomponent = \"a\"\nfoo = 1\n", "3:1", "foo"),
        ("[runtime.a]\ncomponent = 3\n", "2:13", "string"),
        ("[runtime.a]\nenabled = true\n", "1:1", "component"),
        ("[runtime.a]\ncomponent = \"\"\n", "2:13", "no file"),
        ("[runtime.A]\ncomponent = \"a\"\n", "1:10", "not a name"),
        (
            "[runtime.a]\ncomponent = \"a\"\nsha256 = \"12\"\n",
            "3:10",
            "64",
        ),
        (
            "[runtime.a]\ncomponent = \"a\"\nenabled = \"yes\"\n",
            "3:11",
            "boolean",
        ),
        (
            "[runtime.a]\ncomponent = \"a\"\nlimits = { memory = \"64MB\" }\n",
            "3:21",
            "64MiB",
        ),
        (
            "[runtime.a]\ncomponent = \"a\"\nlimits = { memory = \"2GiB\" }\n",
            "3:21",
            "1GiB",
        ),
        (
            "[runtime.a]\ncomponent = \"a\"\nlimits = { call_deadline = \"1h\" }\n",
            "3:28",
            "250ms",
        ),
        (
            "[runtime.a]\ncomponent = \"a\"\nlimits = { stack = \"1MiB\" }\n",
            "3:12",
            "stack",
        ),
        (
            "[runtime.a]\ncomponent = \"a\"\nenv = { \"A-B\" = \"1\" }\n",
            "3:9",
            "A-B",
        ),
        (
            "[runtime.a]\ncomponent = \"a\"\nenv = { A = 1 }\n",
            "3:13",
            "string",
        ),
        (
            "[runtime.a]\ncomponent = \"a\"\ninstall = { npm = \"x\", steps = [] }\n",
            "3:11",
            "either",
        ),
        (
            "[runtime.a]\ncomponent = \"a\"\ninstall = { steps = [[]] }\n",
            "3:11",
            "no program",
        ),
        (
            "[runtime.a]\ncomponent = \"a\"\ncommand = \"\"\n",
            "3:11",
            "no program",
        ),
        (
            "[runtime.a]\ncomponent = \"a\"\noptions = { x = nan }\n",
            "3:11",
            "NaN",
        ),
        (
            "[runtime.a]\ncomponent = \"a\"\n[[runtime.a.models]]\nid = \"m\"\n",
            "4:6",
            "provider/",
        ),
        (
            "[runtime.a]\ncomponent = \"a\"\n[[runtime.a.models]]\nid = \"p/m\"\n[[runtime.a.models]]\nid = \"p/m\"\n",
            "6:6",
            "twice",
        ),
        (
            "[runtime.a]\ncomponent = \"a\"\n[runtime.a]\ncomponent = \"b\"\n",
            "3:10",
            "duplicate",
        ),
        (
            "[runtime.a]\ncomponent = \"a\"\ncomponent = \"b\"\n",
            "3:1",
            "duplicate",
        ),
        (
            "[runtime.a]\ncomponent = \"a\"\nenv = { HOME = \"/x\" }\n",
            "3:9",
            "set by the sandbox",
        ),
        (
            "[runtime.a]\ncomponent = \"a\"\ncommand = \"./\"\n",
            "3:11",
            "no program",
        ),
        // What is missing may follow from what is not closed.
        ("[runtime.a\n", "1:11", "]"),
        ("[runtime.a\ncomponent = \"a\"\n", "1:11", "]"),
        ("[runtime.a]\ncomponent = \n", "2:13", ""),
        ("[runtime.a]\ncomponent = \"é\" x\n", "2:17", ""),
    ] {
        let text = format!("{text}{good}");
        let manifest = parse(&text);
        let error = match &manifest.runtimes.get("a").or(manifest.runtimes.get("A")) {
            Some(Err(error)) => error.to_string(),
            other => panic!("{text}: {other:?} {:?}", manifest.errors),
        };
        assert!(
            error.starts_with(&format!("/etc/aod/runtimes.toml:{place}: ")) && error.contains(word),
            "{text}\n{error}"
        );
        assert!(manifest.runtimes["good"].is_ok(), "{text}");
    }
}

#[test]
fn a_command_with_a_slash_is_a_path_from_the_files_folder_on() {
    for (command, expected) in [
        ("mynah", "mynah"),
        ("./mynah", "/etc/aod/mynah"),
        ("bin/mynah", "/etc/aod/bin/mynah"),
        ("../bin/./mynah", "/etc/bin/mynah"),
        ("/opt/x/../mynah", "/opt/mynah"),
    ] {
        let manifest = parse(&format!(
            "[runtime.a]\ncomponent = \"a\"\ncommand = {command:?}\n"
        ));
        let declared = manifest.runtimes["a"].as_ref().unwrap();
        assert_eq!(declared.settings.command.as_deref(), Some(expected));
    }
}

#[test]
fn mistakes_that_belong_to_no_runtime() {
    for (text, place) in [
        ("version = 1\n", "1:1"),
        ("[other]\nx = 1\n", "1:2"),
        ("runtime = 3\n", "1:11"),
    ] {
        let manifest = parse(text);
        assert_eq!(manifest.errors.len(), 1, "{text}");
        assert_eq!(manifest.errors[0].at.position.to_string(), place, "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let manifest = parse(&String::from_utf8_lossy(&bytes));
        prop_assert!(manifest.problems().all(|problem| problem.at.position.line >= 1));
    }

    #[test]
    fn no_rubble_of_toml_makes_it_panic(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "[runtime.a]", "[[runtime.a.models]]", "[runtime", "component", " = ", "\"x\"", "\n",
            "id", "'", "\"\"\"", "{", "}", "[", "]", "3", "nan", "é", "\u{0}", ".", ",", "runtime",
            "options", "limits", "memory", "install", "steps", "npm", "env", "#", "1979-05-27",
        ]), 0..60),
    ) {
        let manifest = parse(&pieces.concat());
        for problem in manifest.problems() {
            prop_assert!(problem.to_string().contains("runtimes.toml:"));
        }
    }
}

#[test]
fn rubbish_in_a_file_is_an_error_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runtimes.toml");
    std::fs::write(&path, b"[runtime.a]\nx = \"\xff\"\n").unwrap();
    let error = Manifest::read(&path).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("runtimes.toml:2:6: is not UTF-8"),
        "{error}"
    );
    let error = Manifest::read(&folder.path().join("none.toml")).unwrap_err();
    assert!(error.to_string().contains("none.toml:1:1"), "{error}");
}

/// The keys that a table may have, as the refusal of another one lists them.
fn keys(table: &str) -> Vec<String> {
    let manifest = parse(&format!("[runtime.a]\ncomponent = \"a\"\n{table}\n"));
    let error = manifest.runtimes["a"].as_ref().unwrap_err().to_string();
    let (_, expected) = error.split_once("expected ").expect("the keys are listed");
    let quoted = expected.split('`').skip(1).step_by(2);
    quoted.map(str::to_owned).collect()
}

#[test]
fn every_key_is_documented() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/runtimes-toml.md");
    let text = std::fs::read_to_string(reference).unwrap();
    for (table, heading, fewest) in [
        ("no-such-key = 1", "## `[runtime.NAME]`", 10),
        ("install = { no-such-key = 1 }", "### `install`", 2),
        ("limits = { no-such-key = 1 }", "### `limits`", 3),
        (
            "oauth = { 'a:b' = { token_url = 'https://a', client_id = 'c', no-such-key = 1 } }",
            "### `[runtime.NAME.oauth.CREDENTIAL]`",
            7,
        ),
        (
            "usage = { p = { no-such-key = [] } }",
            "### `[runtime.NAME.usage.PROVIDER]`",
            6,
        ),
        (
            "[[runtime.a.models]]\nno-such-key = 1",
            "### `[[runtime.NAME.models]]`",
            3,
        ),
    ] {
        let (_, section) = text.split_once(heading).expect(heading);
        let section = section.split("\n#").next().unwrap();
        let known = keys(table);
        assert!(known.len() >= fewest, "{known:?}");
        for key in &known {
            let row = format!("\n| `{key}` |");
            assert!(section.contains(&row), "{key} is not below {heading}");
        }
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        assert_eq!(rows.count(), known.len(), "{heading}");
    }
}
