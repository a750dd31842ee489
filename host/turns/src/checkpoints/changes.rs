//! What a turn has changed: two checkpoints of a session, compared.

use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aod_resources::event::ChangeKind;
use aod_resources::{ChangedFile, FilePath};
use aod_trees::{Bound, Compared, Difference, Error, Folder, Kind, Limits, compare};
use similar::TextDiff;

/// So many files are told.
const MOST: usize = 1_000;
/// A longer file has no diff.
const LONGEST: u64 = 256 << 10;
/// So many bytes of diffs are told.
const MOST_DIFFS: usize = 2 << 20;
/// How long one diff may take: what is found by then is right, and not the shortest.
const PATIENCE: Duration = Duration::from_millis(300);
/// How long all diffs may take.
const LONG: Duration = Duration::from_secs(10);
/// Bounds on what is looked at.
const LIMITS: Limits = Limits {
    entries: 2_000_000,
    depth: 512,
    time: Duration::from_secs(30),
};
/// What git keeps of a repository changes with all that it does, and tells nobody anything.
const GIT: &str = ".git";

/// Two workspaces, or one that is compared with nothing.
pub(super) struct Trees {
    pub(super) before: Option<PathBuf>,
    pub(super) after: PathBuf,
    /// What is left out.
    pub(super) left_out: Vec<PathBuf>,
}

/// What is different, and whether that is not all.
pub(super) fn changes(trees: &Trees) -> Result<(Vec<ChangedFile>, bool), Error> {
    let before = trees.before.as_deref().map(Folder::open_copy).transpose()?;
    let before = before.as_ref();
    let after = Folder::open_copy(&trees.after)?;
    let mut found = Vec::new();
    let mut is_cut = false;
    let compared = compare(before, &after, &LIMITS, &mut |difference| {
        let is_left_out = |path: &PathBuf| difference.path.starts_with(path);
        if difference.path.iter().any(|part| part == GIT) || trees.left_out.iter().any(is_left_out)
        {
            return ControlFlow::Continue(());
        }
        if found.len() == MOST {
            is_cut = true;
            return ControlFlow::Break(());
        }
        found.extend(changed(difference));
        ControlFlow::Continue(())
    });
    let is_cut = match compared {
        Ok(compared) => is_cut || compared == Compared::InPart,
        // What was found until then is told.
        Err(Error::Bound(Bound::Entries(_) | Bound::Millis(_))) => true,
        Err(error) => return Err(error),
    };
    found.sort_by(|(one, _), (other, _)| one.encoded_path.cmp(&other.encoded_path));
    let begun = Instant::now();
    let mut left = MOST_DIFFS;
    let with_diff = found.into_iter().map(|(mut file, path)| {
        if begun.elapsed() < LONG {
            file.diff = diff(before, &after, &path, &file).filter(|diff| diff.len() <= left);
            left -= file.diff.as_ref().map_or(0, String::len);
        }
        file
    });
    Ok((with_diff.collect(), is_cut))
}

/// What is told of a difference, and where it is. What no path can name is not told.
pub(crate) fn changed(difference: &Difference<'_>) -> Option<(ChangedFile, PathBuf)> {
    let path = FilePath::from_bytes(difference.path.as_os_str().as_bytes()).ok()?;
    let kind = match (difference.before, difference.after) {
        (None, _) => ChangeKind::Created,
        (_, None) => ChangeKind::Deleted,
        _ => ChangeKind::Modified,
    };
    let size = difference.after.map(|status| match status.kind {
        Kind::RegularFile => status.size,
        _ => 0,
    });
    let file = ChangedFile {
        path: path.to_string(),
        encoded_path: path.encode(),
        kind,
        size,
        diff: None,
    };
    Some((file, difference.path.to_owned()))
}

/// The unified diff of a file that is text in both trees.
pub(crate) fn diff(
    before: Option<&Folder>,
    after: &Folder,
    path: &Path,
    file: &ChangedFile,
) -> Option<String> {
    let text = |folder: Option<&Folder>| match folder {
        Some(folder) => String::from_utf8(folder.read(path, LONGEST).ok()?).ok(),
        None => Some(String::new()),
    };
    let old = text(before.filter(|_| file.kind != ChangeKind::Created))?;
    let new = text(Some(after).filter(|_| file.kind != ChangeKind::Deleted))?;
    if old.contains('\0') || new.contains('\0') {
        return None;
    }
    let compared = TextDiff::configure()
        .timeout(PATIENCE)
        .diff_lines(old.as_str(), new.as_str());
    let header = |side: &str, is_there| match is_there {
        true => format!("{side}/{}", file.path),
        false => "/dev/null".to_owned(),
    };
    let headers = (
        header("a", file.kind != ChangeKind::Created),
        header("b", file.kind != ChangeKind::Deleted),
    );
    let mut unified = compared.unified_diff();
    Some(unified.header(&headers.0, &headers.1).to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn texts_have_diffs_and_nothing_of_gits_is_told() {
        let root = tempfile::tempdir().unwrap();
        let place = |name: &str| {
            let place = root.path().join(name);
            fs::create_dir_all(place.join(".git")).unwrap();
            fs::create_dir_all(place.join("cloned")).unwrap();
            place
        };
        let (before, after) = (place("before"), place("after"));
        fs::write(before.join("text"), "one\ntwo\n").unwrap();
        fs::write(after.join("text"), "one\n2\n").unwrap();
        fs::write(after.join("binary"), [0, 159]).unwrap();
        fs::write(before.join("gone"), "gone\n").unwrap();
        fs::write(after.join(".git/index"), "x").unwrap();
        fs::write(after.join("cloned/file"), "x").unwrap();
        let mut trees = Trees {
            before: Some(before),
            after,
            left_out: Vec::new(),
        };
        let (files, is_cut) = changes(&trees).unwrap();
        let told: Vec<_> = files
            .iter()
            .map(|file| (file.path.as_str(), file.kind, file.diff.as_deref()))
            .collect();
        assert_eq!(
            told,
            [
                ("binary", ChangeKind::Created, None),
                (
                    "cloned/file",
                    ChangeKind::Created,
                    Some(
                        "--- /dev/null\n+++ b/cloned/file\n@@ -0,0 +1 @@\n+x\n\\ No newline at end of file\n"
                    )
                ),
                (
                    "gone",
                    ChangeKind::Deleted,
                    Some("--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-gone\n")
                ),
                (
                    "text",
                    ChangeKind::Modified,
                    Some("--- a/text\n+++ b/text\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n")
                ),
            ]
        );
        assert!(!is_cut);
        trees.before = None;
        trees.left_out = vec!["cloned".into()];
        let (files, _) = changes(&trees).unwrap();
        let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["binary", "text"]);
    }

    #[test]
    fn no_more_is_told_than_fits() {
        let root = tempfile::tempdir().unwrap();
        let after = root.path().join("after");
        fs::create_dir(&after).unwrap();
        for n in 0..=MOST {
            fs::write(after.join(format!("{n}")), "x".repeat(4_000)).unwrap();
        }
        let trees = Trees {
            before: None,
            after,
            left_out: Vec::new(),
        };
        let (files, is_cut) = changes(&trees).unwrap();
        assert!(is_cut);
        assert_eq!(files.len(), MOST);
        let diffs: usize = files
            .iter()
            .filter_map(|file| file.diff.as_ref())
            .map(String::len)
            .sum();
        assert!((1 << 20..=MOST_DIFFS).contains(&diffs), "{diffs}");
    }
}
