//! Published versions of the interface are never edited: `wit/frozen.toml` has their digests.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use aod_runtime::Digest;

/// Digests by version and file.
type Frozen = BTreeMap<String, BTreeMap<String, String>>;

/// What differs between a folder of versions and what was frozen of it.
fn differences(wit: &Path, frozen: &str) -> Vec<String> {
    let frozen: Frozen = toml::from_str(frozen).unwrap();
    let mut found = Vec::new();
    for (version, mut files) in frozen {
        let folder = wit.join(&version);
        let Ok(entries) = fs::read_dir(&folder) else {
            found.push(format!("{version} is gone"));
            continue;
        };
        for entry in entries {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            match files.remove(&name) {
                None => found.push(format!("{version}/{name} was added")),
                Some(digest) => {
                    let today = fs::read(entry.path()).map(|bytes| Digest::of(&bytes).to_string());
                    if today.unwrap_or_default() != digest {
                        found.push(format!("{version}/{name} was changed"));
                    }
                }
            }
        }
        found.extend(files.keys().map(|name| format!("{version}/{name} is gone")));
    }
    found
}

#[test]
fn published_versions_are_as_they_were_published() {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let frozen = fs::read_to_string(wit.join("frozen.toml")).unwrap();
    let differences = differences(&wit, &frozen);
    assert!(
        differences.is_empty(),
        "a published version of the interface is never edited, see wit/README.md: {differences:?}"
    );
}

#[test]
fn every_kind_of_change_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let version = folder.path().join("1.0.0");
    fs::create_dir(&version).unwrap();
    fs::write(version.join("a.wit"), "a").unwrap();
    fs::write(version.join("b.wit"), "b").unwrap();
    let frozen = format!(
        "[\"1.0.0\"]\n\"a.wit\" = \"{}\"\n\"b.wit\" = \"{}\"\n",
        Digest::of(b"a"),
        Digest::of(b"b")
    );
    let now = || differences(folder.path(), &frozen);
    assert!(now().is_empty());
    // A version that is still in preparation is not frozen.
    fs::create_dir(folder.path().join("1.1.0")).unwrap();
    fs::write(folder.path().join("1.1.0/a.wit"), "new").unwrap();
    assert!(now().is_empty());

    fs::write(version.join("a.wit"), "a // only a comment").unwrap();
    assert_eq!(now(), ["1.0.0/a.wit was changed"]);
    fs::write(version.join("a.wit"), "a").unwrap();
    fs::write(version.join("c.wit"), "c").unwrap();
    assert_eq!(now(), ["1.0.0/c.wit was added"]);
    fs::remove_file(version.join("c.wit")).unwrap();
    fs::remove_file(version.join("b.wit")).unwrap();
    assert_eq!(now(), ["1.0.0/b.wit is gone"]);
    fs::remove_dir_all(&version).unwrap();
    assert_eq!(now(), ["1.0.0 is gone"]);
}
