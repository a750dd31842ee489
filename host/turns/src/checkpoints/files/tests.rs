//! Checkpoints that are made, kept and gone back to.

use std::fs;

use aod_sandbox::DiskBy;

use super::*;
use crate::Paths;

struct TestSession {
    _folder: tempfile::TempDir,
    paths: SessionPaths,
    /// Has the files at their paths.
    _disk: DiskUse,
    trash: Trash,
    compress: bool,
}

impl TestSession {
    fn new() -> Self {
        Self::with(DiskBy::Auto)
    }

    fn with(by: DiskBy) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::create(&folder.path().join("data")).unwrap();
        let trash = Trash::open(&paths.trash()).unwrap();
        let paths = paths.with_disks(by, Some(64 << 20));
        let paths = paths.session(Uuid::new_v4());
        paths.create().unwrap();
        paths.create_sandbox().unwrap();
        Self {
            _disk: paths.disk().unwrap(),
            _folder: folder,
            paths,
            trash,
            compress: false,
        }
    }

    fn write(&self, text: &str) {
        fs::write(self.paths.home().join("memory"), text).unwrap();
        fs::write(self.paths.workspace().join("work"), text).unwrap();
    }

    fn read(&self) -> [String; 2] {
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        [
            read(&self.paths.home().join("memory")),
            read(&self.paths.workspace().join("work")),
        ]
    }

    fn make(&self, turn: u32, earlier: Option<u32>) -> Result<(u64, u64), MakeError> {
        self.make_while(turn, earlier, &|| true)
    }

    fn make_while(
        &self,
        turn: u32,
        earlier: Option<u32>,
        wanted: &dyn Fn() -> bool,
    ) -> Result<(u64, u64), MakeError> {
        let how = Make {
            turn,
            earlier,
            bytes: None,
            may_change: true,
            max_bytes: 1 << 20,
            compress: self.compress,
        };
        make(&self.paths, &self.trash, &how, wanted)
    }

    /// The numbers of the files in a copy of the workspace.
    fn inodes(&self, copy: &str) -> Vec<u64> {
        use std::os::unix::fs::MetadataExt as _;
        let copy = self.paths.checkpoints().join(copy).join(WORKSPACE);
        let files = fs::read_dir(copy).into_iter().flatten();
        files
            .map(|file| file.unwrap().metadata().unwrap().ino())
            .collect()
    }

    fn prepare(&self, turn: u32) -> String {
        let name = replacement_name();
        let place = self.paths.replacement(&name);
        private_folder(place.root()).unwrap();
        copy_out(&self.paths, &self.trash, turn, &place, &|| true).unwrap();
        name
    }
}

#[test]
fn what_was_is_put_back() {
    put_back(TestSession::new());
}

#[test]
fn what_was_in_an_image_is_put_back_in_another() {
    let folder = tempfile::tempdir().unwrap();
    if let Err(why) = DiskBy::Image.check(folder.path()) {
        eprintln!("skipped: {why}");
        return;
    }
    aod_sandbox::disk_image::own_mounts().unwrap();
    let place = TestSession::with(DiskBy::Image);
    use std::os::unix::fs::MetadataExt as _;
    let image = place.paths.image().unwrap();
    let first = image.metadata().unwrap().ino();
    let mut place = put_back(place);
    assert_ne!(image.metadata().unwrap().ino(), first);
    // A copy of it is of the same kind, and what was kept is in none.
    assert_eq!(place.paths.image(), Some(image));
    let checkpoint = place.paths.checkpoints().join("3");
    assert_eq!(
        fs::read_to_string(checkpoint.join("workspace/work")).unwrap(),
        "3"
    );
    remove_all(&place.paths, &place.trash).unwrap();
    assert_eq!(
        (place.paths.image(), place.read()),
        (None, Default::default())
    );
    place.trash.sweep(&Limits::default()).unwrap();
    assert!(place.trash.is_empty().unwrap());
    // One whose files were not in an image does not get one.
    let data = place._folder.path().join("other");
    let paths = Paths::create(&data).unwrap();
    let id = Uuid::new_v4();
    place.paths = paths.session(id);
    place.paths.create_sandbox().unwrap();
    place.paths = paths.with_disks(DiskBy::Image, Some(64 << 20)).session(id);
    place.paths.create_sandbox().unwrap();
    place.write("plain");
    place.make(1, None).unwrap();
    place.write("changed");
    let name = place.prepare(1);
    replace(&place.paths, &place.trash, &name).unwrap();
    assert_eq!(place.read(), ["plain", "plain"]);
    assert_eq!(place.paths.image(), None);
}

