use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::{SystemTime, UNIX_EPOCH};

use aod_resources::event::ChangeKind;
use uuid::Uuid;

use super::*;
use crate::Paths;

struct Fixture {
    _folder: tempfile::TempDir,
    paths: SessionPaths,
    before: PathBuf,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::create(&folder.path().join("data")).unwrap();
        let paths = paths.session(Uuid::new_v4());
        paths.create().unwrap();
        paths.create_sandbox().unwrap();
        fs::create_dir(paths.events()).unwrap();
        let before = folder.path().join("before");
        fs::create_dir(&before).unwrap();
        Self {
            _folder: folder,
            paths,
            before,
        }
    }

    /// Writes a file as it was before the turn, to both trees.
    fn had(&self, name: &str, text: &str) {
        for root in [&self.paths.workspace(), &self.before] {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.paths.workspace().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn watch(&self) -> Watch {
        Watch {
            paths: self.paths.clone(),
            turn: 1,
            before: Some(self.before.clone()),
            redactor: Redactor::new([]),
            secrets: "these".to_owned(),
            is_first: true,
            may_look: true,
        }
    }
}

/// A moment after all that was written, and before all that will be.
fn begin() -> i64 {
    std::thread::sleep(std::time::Duration::from_millis(30));
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_micros()).unwrap()
}

fn told(seen: &Seen) -> Vec<(&str, ChangeKind)> {
    let files = seen.files.iter();
    files.map(|file| (file.path.as_str(), file.kind)).collect()
}

#[test]
fn what_was_changed_is_found_and_nothing_else() {
    let place = Fixture::new();
    place.had("same", "same\n");
    place.had("text", "one\ntwo\n");
    place.had("gone", "x");
    place.had("folder/in/gone", "x");
    place.had("old/moved", "x");
    place.had("touched", "x");
    place.had("closed", "x");
    place.had(".git/index", "x");
    // Somebody else wrote that between the turns.
    place.write("uploaded", "x");
    let began = begin();
    let work = place.paths.workspace();
    place.write("text", "one\n2\n");
    place.write("new/deep", "x");
    place.write("touched", "x");
    place.write(".git/index", "y");
    place.write(".aod/attachments/1/a", "y");
    fs::remove_file(work.join("gone")).unwrap();
    fs::remove_dir_all(work.join("folder")).unwrap();
    fs::rename(work.join("old"), work.join("young")).unwrap();
    fs::set_permissions(work.join("closed"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink("nowhere", work.join("link")).unwrap();
    let mut watch = place.watch();
    let seen = watch.seen(began, &ToldPaths::default());
    use ChangeKind::{Created, Deleted, Modified};
    let expected = [
        ("closed", Modified),
        ("folder/in/gone", Deleted),
        ("gone", Deleted),
        ("link", Created),
        ("new/deep", Created),
        ("old/moved", Deleted),
        ("text", Modified),
        ("young/moved", Created),
    ];
    assert_eq!(told(&seen), expected);
    assert!(!seen.is_cut && seen.files.iter().all(|file| file.seen_by_host));
    assert!(matches!(seen.workspace, Some((bytes, true)) if bytes > 0));
    let text = seen.files.iter().find(|file| file.path == "text").unwrap();
    assert_eq!(
        text.diff.as_deref(),
        Some("--- a/text\n+++ b/text\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n")
    );
    // What was found once is what is told.
    place.write("later", "x");
    watch.may_look = false;
    let again = watch.seen(began, &ToldPaths::default());
    assert_eq!(again.files, seen.files);
}

#[test]
fn what_the_cli_told_is_not_told_again() {
    let place = Fixture::new();
    let began = begin();
    for name in ["a", "b", "c/d", "e", "f"] {
        place.write(name, "x");
    }
    let mut paths = ToldPaths::default();
    for (path, moved_from) in [
        ("/workspace/a", None),
        ("./x/../b", None),
        ("/workspace/c/d", Some("e")),
        ("/elsewhere/f", None),
        ("../../f", None),
    ] {
        let change = FileChange {
            path: path.to_owned(),
            kind: ChangeKind::Created,
            moved_from: moved_from.map(str::to_owned),
            diff: None,
            call_id: None,
            seen_by_host: false,
        };
        paths.take(&change, "/workspace");
    }
    let seen = place.watch().seen(began, &paths);
    assert_eq!(told(&seen), [("f", ChangeKind::Created)]);
}

#[test]
fn no_more_is_told_than_fits_and_secrets_are_not() {
    let place = Fixture::new();
    let began = begin();
    for n in 0..300 {
        place.write(&format!("node_modules/deep/{n}"), &"x".repeat(5_000));
    }
    place.write("own", "the key is sesame-open-4711\n");
    let mut watch = place.watch();
    watch.redactor = Redactor::new([("KEY", "sesame-open-4711")]);
    let seen = watch.seen(began, &ToldPaths::default());
    // A busy machine compares fewer in the time that it has, and the nearest first.
    assert!(seen.is_cut && seen.files.len() <= 200);
    let own = seen.files.iter().find(|file| file.path == "own").unwrap();
    let diff = own.diff.as_deref().unwrap();
    assert!(diff.contains("[redacted:KEY]"), "{diff}");
    let diffs: usize = seen
        .files
        .iter()
        .filter_map(|file| file.diff.as_ref())
        .map(String::len)
        .sum();
    assert!(diffs <= 512 << 10, "{diffs}");
}

/// A file may hold what was a secret in an earlier turn.
#[test]
fn no_diff_is_told_once_the_secrets_have_changed() {
    let place = Fixture::new();
    let diffs = |turn, secrets: &str| {
        let began = begin();
        place.write("f", &format!("{turn}\n"));
        let watch = Watch {
            turn,
            secrets: secrets.to_owned(),
            is_first: turn == 1,
            ..place.watch()
        };
        let seen = watch.seen(began, &ToldPaths::default());
        assert_eq!(told(&seen), [("f", ChangeKind::Created)]);
        seen.files[0].diff.is_some()
    };
    assert!(diffs(1, "these"));
    // Of a turn whose agent never ran, nothing is kept.
    assert!(diffs(3, "these"));
    assert!(!diffs(4, "others"));
    assert!(!diffs(5, "others"));
    assert!(!diffs(6, "these"));
    assert!(!diffs(7, ""));
}

#[test]
fn without_what_was_before_only_what_is_there_is_told() {
    let place = Fixture::new();
    place.had("old", "x");
    let began = begin();
    place.write("old", "y");
    place.write("new", "y");
    let mut watch = place.watch();
    watch.before = None;
    let seen = watch.seen(began, &ToldPaths::default());
    let kinds = [("new", ChangeKind::Created), ("old", ChangeKind::Modified)];
    assert_eq!(told(&seen), kinds);
    assert!(seen.files[0].diff.is_some() && seen.files[1].diff.is_none());
}
