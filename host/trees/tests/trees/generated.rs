//! Trees of any shape.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use aod_trees::{Limits, measure};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use crate::support::{TestFolder, as_each_user, chmod, is_root, nest};

#[derive(Clone, Debug)]
pub(crate) enum What {
    Folder { mode: u32 },
    Deep { levels: usize },
    File { bytes: usize, mode: u32 },
    Link { outside: bool },
    HardLink,
    Fifo,
    Socket,
    Device,
}

/// One entry: which of the folders that are there it lies in, its name, and what it is.
pub(crate) type Step = (prop::sample::Index, OsString, What);

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let byte = prop_oneof![
        4 => b'a'..=b'f',
        1 => (1u8..=255).prop_filter("no separator", |byte| *byte != b'/'),
    ];
    let name = vec(byte, 1..=40)
        .prop_filter("no dots", |name| name != b"." && name != b"..")
        .prop_map(OsString::from_vec);
    let mode = prop_oneof![3 => Just(0o755u32), 1 => 0u32..0o1000];
    let what = prop_oneof![
        6 => mode.clone().prop_map(|mode| What::Folder { mode }),
        1 => (1usize..120).prop_map(|levels| What::Deep { levels }),
        4 => (0usize..5000, mode).prop_map(|(bytes, mode)| What::File { bytes, mode }),
        2 => any::<bool>().prop_map(|outside| What::Link { outside }),
        1 => Just(What::HardLink),
        1 => Just(What::Fifo),
        1 => Just(What::Socket),
        1 => Just(What::Device),
    ];
    (any::<prop::sample::Index>(), name, what)
}

/// Makes a tree, and says how many entries and bytes it has.
pub(crate) fn make(place: &TestFolder, steps: &[Step]) -> (u64, u64) {
    let mut folders = vec![place.own()];
    let mut closed: Vec<(PathBuf, u32)> = Vec::new();
    let (mut entries, mut bytes) = (0, 0);
    for (parent, name, what) in steps {
        let path = parent.get(&folders).join(name);
        if path.symlink_metadata().is_ok() {
            continue;
        }
        match what {
            What::Folder { mode } => {
                fs::create_dir(&path).unwrap();
                closed.push((path.clone(), *mode));
                folders.push(path);
            }
            What::Deep { levels } => {
                fs::create_dir(&path).unwrap();
                drop(nest(&path, *levels));
                entries += *levels as u64;
            }
            What::File { bytes: size, mode } => {
                fs::write(&path, vec![b'x'; *size]).unwrap();
                closed.push((path, *mode));
                bytes += *size as u64;
            }
            What::Link { outside: true } => symlink(place.outside(), &path).unwrap(),
            What::Link { outside: false } => symlink("..", &path).unwrap(),
            What::HardLink => {
                fs::hard_link(place.outside().join("folder/victim"), &path).unwrap();
                bytes += 4;
            }
            What::Device if is_root() => {
                let null = makedev(1, 3);
                mknodat(CWD, &path, FileType::CharacterDevice, Mode::RWXU, null).unwrap();
            }
            What::Fifo | What::Device => {
                mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
            }
            What::Socket => {
                let short = place.own().join("s");
                if path == short || short.exists() {
                    continue;
                }
                // Their paths are short.
                drop(UnixListener::bind(&short).unwrap());
                fs::rename(&short, &path).unwrap();
            }
        }
        entries += 1;
    }
    // The innermost first: what is closed lets nobody in.
    for (path, mode) in closed.iter().rev() {
        chmod(path, *mode);
    }
    (entries, bytes)
}

fn check(place: &TestFolder, steps: &[Step]) {
    let made = make(place, steps);
    let folder = place.folder();
    let limits = Limits::default();
    let measured = measure(&folder, &limits).unwrap();
    assert_eq!((measured.entries, measured.bytes), made);
    let again = measure(&folder, &limits).unwrap();
    assert_eq!(again, measured, "measuring changes nothing");
    // Half of it by way of the trash, half on the spot.
    let trash = place.trash();
    for (index, listed) in folder.list(1000).unwrap().into_iter().enumerate() {
        match index % 2 {
            0 => drop(aod_trees::remove(&folder, &listed.name, &limits).unwrap()),
            _ => folder.delete(Path::new(&listed.name), &trash).unwrap(),
        }
    }
    assert!(folder.list(0).unwrap().is_empty());
    trash.sweep(&limits).unwrap();
    assert!(trash.is_empty().unwrap());
    place.check_gone("none");
}

#[test]
fn any_tree_is_measured_and_removed() {
    as_each_user(|_| {
        let mut runner = TestRunner::new(Config {
            cases: 64,
            failure_persistence: None,
            ..Config::default()
        });
        let ran = runner.run(&vec(step(), 0..60), |steps| {
            check(&TestFolder::in_memory(), &steps);
            Ok(())
        });
        if let Err(error) = ran {
            panic!("{error}");
        }
    });
}