/// Goes back twice.
fn put_back(mut place: TestSession) -> TestSession {
    for turn in 1..=3 {
        place.write(&turn.to_string());
        place.make(turn, (turn > 1).then(|| turn - 1)).unwrap();
    }
    keep_only(&place.paths, &place.trash, &[2, 3]).unwrap();
    assert!(!place.paths.checkpoints().join("1").exists());
    let name = place.prepare(2);
    replace(&place.paths, &place.trash, &name).unwrap();
    place._disk = place.paths.disk().unwrap();
    assert_eq!(place.read(), ["2", "2"]);
    // It was done already.
    replace(&place.paths, &place.trash, &name).unwrap();
    place._disk = place.paths.disk().unwrap();
    assert_eq!(place.read(), ["2", "2"]);
    // What is changed then is not the checkpoint's.
    place.write("other");
    let name = place.prepare(2);
    replace(&place.paths, &place.trash, &name).unwrap();
    place._disk = place.paths.disk().unwrap();
    assert_eq!(place.read(), ["2", "2"]);
    place
}

#[test]
fn what_is_put_back_is_counted_by_itself_and_as_it_was() {
    use aod_sandbox::project_quota::{check, number};
    let place = TestSession::new();
    if let Err(why) = check(place.paths.root()) {
        eprintln!("skipped: {why}");
        return;
    }
    let counted = || {
        let (home, workspace) = (
            number(&place.paths.home()),
            number(&place.paths.workspace()),
        );
        assert_eq!(home, workspace);
        home.unwrap()
    };
    let first = counted();
    place.write("text");
    let work = place.paths.workspace();
    fs::create_dir(work.join("folder")).unwrap();
    fs::hard_link(work.join("work"), work.join("folder/other-name")).unwrap();
    std::os::unix::fs::symlink("work", work.join("link")).unwrap();
    place.make(1, None).unwrap();
    let name = place.prepare(1);
    replace(&place.paths, &place.trash, &name).unwrap();
    assert_ne!(counted(), first);
    assert_eq!(number(&work.join("folder")), Some(counted()));
    // What is counted differently could not be renamed there.
    for moved in ["work", "link", "folder/other-name"] {
        fs::rename(work.join(moved), work.join("moved")).unwrap();
    }
    fs::rename(work.join("folder"), work.join("moved-folder")).unwrap();
    fs::create_dir(work.join("new")).unwrap();
    fs::rename(work.join("moved-folder"), work.join("new/folder")).unwrap();
}

#[test]
fn a_replacement_that_was_broken_off_is_gone_on_with() {
    let place = TestSession::new();
    place.write("before");
    place.make(1, None).unwrap();
    place.write("after");
    let name = place.prepare(1);
    // The first half of it.
    let from = place.paths.root().join(&name);
    fs::remove_dir_all(place.paths.home()).unwrap();
    fs::rename(from.join("home"), place.paths.home()).unwrap();
    replace(&place.paths, &place.trash, &name).unwrap();
    assert_eq!(place.read(), ["before", "before"]);
    assert!(!from.exists());
}

#[test]
fn what_is_half_made_is_no_checkpoint_and_is_removed() {
    let place = TestSession::new();
    for mib in [1, 3] {
        fs::write(
            place.paths.workspace().join("large"),
            vec![1; (mib << 20) + 1],
        )
        .unwrap();
        let made = place.make(1, None);
        assert!(matches!(made, Err(MakeError::TooMuch(_))), "{made:?}");
    }
    assert_eq!(fs::read_dir(place.paths.checkpoints()).unwrap().count(), 0);
    fs::write(place.paths.workspace().join("large"), "").unwrap();
    let how = Make {
        turn: 1,
        earlier: None,
        bytes: None,
        may_change: true,
        max_bytes: u64::MAX,
        compress: false,
    };
    let stopped = make(&place.paths, &place.trash, &how, &|| false);
    assert!(matches!(stopped, Err(MakeError::Unwanted)), "{stopped:?}");
    // What a host that died has left.
    let left = place.paths.checkpoints().join(format!("{DRAFT}x"));
    fs::create_dir_all(left.join("home")).unwrap();
    keep_only(&place.paths, &place.trash, &[1]).unwrap();
    assert!(!left.exists());
}

/// Goes on for so many questions.
fn for_some(questions: u32) -> impl Fn() -> bool {
    let left = std::cell::Cell::new(questions);
    move || {
        left.set(left.get().saturating_sub(1));
        left.get() > 0
    }
}

