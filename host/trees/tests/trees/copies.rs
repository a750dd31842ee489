//! Copies of trees of any shape.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use aod_trees::{
    Bound, Copied, Copy, Earlier, Error, Folder, Kind, Known, Limits, TreeState, copy_into,
    link_target, walk,
};
use proptest::collection::vec;
use proptest::test_runner::{Config, TestRunner};

use crate::generated::{make, step};
use crate::support::{TestFolder, as_each_user, as_each_user_in_memory, nest};

/// Far deeper than a path may be long, or a process may hold folders open.
const DEEP: usize = 10_000;

/// What one entry of a tree is, as far as a copy is to be the same.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    depth: usize,
    kind: String,
    mode: u32,
    modified: Option<SystemTime>,
    content: Option<Vec<u8>>,
    target: Option<OsString>,
    /// The first of the names that it has in the tree.
    same_as: Option<Vec<OsString>>,
}

/// All entries of a tree by their paths, without what copies leave out.
fn read(folder: &Folder) -> HashMap<Vec<OsString>, Entry> {
    let mut entries = HashMap::new();
    let mut way: Vec<OsString> = Vec::new();
    let mut names: HashMap<u64, Vec<Vec<OsString>>> = HashMap::new();
    walk(folder, &Limits::default(), &mut |found| {
        way.truncate(found.depth - 1);
        way.push(found.name.to_owned());
        let content = (found.kind == Kind::RegularFile && found.stat.mode & 0o400 > 0).then(|| {
            let mut content = Vec::new();
            let read = found.file().unwrap().read_to_end(&mut content);
            read.unwrap();
            content
        });
        if !matches!(found.kind, Kind::Socket | Kind::CharacterDevice) {
            names.entry(found.stat.inode).or_default().push(way.clone());
            entries.insert(
                way.clone(),
                Entry {
                    depth: found.depth,
                    kind: format!("{:?}", found.kind),
                    mode: found.stat.mode,
                    // Looking into a folder that lacks permissions changes no time of its own.
                    modified: (found.kind != Kind::Symlink).then_some(found.stat.modified),
                    content,
                    target: link_target(found.folder, found.name),
                    same_as: None,
                },
            );
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    for names in names.into_values().filter(|names| names.len() > 1) {
        let first = names.iter().min().unwrap().clone();
        for name in names {
            entries.get_mut(&name).unwrap().same_as = Some(first.clone());
        }
    }
    entries
}

#[track_caller]
fn assert_same(is: &Folder, was: &HashMap<Vec<OsString>, Entry>) {
    let is = read(is);
    for (path, entry) in was {
        assert_eq!(is.get(path), Some(entry), "{path:?}");
    }
    assert_eq!(is.len(), was.len());
}

/// A folder for copies, and one for names.
struct Copies {
    root: tempfile::TempDir,
    compress: bool,
}

impl Copies {
    fn new() -> Self {
        let root = match tempfile::tempdir_in("/dev/shm") {
            Ok(root) => root,
            Err(_) => tempfile::tempdir().unwrap(),
        };
        Self {
            root,
            compress: false,
        }
    }

    fn folder(&self, name: &str) -> Folder {
        fs::create_dir_all(self.root.path().join(name)).unwrap();
        Folder::open(&self.root.path().join(name)).unwrap()
    }

    fn copy(
        &self,
        from: &Folder,
        name: &str,
        earlier: Option<(&str, &Known)>,
    ) -> Result<Copied, Error> {
        self.bounded(from, name, earlier, u64::MAX, &|| true)
    }

    fn bounded(
        &self,
        from: &Folder,
        name: &str,
        earlier: Option<(&str, &Known)>,
        bytes: u64,
        wanted: &dyn Fn() -> bool,
    ) -> Result<Copied, Error> {
        let earlier: Vec<_> = earlier.into_iter().collect();
        let mut copied = Copied::default();
        self.share(from, name, &earlier, bytes, wanted, &mut copied)
            .map(|()| copied)
    }

    /// Shares with what was copied before; all but the first of these are going to be removed.
    fn share(
        &self,
        from: &Folder,
        name: &str,
        earlier: &[(&str, &Known)],
        bytes: u64,
        wanted: &dyn Fn() -> bool,
        copied: &mut Copied,
    ) -> Result<(), Error> {
        let earlier: Vec<_> = earlier
            .iter()
            .map(|(name, known)| (self.folder(name), *known))
            .collect();
        let earlier: Vec<_> = earlier
            .iter()
            .enumerate()
            .map(|(number, (tree, known))| Earlier {
                tree,
                known,
                stays: number == 0,
            })
            .collect();
        let names = self.folder(&format!("{name}-names"));
        let how = Copy {
            without: None,
            compress: self.compress,
            limits: Limits::default(),
            bytes,
            names: &names,
            earlier: &earlier,
            wanted,
        };
        copy_into(from, &self.folder(name), &how, copied)
    }
}

fn grow_old(path: &Path) {
    // What was changed a moment ago is not taken for known.
    let long_ago = SystemTime::now() - Duration::from_secs(3);
    loop {
        let metadata = fs::symlink_metadata(path).unwrap();
        let changed = SystemTime::UNIX_EPOCH
            + Duration::new(metadata.ctime() as u64, metadata.ctime_nsec() as u32);
        if changed < SystemTime::now() - Duration::from_millis(1100) {
            break;
        }
        assert!(changed > long_ago, "the file system's clock is another");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn any_tree_is_copied_as_it_is() {
    as_each_user(|_| {
        let mut runner = TestRunner::new(Config {
            cases: 48,
            failure_persistence: None,
            ..Config::default()
        });
        let ran = runner.run(&vec(step(), 0..60), |steps| {
            let place = TestFolder::in_memory();
            make(&place, &steps);
            let to = Copies::new();
            let before = read(&place.folder());
            let first = to.copy(&place.folder(), "first", None).unwrap();
            assert_same(&to.folder("first"), &before);
            assert_same(&place.folder(), &before);
            // With an earlier copy at hand, whatever that knows.
            let earlier = Some(("first", &first.known));
            to.copy(&place.folder(), "second", earlier).unwrap();
            assert_same(&to.folder("second"), &before);
            assert_same(&to.folder("first"), &before);
            // A copy of a copy is no other.
            to.copy(&to.folder("second"), "third", None).unwrap();
            assert_same(&to.folder("third"), &before);
            Ok(())
        });
        if let Err(error) = ran {
            panic!("{error}");
        }
    });
}

#[test]
fn what_has_not_changed_is_shared_with_the_earlier_copy() {
    let place = TestFolder::new();
    let own = place.own();
    fs::create_dir_all(own.join("a/b")).unwrap();
    for name in ["same", "written", "moved", "a/b/deep", "a/twin", "touched"] {
        fs::write(own.join(name), vec![7; 100_000]).unwrap();
    }
    fs::hard_link(own.join("a/twin"), own.join("a/other-twin")).unwrap();
    grow_old(&own.join("touched"));
    grow_old(&own.join("a/twin"));
    let to = Copies {
        root: tempfile::tempdir().unwrap(),
        compress: false,
    };
    let first = to.copy(&place.folder(), "1", None).unwrap();
    let all = first.bytes;
    assert_eq!(first.new_bytes, all);
    // Written, with the length and the time that it had.
    let written = own.join("written");
    let modified = fs::metadata(&written).unwrap().modified().unwrap();
    let mut file = File::options().write(true).open(&written).unwrap();
    file.write_all(b"other").unwrap();
    file.set_modified(modified).unwrap();
    fs::rename(own.join("moved"), own.join("a/moved")).unwrap();
    fs::File::open(own.join("touched"))
        .unwrap()
        .set_modified(SystemTime::now())
        .unwrap();

    let known = {
        let mut bytes = Vec::new();
        first.known.write(&mut bytes).unwrap();
        Known::read(&bytes)
    };
    assert_eq!(known, first.known);
    let second = to.copy(&place.folder(), "2", Some(("1", &known))).unwrap();
    assert_same(&to.folder("2"), &read(&place.folder()));
    let inode = |path: &str| fs::metadata(to.root.path().join(path)).unwrap().ino();
    for name in ["same", "a/b/deep", "a/twin", "a/other-twin"] {
        assert_eq!(
            inode(&format!("1/{name}")),
            inode(&format!("2/{name}")),
            "{name}"
        );
    }
    assert_ne!(inode("1/written"), inode("2/written"));
    assert_ne!(inode("1/touched"), inode("2/touched"));
    assert!(second.new_bytes < second.bytes, "{second:?}");
    // The earlier one may go.
    let limits = Limits::default();
    aod_trees::remove(&to.folder("."), "1".as_ref(), &limits).unwrap();
    assert_same(&to.folder("2"), &read(&place.folder()));
}

#[test]
fn holes_stay_holes_and_cost_nothing() {
    let place = TestFolder::new();
    let mut file = File::create(place.own().join("sparse")).unwrap();
    file.set_len(1 << 40).unwrap();
    file.seek(SeekFrom::Start(1 << 39)).unwrap();
    file.write_all(b"in the middle").unwrap();
    let to = Copies {
        root: tempfile::tempdir().unwrap(),
        compress: false,
    };
    let copied = to
        .bounded(&place.folder(), "1", None, 1 << 20, &|| true)
        .unwrap();
    assert!(copied.new_bytes < 1 << 20, "{copied:?}");
    let mut copy = File::open(to.root.path().join("1/sparse")).unwrap();
    assert_eq!(copy.metadata().unwrap().len(), 1 << 40);
    copy.seek(SeekFrom::Start(1 << 39)).unwrap();
    let mut middle = [0; 16];
    copy.read_exact(&mut middle).unwrap();
    assert_eq!(&middle, b"in the middle\0\0\0");
}

#[test]
fn a_compressed_copy_takes_less_and_stands_for_the_same() {
    let place = TestFolder::in_memory();
    let own = place.own();
    fs::create_dir_all(own.join("a/b")).unwrap();
    let text = "some words ".repeat(300_000);
    for name in ["text", "a/b/text", "a/twin"] {
        fs::write(own.join(name), &text).unwrap();
        grow_old(&own.join(name));
    }
    fs::hard_link(own.join("a/twin"), own.join("a/other-twin")).unwrap();
    let noise: Vec<u8> = (0..40_000u32)
        .flat_map(|n| {
            n.wrapping_mul(2_654_435_761)
                .rotate_left(n % 31)
                .to_le_bytes()
        })
        .collect();
    fs::write(own.join("noise"), &noise).unwrap();
    fs::write(own.join("little"), "little").unwrap();
    fs::write(own.join("empty"), "").unwrap();
    let sparse = File::create(own.join("sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    sparse.write_all_at(text.as_bytes(), 32 << 20).unwrap();
    // It means nothing for a file, and here it would be taken for something.
    let marked = fs::Permissions::from_mode(0o1640);
    fs::set_permissions(own.join("little"), marked.clone()).unwrap();
    fs::set_permissions(own.join("text"), marked).unwrap();

    let mut to = Copies::new();
    to.compress = true;
    let before = read(&place.folder());
    let first = to.copy(&place.folder(), "1", None).unwrap();
    assert_same(&place.folder(), &before);
    let at = |name: &str| to.root.path().join(name);
    let taken = fs::metadata(at("1/text")).unwrap().blocks() * 512;
    assert!(taken < text.len() as u64 / 10, "{taken}");
    assert_eq!(fs::metadata(at("1/text")).unwrap().len(), text.len() as u64);
    assert!(first.bytes < 1 << 20, "{first:?}");
    // What is shared counts as what it takes.
    let second = to
        .copy(&place.folder(), "2", Some(("1", &first.known)))
        .unwrap();
    assert!(
        second.bytes < 1 << 20 && second.new_bytes < 1 << 19,
        "{second:?}"
    );
    let inode = |path: &str| fs::metadata(at(path)).unwrap().ino();
    assert_eq!(inode("1/a/b/text"), inode("2/a/b/text"));
    let packed = Folder::open_copy(&at("2")).unwrap();
    let mut content = String::new();
    let mut file = packed.content("a/b/text".as_ref()).unwrap();
    file.read_to_string(&mut content).unwrap();
    assert!(content == text);
    assert_eq!(packed.read("noise".as_ref(), 1 << 20).unwrap(), noise);
    let differences = |before: &Folder, after: &Folder| {
        let mut paths = Vec::new();
        aod_trees::compare(Some(before), after, &Limits::default(), &mut |it| {
            paths.push(it.path.to_owned());
            ControlFlow::Continue(())
        })
        .unwrap();
        paths
    };
    assert!(differences(&packed, &place.folder()).is_empty());
    fs::write(own.join("a/b/text"), text.replacen("words", "WORDS", 1)).unwrap();
    let wanted = [Path::new("a/b/text")];
    assert_eq!(differences(&packed, &place.folder()), wanted);

    // And back.
    to.compress = false;
    to.copy(&packed, "back", None).unwrap();
    assert_same(&to.folder("back"), &before);
    assert!(fs::metadata(at("back/sparse")).unwrap().blocks() * 512 < 8 << 20);
    let mode = fs::metadata(at("back/text")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);
}

#[test]
fn extended_attributes_are_kept() {
    use rustix::fs::{XattrFlags, lgetxattr, lsetxattr};
    let place = TestFolder::new();
    fs::create_dir(place.own().join("folder")).unwrap();
    File::create(place.own().join("folder/file")).unwrap();
    let names = ["folder", "folder/file"];
    let big = vec![7; 300];
    for name in names {
        let path = place.own().join(name);
        for (attribute, value) in [("user.origin", &b"elsewhere"[..]), ("user.big", &big)] {
            match lsetxattr(&path, attribute, value, XattrFlags::empty()) {
                Err(rustix::io::Errno::OPNOTSUPP) => {
                    println!("skipped: this file system has no extended attributes");
                    return;
                }
                set => set.unwrap(),
            }
        }
    }
    let to = Copies {
        root: tempfile::tempdir().unwrap(),
        compress: false,
    };
    to.bounded(&place.folder(), "1", None, 1 << 20, &|| true)
        .unwrap();
    for name in names {
        let path = to.root.path().join("1").join(name);
        let mut value = [0; 512];
        let length = lgetxattr(&path, "user.origin", &mut value[..]).unwrap();
        assert_eq!(&value[..length], b"elsewhere");
        let length = lgetxattr(&path, "user.big", &mut value[..]).unwrap();
        assert_eq!(value[..length], big);
    }
}

#[test]
fn a_copy_has_bounds() {
    let place = TestFolder::new();
    for name in ["a", "b", "c"] {
        fs::write(place.own().join(name), vec![1; 1 << 20]).unwrap();
    }
    let to = Copies {
        root: tempfile::tempdir().unwrap(),
        compress: false,
    };
    let bounded = to.bounded(&place.folder(), "1", None, 2 << 20, &|| true);
    assert!(matches!(bounded, Err(Error::Bound(Bound::Total(most))) if most == 2 << 20));
    let unwanted = to.bounded(&place.folder(), "2", None, u64::MAX, &|| false);
    assert!(matches!(unwanted, Err(Error::Unwanted)));
}

#[test]
fn what_was_copied_of_a_copy_that_ended_early_is_shared_with_the_next() {
    let place = TestFolder::new();
    let own = place.own();
    for folder in 0..20 {
        fs::create_dir(own.join(format!("{folder}"))).unwrap();
        for file in 0..20 {
            let path = own.join(format!("{folder}/{file}"));
            fs::write(&path, vec![1; 5_000]).unwrap();
            if (folder, file) == (19, 19) {
                grow_old(&path);
            }
        }
    }
    let to = Copies::new();
    let old = to.copy(&place.folder(), "old", None).unwrap();
    for folder in 20..40 {
        fs::create_dir(own.join(format!("{folder}"))).unwrap();
        for file in 0..20 {
            let path = own.join(format!("{folder}/{file}"));
            fs::write(&path, vec![1; 5_000]).unwrap();
            if (folder, file) == (39, 19) {
                grow_old(&path);
            }
        }
    }
    let asked = std::cell::Cell::new(0);
    let until_half = || {
        asked.set(asked.get() + 1);
        asked.get() < 500
    };
    let mut half = Copied::default();
    let earlier = [("old", &old.known)];
    let ended = to.share(
        &place.folder(),
        "half",
        &earlier,
        u64::MAX,
        &until_half,
        &mut half,
    );
    assert!(matches!(ended, Err(Error::Unwanted)), "{ended:?}");

    let mut whole = Copied::default();
    let earlier = [("old", &old.known), ("half", &half.known)];
    to.share(
        &place.folder(),
        "whole",
        &earlier,
        u64::MAX,
        &|| true,
        &mut whole,
    )
    .unwrap();
    assert_same(&to.folder("whole"), &read(&place.folder()));
    let (mut of_old, mut of_half, mut own) = (0, 0, 0);
    let inode = |from: &str, path: &str| {
        let found = fs::metadata(to.root.path().join(from).join(path));
        found.ok().map(|found| found.ino())
    };
    for path in (0..40).flat_map(|folder| (0..20).map(move |file| format!("{folder}/{file}"))) {
        let there = inode("whole", &path);
        match (inode("old", &path), inode("half", &path)) {
            (old, _) if old == there => of_old += 1,
            (_, half) if half == there => of_half += 1,
            _ => own += 1,
        }
    }
    assert_eq!(of_old, 400);
    assert!(of_half > 0 && own > 0, "{of_half} {own}");
    // What is shared with the one that goes is the new one's own, and the other's is not.
    let blocks = |bytes: u64| bytes.div_ceil(4096) * 4096;
    assert_eq!(whole.bytes - whole.new_bytes, 400 * blocks(5_000));
    assert!(whole.new_bytes >= 400 * 5_000, "{whole:?}");
}

#[test]
fn a_file_is_as_long_as_it_was_whatever_it_ends_with() {
    let place = TestFolder::new();
    let own = place.own();
    for (name, length) in [("short", 10), ("hole", 1 << 20), ("data", 70_000)] {
        let file = File::create(own.join(name)).unwrap();
        file.write_all_at(b"beginning", 0).unwrap();
        file.set_len(length).unwrap();
    }
    let all_hole = File::create(own.join("all-hole")).unwrap();
    all_hole.set_len(16 << 20).unwrap();
    fs::write(own.join("empty"), "").unwrap();
    for compress in [false, true] {
        let to = Copies {
            compress,
            ..Copies::new()
        };
        let copied = to.copy(&place.folder(), "1", None).unwrap();
        let from = Folder::open_copy(&to.root.path().join("1")).unwrap();
        let plain = Copies::new();
        let back = plain.copy(&from, "2", None).unwrap();
        assert!(copied.bytes < 1 << 20 && back.bytes < 1 << 20, "{copied:?}");
        assert_same(&plain.folder("2"), &read(&place.folder()));
    }
}

#[test]
fn the_state_of_a_tree_tells_whether_it_changed() {
    let place = TestFolder::new();
    fs::create_dir(place.own().join("folder")).unwrap();
    fs::write(place.own().join("folder/file"), "1").unwrap();
    let to = Copies::new();
    let state = || TreeState::of(&place.folder(), &Limits::default(), &|| true).unwrap();
    let copied = to.copy(&place.folder(), "1", None).unwrap();
    assert_eq!(copied.state, state());
    fs::write(place.own().join("folder/file"), "22").unwrap();
    let written = state();
    assert_ne!(copied.state, written);
    fs::write(place.own().join("another"), "").unwrap();
    assert_ne!(written, state());
}

#[test]
fn a_deep_tree_is_copied() {
    as_each_user_in_memory(|place| {
        drop(nest(&place.own(), DEEP));
        let to = Copies::new();
        let copied = to.copy(&place.folder(), "1", None).unwrap();
        assert_eq!(copied.entries as usize, DEEP);
        let again = to
            .copy(&place.folder(), "2", Some(("1", &copied.known)))
            .unwrap();
        assert_eq!(again.entries as usize, DEEP);
        for name in ["1", "2"] {
            let limits = Limits::default();
            assert_eq!(
                aod_trees::measure(&to.folder(name), &limits)
                    .unwrap()
                    .entries as usize,
                DEEP
            );
            aod_trees::remove(&to.folder("."), name.as_ref(), &limits).unwrap();
        }
        place.remove("d");
    });
}
