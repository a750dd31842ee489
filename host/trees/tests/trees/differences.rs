//! What is different between two trees.

use std::fs::{self, File, Permissions};
use std::ops::ControlFlow;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::SystemTime;

use aod_trees::{Compared, Folder, Limits, compare};
use proptest::prelude::*;

/// What is told of two folders: paths, with whether each was and is there.
fn differences(
    before: &Path,
    after: &Path,
    limits: Limits,
) -> (Vec<(String, bool, bool)>, Compared) {
    let (before, after) = (Folder::open(before).unwrap(), Folder::open(after).unwrap());
    let mut told = Vec::new();
    let compared = compare(Some(&before), &after, &limits, &mut |found| {
        let path = found.path.to_string_lossy().into_owned();
        told.push((path, found.before.is_some(), found.after.is_some()));
        ControlFlow::Continue(())
    });
    (told, compared.unwrap())
}

fn told(before: &Path, after: &Path) -> Vec<(String, bool, bool)> {
    let (told, compared) = differences(before, after, Limits::default());
    assert_eq!(compared, Compared::Whole);
    told
}

#[test]
fn each_kind_of_change_is_told_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let (before, after) = (root.path().join("before"), root.path().join("after"));
    for folder in [&before, &after] {
        fs::create_dir_all(folder.join("a/b")).unwrap();
        fs::create_dir(folder.join("empty")).unwrap();
        for (name, content) in [
            ("a/b/same", "same"),
            ("a/mode", "same"),
            ("length", "x"),
            ("content", "one"),
            ("turns", "file"),
        ] {
            fs::write(folder.join(name), content).unwrap();
        }
        symlink("/nowhere", folder.join("a/link")).unwrap();
        symlink("length", folder.join("moved")).unwrap();
    }
    assert_eq!(told(&before, &after), []);
    // Another time alone is no change.
    let file = File::options()
        .append(true)
        .open(after.join("a/b/same"))
        .unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(told(&before, &after), []);

    fs::set_permissions(after.join("a/mode"), Permissions::from_mode(0o755)).unwrap();
    fs::write(after.join("length"), "xy").unwrap();
    fs::write(after.join("content"), "two").unwrap();
    fs::remove_file(after.join("turns")).unwrap();
    fs::create_dir(after.join("turns")).unwrap();
    fs::write(after.join("turns/in"), "new").unwrap();
    fs::remove_file(after.join("moved")).unwrap();
    symlink("content", after.join("moved")).unwrap();
    fs::create_dir_all(after.join("new/er")).unwrap();
    fs::write(after.join("new/er/file"), "new").unwrap();
    fs::remove_dir_all(after.join("a/b")).unwrap();
    let expected = [
        ("content", true, true),
        ("length", true, true),
        ("moved", true, true),
        ("turns", true, false),
        ("a/mode", true, true),
        ("a/b/same", true, false),
        ("new/er/file", false, true),
        ("turns/in", false, true),
    ];
    let expected = expected.map(|(path, was, is)| (path.to_owned(), was, is));
    assert_eq!(told(&before, &after), expected);
}

#[test]
fn files_that_are_one_are_not_read_and_links_are_not_followed() {
    let root = tempfile::tempdir().unwrap();
    let (before, after) = (root.path().join("before"), root.path().join("after"));
    for folder in [&before, &after] {
        fs::create_dir(folder).unwrap();
        symlink("/", folder.join("root")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            folder.join("fifo"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();
    }
    // To read this would take longer than the test.
    let big = File::create(before.join("big")).unwrap();
    big.set_len(1 << 42).unwrap();
    fs::hard_link(before.join("big"), after.join("big")).unwrap();
    assert_eq!(told(&before, &after), []);
}

#[test]
fn what_is_nested_too_deep_is_left_out_and_said_to_be() {
    let root = tempfile::tempdir().unwrap();
    let (before, after) = (root.path().join("before"), root.path().join("after"));
    fs::create_dir(&before).unwrap();
    fs::create_dir_all(after.join("1/2/3/4")).unwrap();
    fs::write(after.join("1/2/seen"), "").unwrap();
    fs::write(after.join("1/2/3/4/unseen"), "").unwrap();
    let limits = Limits {
        depth: 3,
        ..Limits::default()
    };
    let (told, compared) = differences(&before, &after, limits);
    assert_eq!(told, [("1/2/seen".to_owned(), false, true)]);
    assert_eq!(compared, Compared::InPart);
}

proptest! {
    /// Trees that are made of the same names and contents are told apart exactly by these.
    #[test]
    fn two_trees_differ_by_what_was_written(
        before in prop::collection::btree_map("[ab](/[cd]){0,2}/f", "[xy]{1,2}", 0..12),
        after in prop::collection::btree_map("[ab](/[cd]){0,2}/f", "[xy]{1,2}", 0..12),
    ) {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, files: &std::collections::BTreeMap<String, String>| {
            let folder = root.path().join(name);
            fs::create_dir(&folder).unwrap();
            for (path, content) in files {
                let path = folder.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
            folder
        };
        let mut found = told(&write("before", &before), &write("after", &after));
        found.sort();
        let paths: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let expected: Vec<_> = paths
            .into_iter()
            .filter(|path| before.get(*path) != after.get(*path))
            .map(|path| (path.clone(), before.contains_key(path), after.contains_key(path)))
            .collect();
        prop_assert_eq!(found, expected);
    }
}
