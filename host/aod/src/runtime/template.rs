//! `aod runtime new`: the project of an adapter.
//!
//! The SDK is written into the project, as this program was built with it: the project builds
//! anywhere, and speaks the interface that this server knows.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// Files of the template, by their place in the project. `NAME` stands for the runtime's name.
const TEMPLATE: [(&str, &str); 7] = [
    ("Cargo.toml", include_str!("../../template/Cargo.toml.in")),
    ("README.md", include_str!("../../template/README.md.in")),
    (
        "runtimes.toml",
        include_str!("../../template/runtimes.toml.in"),
    ),
    (".gitignore", "/target\n*.wasm\n"),
    ("src/lib.rs", include_str!("../../template/src/lib.rs.in")),
    (
        "tests/adapter.rs",
        include_str!("../../template/tests/adapter.rs.in"),
    ),
    ("sdk/Cargo.toml", include_str!("../../template/sdk.toml.in")),
];

/// Recorded output for the template's test.
const TRANSCRIPTS: [(&str, &str); 2] = [
    (
        "tests/transcripts/hello.jsonl",
        include_str!("../../template/tests/transcripts/hello.jsonl"),
    ),
    (
        "tests/transcripts/hello.exit.json",
        include_str!("../../template/tests/transcripts/hello.exit.json"),
    ),
];

macro_rules! sdk {
    ($path:literal) => {
        (
            concat!("sdk/src/", $path),
            include_str!(concat!("../../../../plugins/sdk/src/", $path)),
        )
    };
}

/// The SDK's sources.
const SDK: [(&str, &str); 22] = [
    sdk!("adapter.rs"),
    sdk!("bindings.rs"),
    sdk!("context.rs"),
    sdk!("defaults.rs"),
    sdk!("driver.rs"),
    sdk!("ending.rs"),
    sdk!("export.rs"),
    sdk!("failure.rs"),
    sdk!("fragments.rs"),
    sdk!("json.rs"),
    sdk!("lib.rs"),
    sdk!("mcp.rs"),
    sdk!("out.rs"),
    sdk!("plain.rs"),
    sdk!("policies.rs"),
    sdk!("testing/dialogue.rs"),
    sdk!("testing/launches.rs"),
    sdk!("testing/laws.rs"),
    sdk!("testing/mod.rs"),
    sdk!("testing/recording.rs"),
    sdk!("testing/replay.rs"),
    sdk!("title.rs"),
];

macro_rules! wit {
    ($path:literal) => {
        (
            concat!("sdk/wit/1.0.0/", $path),
            include_str!(concat!("../../../../wit/1.0.0/", $path)),
        )
    };
}

/// The interface, and where the SDK looks for it here and in the project.
const INTERFACE: [(&str, &str); 7] = [
    wit!("content.wit"),
    wit!("conversations.wit"),
    wit!("description.wit"),
    wit!("events.wit"),
    wit!("input.wit"),
    wit!("launching.wit"),
    wit!("runtime.wit"),
];
const WIT_HERE: &str = "../../wit/1.0.0";
const WIT_THERE: &str = "wit/1.0.0";

/// Writes the project of the runtime `name` into `dir`.
pub(super) fn write(name: &str, dir: &Path) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    ensure!(
        name.len() <= 48
            && name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.chars().all(plain),
        "{name:?} is not a name for a runtime: use a-z, 0-9 and -, at most 48, a letter first"
    );
    let empty = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(_) => !dir.exists(),
    };
    ensure!(
        empty,
        "{} is there already: name another folder with --dir",
        dir.display()
    );
    for (path, text) in TEMPLATE {
        write_file(&dir.join(path), &text.replace("NAME", name))?;
    }
    for (path, text) in SDK {
        let text = match path {
            "sdk/src/bindings.rs" => text.replace(WIT_HERE, WIT_THERE),
            _ => text.to_owned(),
        };
        write_file(&dir.join(path), &text)?;
    }
    for (path, text) in TRANSCRIPTS.into_iter().chain(INTERFACE) {
        write_file(&dir.join(path), text)?;
    }
    Ok(())
}

fn write_file(path: &Path, text: &str) -> Result<()> {
    let written = match path.parent() {
        Some(folder) => fs::create_dir_all(folder),
        None => Ok(()),
    };
    written
        .and_then(|()| fs::write(path, text))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use super::*;

    fn sources(folder: &Path, found: &mut BTreeSet<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => sources(&path, found),
                false => _ = found.insert(path),
            }
        }
    }

    #[test]
    fn all_of_the_sdk_is_written() {
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/sdk");
        let mut there = BTreeSet::new();
        sources(&sdk.join("src"), &mut there);
        let written = SDK
            .iter()
            .map(|(path, _)| sdk.join(path.strip_prefix("sdk/").unwrap()));
        assert_eq!(there, written.collect());
        let mut there = BTreeSet::new();
        sources(&sdk.join("../../wit/1.0.0"), &mut there);
        let written = INTERFACE
            .iter()
            .map(|(path, _)| sdk.join("../..").join(path.strip_prefix("sdk/").unwrap()));
        assert_eq!(there, written.collect());
        let bindings = fs::read_to_string(sdk.join("src/bindings.rs")).unwrap();
        assert!(
            bindings.contains(WIT_HERE),
            "the interface is elsewhere now"
        );
    }

    #[test]
    fn nothing_is_overwritten_and_names_are_checked() {
        let folder = tempfile::tempdir().unwrap();
        for bad in ["", "A", "-a", "a b", "../a", "ä"] {
            assert!(write(bad, &folder.path().join("x")).is_err(), "{bad}");
        }
        let place = folder.path().join("parrot");
        write("parrot", &place).unwrap();
        let text = fs::read_to_string(place.join("src/lib.rs")).unwrap();
        assert!(
            text.contains("\"parrot\"") && !text.contains("NAME"),
            "{text}"
        );
        let error = write("parrot", &place).unwrap_err().to_string();
        assert!(error.contains("--dir"), "{error}");
    }
}
