//! The registry: loading, reloading, and adapters that outlive their declaration.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use aod_runtime::types::OutputSource;
use aod_runtime::{Change, Digest, Health, KeptError, Registry, RuntimeError};

use crate::{context, engine};
use aod_guests::Guest;

fn load(folder: &Path, toml: &str) -> Registry {
    let manifest = folder.join("runtimes.toml");
    fs::write(&manifest, toml).unwrap();
    Registry::load(
        engine().clone(),
        &manifest,
        &folder.join("cwasm"),
        &folder.join("adapters"),
    )
}

fn failure(registry: &Registry, runtime: &str) -> String {
    match &registry.snapshot().runtimes[runtime].health {
        Health::Failed(error) | Health::Stale(_, error) => error.to_string(),
        other => panic!("{runtime}: {other:?}"),
    }
}

#[test]
fn one_bad_runtime_does_not_take_down_the_others() {
    let folder = tempfile::tempdir().unwrap();
    Guest::default().write(folder.path(), "good");
    Guest {
        describe: "unreachable",
        ..Guest::default()
    }
    .write(folder.path(), "trap");
    Guest {
        describe: "(loop $l (br $l)) unreachable",
        ..Guest::default()
    }
    .write(folder.path(), "loop");
    Guest {
        version: "2.0.0",
        ..Guest::default()
    }
    .write(folder.path(), "version");
    let pin = "0".repeat(64);
    let registry = load(
        folder.path(),
        &format!(
            r#"[runtime.good]
component = "good.wasm"

[runtime.trap]
component = "trap.wasm"

[runtime.loop]
component = "loop.wasm"

[runtime.version]
component = "version.wasm"

[runtime.missing]
component = "nowhere.wasm"

[runtime.pinned]
component = "good.wasm"
sha256 = "{pin}"

[runtime.off]
component = "nowhere.wasm"
enabled = false

[runtime.typo]
componant = "good.wasm"

[runtime.last]
component = "good.wasm"
"#
        ),
    );
    let snapshot = registry.snapshot();
    for ready in ["good", "last"] {
        let adapter = snapshot.adapter(ready).expect(ready);
        assert!(adapter.converse(&context("a/b"), None).is_ok());
    }
    assert!(matches!(snapshot.runtimes["off"].health, Health::Disabled));
    for (runtime, place, word) in [
        ("trap", "runtimes.toml:5:13", "crashed"),
        ("loop", "runtimes.toml:8:13", "250 ms"),
        ("version", "runtimes.toml:11:13", "2.0.0"),
        ("missing", "runtimes.toml:14:13", "nowhere.wasm"),
        ("pinned", "runtimes.toml:18:10", &pin),
        ("typo", "runtimes.toml:25:1", "componant"),
    ] {
        let error = failure(&registry, runtime);
        assert!(
            error.contains(place) && error.contains(word),
            "{runtime}: {error}"
        );
    }
    assert_eq!(snapshot.runtimes.len(), 9);
}

#[test]
fn a_pin_that_fits_is_accepted_and_one_that_does_not_is_never_compiled() {
    let folder = tempfile::tempdir().unwrap();
    let path = Guest::default().write(folder.path(), "guest");
    let digest = Digest::of(&fs::read(path).unwrap());
    let toml = format!("[runtime.x]\ncomponent = \"guest.wasm\"\nsha256 = \"{digest}\"\n");
    let registry = load(folder.path(), &toml);
    assert_eq!(registry.get("x").unwrap().digest(), digest);
    fs::write(folder.path().join("guest.wasm"), "not even WASM").unwrap();
    registry.reload();
    assert!(
        failure(&registry, "x").contains("pins"),
        "the pin comes first"
    );
    assert_eq!(registry.get("x").unwrap().digest(), digest);
}

