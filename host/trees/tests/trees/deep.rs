//! Trees of a hundred thousand levels, at everything that this crate does.

use std::ffi::OsStr;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use aod_trees::{Bound, Error, Limits, Sweeper, measure, walk};
use rustix::fs::{AtFlags, Mode, OFlags, chmodat, mkdirat, openat};

use crate::support::{DEEP, as_each_user, as_each_user_in_memory, chmod, is_root, nest, resident};

/// More than what a few buffers take, and far less than a path of the tree for each level.
const MEMORY: u64 = 24 << 20;

#[test]
fn a_deep_tree_is_removed() {
    as_each_user_in_memory(|place| {
        fs::create_dir(place.own().join("tree")).unwrap();
        drop(nest(&place.own().join("tree"), DEEP));
        let before = resident();
        let removed = place.remove("tree");
        assert_eq!(removed.entries as usize, DEEP + 1);
        assert!(resident() < before + MEMORY);
    });
}

#[test]
fn a_deep_tree_in_the_place_of_a_file_is_replaced() {
    as_each_user_in_memory(|place| {
        let (folder, trash) = (place.folder(), place.trash());
        let path = Path::new("skills/a/SKILL.md");
        fs::create_dir_all(place.own().join(path)).unwrap();
        drop(nest(&place.own().join(path), DEEP));
        folder.write(path, 0o640, b"content", &trash).unwrap();
        assert_eq!(fs::read(place.own().join(path)).unwrap(), b"content");
        trash.sweep(&Limits::default()).unwrap();
        assert!(trash.is_empty().unwrap());
    });
}

