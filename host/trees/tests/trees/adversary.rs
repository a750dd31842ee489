//! Somebody renames and replaces folders while they are walked.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aod_trees::{Error, Limits, measure};

use crate::support::{TestFolder, as_each_user};

/// For how long each test goes on.
const LONG: Duration = Duration::from_secs(4);

/// Files outside that are looked at and touched by nobody. More than one, so that a walk which
/// gets there counts too much.
const VICTIMS: usize = 50;

/// Where a tree of some levels lies, and where its folders are moved to and fro.
struct Adversary {
    own: PathBuf,
    outside: PathBuf,
}

impl Adversary {
    /// Swaps folders with links that lead outside and with files, and moves them up and down.
    fn run(&self, stop: &AtomicBool) {
        let at = |path: &str| self.own.join(path);
        while !stop.load(Ordering::Relaxed) {
            // Each of these fails whenever the walk was quicker.
            let _ = fs::create_dir_all(at("tree/a/b/c/d/e"));
            let _ = fs::write(at("tree/a/b/file"), "x");
            let _ = fs::rename(at("tree/a/b/c"), at("aside"));
            let _ = symlink(&self.outside, at("tree/a/b/c"));
            let _ = fs::rename(at("tree/a/b"), at("up"));
            let _ = symlink(&self.outside, at("tree/a/b"));
            let _ = fs::remove_file(at("tree/a/b"));
            let _ = fs::rename(at("up"), at("tree/a/b"));
            let _ = fs::remove_file(at("tree/a/b/c"));
            let _ = fs::rename(at("aside"), at("tree/a/b/c"));
            let _ = fs::rename(at("tree/a"), at("moved"));
            let _ = symlink(&self.outside, at("tree/a"));
            let _ = fs::remove_file(at("tree/a"));
            let _ = fs::rename(at("moved"), at("tree/a"));
            // A deep part, so that what is renamed up is met, too.
            let mut deep = at("tree/a");
            deep.extend(["deep"; 60]);
            let _ = fs::create_dir_all(deep);
        }
    }
}

fn beside_an_adversary(place: &TestFolder, work: impl Fn()) {
    let outside = place.outside();
    for index in 0..VICTIMS {
        fs::create_dir_all(outside.join(format!("b{index}/c"))).unwrap();
        fs::write(outside.join(format!("b{index}/c/victim")), "kept").unwrap();
    }
    let adversary = Adversary {
        own: place.own(),
        outside: outside.clone(),
    };
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| adversary.run(&stop));
        let end = Instant::now() + LONG;
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            while Instant::now() < end {
                work();
            }
        }));
        stop.store(true, Ordering::Relaxed);
        if let Err(panic) = worked {
            std::panic::resume_unwind(panic);
        }
    });
    for index in 0..VICTIMS {
        let kept = fs::read(outside.join(format!("b{index}/c/victim"))).unwrap();
        assert_eq!(kept, b"kept");
    }
    place.check_gone("none");
}

#[test]
fn removing_never_leaves_the_tree() {
    as_each_user(|place| {
        let folder = place.folder();
        beside_an_adversary(place, || {
            let limits = Limits {
                time: Duration::from_millis(200),
                ..Limits::default()
            };
            match aod_trees::remove(&folder, OsStr::new("tree"), &limits) {
                Ok(_) | Err(Error::Bound(_) | Error::PutBack(_)) => {}
                Err(error) => panic!("{error}"),
            }
        });
    });
}

#[test]
fn measuring_never_leaves_the_tree() {
    as_each_user(|place| {
        let folder = place.folder();
        beside_an_adversary(place, || {
            match measure(&folder, &Limits::default()) {
                // The adversary's own is less than what lies outside.
                Ok(size) => assert!(size.bytes < VICTIMS as u64, "{size:?}"),
                Err(Error::Changed) => {}
                Err(error) => panic!("{error}"),
            }
        });
    });
}

#[test]
fn writing_never_leaves_the_tree() {
    as_each_user(|place| {
        let (folder, trash) = (place.folder(), place.trash());
        beside_an_adversary(place, || {
            // In the place of folders and beneath them: either is written inside or refused.
            for path in ["tree/a/b/c/file", "tree/a/b", "tree/a"] {
                let _ = folder.write(Path::new(path), 0o600, b"x", &trash);
            }
            let _ = trash.sweep(&Limits::default());
        });
        for found in ["file", "b", "a"] {
            assert!(!place.outside().join(found).exists(), "{found}");
        }
        assert!(!place.outside().join("c/file").exists());
    });
}

#[test]
fn who_puts_back_what_is_removed_is_told_from_success() {
    as_each_user(|place| {
        let folder = place.folder();
        let tree = place.own().join("tree");
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let _ = fs::create_dir(&tree);
                    let _ = fs::write(tree.join("file"), "");
                }
            });
            let end = Instant::now() + Duration::from_secs(1);
            while Instant::now() < end {
                let begun = Instant::now();
                let _ = aod_trees::remove(&folder, OsStr::new("tree"), &Limits::default());
                assert!(
                    begun.elapsed() < Duration::from_secs(30),
                    "it goes on for ever"
                );
            }
            stop.store(true, Ordering::Relaxed);
        });
    });
}