#[test]
fn reload_says_what_it_did_and_leaves_running_turns_alone() {
    let folder = tempfile::tempdir().unwrap();
    Guest::default().write(folder.path(), "one");
    let one = "[runtime.one]\ncomponent = \"one.wasm\"\n";
    let two = "[runtime.two]\ncomponent = \"one.wasm\"\n";
    let registry = load(folder.path(), one);
    let adapter = registry.get("one").unwrap();
    let mut conversation = adapter.converse(&context("a/b"), None).unwrap();

    let change = |toml: &str| -> Vec<(String, Change)> {
        fs::write(folder.path().join("runtimes.toml"), toml).unwrap();
        registry
            .reload()
            .into_iter()
            .map(|report| (report.runtime, report.change))
            .collect()
    };
    let reports = change(&format!("{one}\n{two}"));
    assert!(matches!(reports[0], (_, Change::Unchanged)), "{reports:?}");
    assert!(matches!(reports[1], (_, Change::Added)), "{reports:?}");
    assert!(std::sync::Arc::ptr_eq(
        &adapter,
        &registry.get("one").unwrap()
    ));

    let reports = change(&format!("{one}options = {{ level = 3 }}\n"));
    assert!(matches!(reports[0], (_, Change::Changed)), "{reports:?}");
    assert!(
        matches!(&reports[1], (name, Change::Removed) if name == "two"),
        "{reports:?}"
    );
    assert_eq!(registry.get("one").unwrap().options(), r#"{"level":3}"#);
    assert_eq!(adapter.options(), "{}");

    Guest {
        tick: "i32.const 2052",
        ..Guest::default()
    }
    .write(folder.path(), "one");
    assert!(matches!(registry.reload()[0].change, Change::Changed));
    let digest = adapter.digest();
    assert_ne!(registry.get("one").unwrap().digest(), digest);
    assert_eq!(registry.by_digest("one", digest).unwrap().digest(), digest);
    assert!(conversation.feed(OutputSource::Stdout, "x\n").is_ok());

    // A file that cannot be read changes nothing.
    fs::remove_file(folder.path().join("runtimes.toml")).unwrap();
    assert!(registry.reload().is_empty());
    assert!(registry.get("one").is_some());
    assert_eq!(registry.snapshot().errors.len(), 1);
}

#[test]
fn adapters_that_sessions_began_with_stay_until_nobody_needs_them() {
    let folder = tempfile::tempdir().unwrap();
    Guest::default().write(folder.path(), "a");
    let old = load(folder.path(), "[runtime.a]\ncomponent = \"a.wasm\"\n")
        .get("a")
        .unwrap()
        .digest();
    // Another process: nothing is declared any more.
    let registry = load(folder.path(), "");
    let adapter = registry.by_digest("a", old).unwrap();
    assert!(adapter.converse(&context("a/b"), None).is_ok());
    assert!(std::sync::Arc::ptr_eq(
        &adapter,
        &registry.by_digest("a", old).unwrap()
    ));
    drop(adapter);

    registry.retain(&HashSet::from([old]));
    assert!(registry.by_digest("a", old).is_ok());
    registry.retain(&HashSet::new());
    assert!(matches!(
        registry.by_digest("a", old),
        Err(KeptError::Missing { .. })
    ));
}

#[test]
fn a_kept_component_that_was_tampered_with_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    Guest::default().write(folder.path(), "a");
    let digest = load(folder.path(), "[runtime.a]\ncomponent = \"a.wasm\"\n")
        .get("a")
        .unwrap()
        .digest();
    let kept = folder.path().join(format!("adapters/{digest}.wasm"));
    fs::write(
        &kept,
        Guest {
            tick: "i32.const 4",
            ..Guest::default()
        }
        .component(),
    )
    .unwrap();
    let registry = load(folder.path(), "");
    let error = registry.by_digest("a", digest).unwrap_err();
    assert!(matches!(error, KeptError::Component { .. }), "{error}");
}

#[test]
fn a_model_of_a_provider_that_the_adapter_does_not_serve_is_an_error_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    Guest::default().write(folder.path(), "a");
    let registry = load(
        folder.path(),
        "[runtime.a]\ncomponent = \"a.wasm\"\n[[runtime.a.models]]\nid = \"acme/m\"\n",
    );
    let snapshot = registry.snapshot();
    let Health::Failed(error) = &snapshot.runtimes["a"].health else {
        panic!()
    };
    assert!(matches!(**error, RuntimeError::Manifest(_)));
    assert!(error.to_string().contains("runtimes.toml:4:6"), "{error}");
}