#[test]
fn a_deep_tree_is_measured_and_walked() {
    as_each_user_in_memory(|place| {
        let inner = nest(&place.own(), DEEP);
        let file = openat(&inner, "file", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR);
        rustix::io::write(file.unwrap(), b"12345").unwrap();
        let before = resident();
        let size = measure(&place.folder(), &Limits::default()).unwrap();
        assert_eq!(size.entries as usize, DEEP + 1);
        assert_eq!(size.bytes, 5);
        assert!(resident() < before + MEMORY);
        let limits = Limits {
            depth: 1000,
            ..Limits::default()
        };
        let error = measure(&place.folder(), &limits).unwrap_err();
        assert!(matches!(error, Error::Bound(Bound::Depth(1000))), "{error}");
        let mut deepest = 0;
        walk(&place.folder(), &Limits::default(), &mut |found| {
            deepest = found.depth;
            match deepest {
                5000 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        })
        .unwrap();
        assert_eq!(deepest, 5000);
        place.remove("d");
    });
}

#[test]
fn closed_folders_at_any_depth_are_opened_up() {
    as_each_user(|place| {
        // Paths of 1200 such names are longer than the kernel takes.
        let inner = nest(&place.own(), 1200);
        mkdirat(&inner, "closed", Mode::RWXU).unwrap();
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let closed = openat(&inner, "closed", flags, Mode::empty()).unwrap();
        mkdirat(&closed, "full", Mode::RWXU).unwrap();
        let full = openat(&closed, "full", flags, Mode::empty()).unwrap();
        mkdirat(&full, "empty", Mode::RWXU).unwrap();
        for (folder, name) in [(&closed, "full"), (&inner, "closed")] {
            chmodat(folder, name, Mode::empty(), AtFlags::empty()).unwrap();
        }
        if !is_root() {
            let refused = openat(&inner, "closed", flags, Mode::empty());
            assert_eq!(refused.unwrap_err(), rustix::io::Errno::ACCESS);
        }
        let size = measure(&place.folder(), &Limits::default()).unwrap();
        assert_eq!(size.entries, 1203);
        let mode = rustix::fs::statat(&inner, "closed", AtFlags::empty()).unwrap();
        assert_eq!(mode.st_mode & 0o777, 0, "a walk leaves modes as they were");
        // Deep enough that it has to be moved while it is closed.
        place.remove("d");
    });
}

#[test]
fn each_way_of_closing_a_folder_is_met() {
    as_each_user(|place| {
        for mode in [0o000, 0o100, 0o200, 0o300, 0o400, 0o500, 0o600] {
            let tree = place.own().join("tree");
            for depth in [0, 1, 23, 24, 25, 48, 49] {
                fs::create_dir(&tree).unwrap();
                let inner = nest(&tree, depth);
                mkdirat(&inner, "closed", Mode::RWXU).unwrap();
                let closed = openat(&inner, "closed", OFlags::DIRECTORY, Mode::empty()).unwrap();
                mkdirat(&closed, "full", Mode::RWXU).unwrap();
                drop(openat(&closed, "file", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap());
                drop(
                    openat(
                        &closed,
                        "full/file",
                        OFlags::CREATE | OFlags::WRONLY,
                        Mode::RUSR,
                    )
                    .unwrap(),
                );
                let mode = Mode::from_raw_mode(mode);
                chmodat(&inner, "closed", mode, AtFlags::empty()).unwrap();
                chmod(&tree, mode.bits());
                let size = measure(&place.folder(), &Limits::default()).unwrap();
                assert_eq!(size.entries as usize, depth + 5, "{mode:?} {depth}");
                place.remove("tree");
            }
        }
    });
}

#[test]
fn what_is_closed_itself_goes_to_the_trash() {
    as_each_user(|place| {
        let tree = place.own().join("tree");
        fs::create_dir_all(tree.join("a/b")).unwrap();
        chmod(&tree, 0);
        chmod(&place.own(), 0o500);
        let trash = place.trash();
        trash.discard_path(&tree, &Limits::default()).unwrap();
        place.check_gone("tree");
        trash.sweep(&Limits::default()).unwrap();
        assert!(trash.is_empty().unwrap());
    });
}

#[test]
fn a_sweeper_empties_what_an_earlier_process_left_and_what_comes() {
    as_each_user_in_memory(|place| {
        let trash = place.trash();
        drop(nest(&place.own(), DEEP));
        trash
            .discard(&place.folder(), OsStr::new("d"), &Limits::default())
            .unwrap();
        place.check_gone("d");
        assert!(!trash.is_empty().unwrap());
        let sweeper = Sweeper::start(trash.clone()).unwrap();
        until_empty(&trash);
        fs::create_dir_all(place.own().join("d/e/f")).unwrap();
        trash
            .discard(&place.folder(), OsStr::new("d"), &Limits::default())
            .unwrap();
        until_empty(&trash);
        drop(sweeper);
    });
}

fn until_empty(trash: &aod_trees::Trash) {
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while !trash.is_empty().unwrap() {
        assert!(std::time::Instant::now() < end, "the trash is not emptied");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn bounds_end_in_an_error_and_the_next_call_goes_on() {
    as_each_user(|place| {
        let tree = place.own().join("tree");
        fs::create_dir(&tree).unwrap();
        for index in 0..500 {
            fs::create_dir_all(tree.join(format!("{index}/a"))).unwrap();
        }
        symlink(place.outside(), tree.join("link")).unwrap();
        let limits = Limits {
            entries: 300,
            ..Limits::default()
        };
        let mut calls = 0;
        loop {
            calls += 1;
            match aod_trees::remove(&place.folder(), OsStr::new("tree"), &limits) {
                Ok(_) => break,
                Err(Error::Bound(Bound::Entries(300))) => assert!(calls < 30),
                Err(error) => panic!("{error}"),
            }
        }
        assert!(calls > 3, "{calls}");
        place.check_gone("tree");
        fs::create_dir_all(tree.join("a/b")).unwrap();
        let none = Limits {
            time: Duration::ZERO,
            ..Limits::default()
        };
        for error in [
            aod_trees::remove(&place.folder(), OsStr::new("tree"), &none).unwrap_err(),
            measure(&place.folder(), &none).unwrap_err(),
        ] {
            assert!(matches!(error, Error::Bound(Bound::Millis(0))), "{error}");
        }
    });
}