#[test]
fn each_try_goes_on_from_where_the_one_before_was_broken_off() {
    const FILES: usize = 60;
    let place = TestSession::new();
    for number in 0..FILES {
        let path = place.paths.workspace().join(number.to_string());
        fs::write(path, [7; 10]).unwrap();
    }
    // What was changed a moment ago is not taken for known.
    std::thread::sleep(Duration::from_millis(1100));
    let unwanted = |made| assert!(matches!(made, Err(MakeError::Unwanted)), "{made:?}");
    unwanted(place.make_while(1, None, &for_some(30)));
    let first = place.inodes(UNFINISHED);
    assert!((10..FILES).contains(&first.len()), "{first:?}");
    // One that does not come as far takes nothing of that away.
    unwanted(place.make_while(2, None, &for_some(5)));
    assert_eq!(place.inodes(UNFINISHED), first);
    unwanted(place.make_while(3, None, &for_some(80)));
    let second = place.inodes(UNFINISHED);
    assert!(second.len() > first.len(), "{second:?}");
    // What was copied last may not have been copied whole.
    let is_shared = |inodes: &[u64], with: &[u64]| {
        let missing = inodes.iter().filter(|inode| !with.contains(inode)).count();
        assert!(missing <= 1, "{inodes:?} {with:?}");
    };
    is_shared(&first, &second);
    let (bytes, new_bytes) = place.make(4, None).unwrap();
    // Nobody else has what is shared with what is going to be removed.
    assert_eq!(bytes, new_bytes);
    let whole = place.inodes("4");
    assert_eq!(whole.len(), FILES);
    is_shared(&second, &whole);
    keep_only(&place.paths, &place.trash, &[4]).unwrap();
    assert_eq!(fs::read_dir(place.paths.checkpoints()).unwrap().count(), 1);
    assert_eq!(place.inodes("4"), whole);
}

#[test]
fn what_was_broken_off_before_the_machine_was_off_is_not_shared() {
    let place = TestSession::new();
    for number in 0..20 {
        let path = place.paths.workspace().join(number.to_string());
        fs::write(path, [7; 10]).unwrap();
    }
    std::thread::sleep(Duration::from_millis(1100));
    place.make_while(1, None, &for_some(15)).unwrap_err();
    let half = place.inodes(UNFINISHED);
    assert!(!half.is_empty());
    let note = place.paths.checkpoints().join(UNFINISHED).join("copied");
    let text = fs::read_to_string(&note).unwrap();
    fs::write(&note, text.replacen("\"boot\":\"", "\"boot\":\"x", 1)).unwrap();
    place.make(1, None).unwrap();
    let whole = place.inodes("1");
    assert!(!half.iter().any(|inode| whole.contains(inode)));
}

#[test]
fn what_is_compressed_takes_little_and_is_put_back_as_it_was() {
    let mut place = TestSession::new();
    place.compress = true;
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    // It shares no content, whatever the other file system does.
    let paths = Paths::create(&folder.path().join("data")).unwrap();
    place.trash = Trash::open(&paths.trash()).unwrap();
    place.paths = paths.session(Uuid::new_v4());
    place.paths.create().unwrap();
    place.paths.create_sandbox().unwrap();
    let text = "what is said again and again\n".repeat(100_000);
    let file = place.paths.workspace().join("text");
    fs::write(&file, &text).unwrap();
    let old = std::time::SystemTime::now() - Duration::from_secs(100);
    File::options()
        .write(true)
        .open(&file)
        .and_then(|file| file.set_modified(old))
        .unwrap();
    place.write("little");
    // Far more than may be kept, as it is.
    let (bytes, new_bytes) = place.make(1, None).unwrap();
    assert!(bytes < 200_000 && bytes == new_bytes, "{bytes} {new_bytes}");
    let kept = place.paths.checkpoints().join("1/workspace/text");
    assert_eq!(kept.metadata().unwrap().len(), text.len() as u64);
    // What is changed by then is not told of what was not.
    let trees = |before: u32, after: u32| {
        let at = |turn: u32| place.paths.checkpoints().join(format!("{turn}/workspace"));
        let trees = crate::checkpoints::changes::Trees {
            before: Some(at(before)),
            after: at(after),
            left_out: Vec::new(),
        };
        let (files, _) = crate::checkpoints::changes::changes(&trees).unwrap();
        files
            .into_iter()
            .map(|file| (file.path, file.diff.unwrap_or_default()))
            .collect::<Vec<_>>()
    };
    fs::write(
        place.paths.workspace().join("lines"),
        "line\n".repeat(3_000),
    )
    .unwrap();
    place.make(2, Some(1)).unwrap();
    assert_eq!(
        trees(1, 2)
            .iter()
            .map(|it| it.0.as_str())
            .collect::<Vec<_>>(),
        ["lines"]
    );
    let changed = format!("{}end\n", "line\n".repeat(3_000));
    fs::write(place.paths.workspace().join("lines"), changed).unwrap();
    place.make(3, Some(2)).unwrap();
    let told = trees(2, 3);
    assert!(told[0].1.ends_with("\n+end\n"), "{told:?}");
    assert_eq!(told.len(), 1);
    let name = place.prepare(2);
    replace(&place.paths, &place.trash, &name).unwrap();
    assert!(fs::read_to_string(&file).unwrap() == text);
    assert_eq!(file.metadata().unwrap().modified().unwrap(), old);
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o1000, 0);
    let lines = fs::read_to_string(place.paths.workspace().join("lines")).unwrap();
    assert_eq!(lines, "line\n".repeat(3_000));
}

#[test]
fn a_full_disk_is_told() {
    let full = Error::Io {
        doing: "write",
        name: "x".into(),
        source: io::ErrorKind::StorageFull.into(),
    };
    assert!(MakeError::from(full).told().contains("disk is full"));
}
