//! Images that are mounted while somebody uses them, on real loop devices. Where those cannot be had
//! these are skipped, and say so.

use std::fs;

use super::*;
use crate::Paths;
use uuid::Uuid;

const MIB: u64 = 1 << 20;

struct Data {
    folder: tempfile::TempDir,
    paths: Paths,
}

impl Data {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        if let Err(why) = DiskBy::Image.check(folder.path()) {
            eprintln!("skipped: {why}");
            return None;
        }
        disk_image::own_mounts().unwrap();
        let paths = Paths::create(&folder.path().join("data")).unwrap();
        let paths = paths.with_disks(DiskBy::Image, Some(64 * MIB));
        Some(Self { folder, paths })
    }

    /// What a server that was started anew has.
    fn anew(&self) -> Paths {
        let paths = Paths::create(&self.folder.path().join("data")).unwrap();
        paths.with_disks(DiskBy::Watch, None)
    }
}

/// The loop devices that have files in a folder.
fn devices(folder: &Path) -> usize {
    let devices = fs::read_dir("/sys/block").unwrap().flatten();
    let has = |path: &PathBuf| {
        fs::read_to_string(path.join("loop/backing_file"))
            .is_ok_and(|file| file.starts_with(folder.to_str().unwrap()))
    };
    devices.map(|entry| entry.path()).filter(has).count()
}

/// The kernel frees a device a moment after it was unmounted.
fn no_device_is_left(folder: &Path) {
    let until = Instant::now() + Duration::from_secs(30);
    while devices(folder) > 0 {
        assert!(Instant::now() < until, "a loop device is left");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn files_are_there_while_somebody_uses_them_and_nothing_in_their_place_else() {
    let Some(data) = Data::new() else {
        return;
    };
    let session = data.paths.session(Uuid::new_v4());
    session.create().unwrap();
    session.create_sandbox().unwrap();
    let (one, other) = (session.disk().unwrap(), session.disk().unwrap());
    assert_eq!(devices(data.folder.path()), 1);
    fs::write(session.home().join("kept"), "kept").unwrap();
    drop(one);
    data.paths.disks().unmount_quiet(Duration::ZERO);
    assert!(session.home().join("kept").exists(), "somebody uses it");
    drop(other);
    data.paths.disks().unmount_quiet(QUIET);
    assert!(session.home().join("kept").exists(), "it was used just now");
    let open = File::open(session.home().join("kept")).unwrap();
    data.paths.disks().unmount_quiet(Duration::ZERO);
    assert!(session.home().join("kept").exists(), "a file is open");
    drop(open);
    data.paths.disks().unmount_quiet(Duration::ZERO);
    assert_eq!(data.paths.disks().mounted(), 0);
    assert!(!session.home().exists() && !session.workspace().exists());
    no_device_is_left(data.folder.path());
    // A server with other settings has them, too.
    let session = data
        .anew()
        .session(Uuid::parse_str(session.root().file_name().unwrap().to_str().unwrap()).unwrap());
    session.create_sandbox().unwrap();
    let _used = session.disk().unwrap();
    assert_eq!(
        fs::read_to_string(session.home().join("kept")).unwrap(),
        "kept"
    );
}

#[test]
fn all_who_mount_an_image_have_one_device_and_the_same_files() {
    let Some(data) = Data::new() else {
        return;
    };
    let id = Uuid::new_v4();
    let session = data.paths.session(id);
    session.create().unwrap();
    session.create_sandbox().unwrap();
    data.paths.disks().unmount_quiet(Duration::ZERO);
    no_device_is_left(data.folder.path());
    // As from processes that know nothing of each other.
    let image = session.image().unwrap();
    let opened: Vec<_> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| disk_image::open(&image).unwrap()))
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(devices(data.folder.path()), 1);
    let _used = session.disk().unwrap();
    for (number, root) in opened.iter().enumerate() {
        use std::os::fd::AsRawFd as _;
        let file = format!("/proc/self/fd/{}/workspace/{number}", root.as_raw_fd());
        fs::write(file, "x").unwrap();
    }
    assert_eq!(fs::read_dir(session.workspace()).unwrap().count(), 16);
    assert_eq!(devices(data.folder.path()), 1);
    drop(opened);
    drop(_used);
    // They come and go at once: never are there two, and nothing is lost.
    std::thread::scope(|scope| {
        for number in 0..4 {
            let image = &image;
            scope.spawn(move || {
                use std::os::fd::AsRawFd as _;
                for round in 0..30 {
                    let root = disk_image::open(image).unwrap();
                    let home = format!("/proc/self/fd/{}/home", root.as_raw_fd());
                    fs::write(format!("{home}/{number}-{round}"), "x").unwrap();
                }
            });
        }
    });
    let _used = session.disk().unwrap();
    assert_eq!(fs::read_dir(session.home()).unwrap().count(), 120);
}

#[test]
fn what_goes_is_unmounted_for_all() {
    let Some(data) = Data::new() else {
        return;
    };
    let trash = aod_trees::Trash::open(&data.paths.trash()).unwrap();
    let session = data.paths.session(Uuid::new_v4());
    session.create().unwrap();
    session.create_sandbox().unwrap();
    let used = session.disk().unwrap();
    let other = session.replacement("replacement-x");
    fs::create_dir(other.root()).unwrap();
    other.create_sandbox_like(&session).unwrap();
    assert_eq!(devices(data.folder.path()), 2);
    session.discard(&trash).unwrap();
    assert!(!session.root().exists());
    trash.sweep(&aod_trees::Limits::default()).unwrap();
    assert!(trash.is_empty().unwrap());
    drop(used);
    assert_eq!(data.paths.disks().mounted(), 0);
    no_device_is_left(data.folder.path());
}

#[test]
fn what_is_damaged_is_said_and_can_go() {
    let Some(data) = Data::new() else {
        return;
    };
    let session = data.paths.session(Uuid::new_v4());
    session.create().unwrap();
    session.create_sandbox().unwrap();
    data.paths.disks().unmount_quiet(Duration::ZERO);
    no_device_is_left(data.folder.path());
    let image = session.image().unwrap();
    let file = File::options().write(true).open(&image).unwrap();
    use std::os::unix::fs::FileExt as _;
    file.write_all_at(&[0xAA; 64 << 10], 0).unwrap();
    let error = session.disk().unwrap_err().to_string();
    assert!(error.contains("session's disk"), "{error}");
    assert!(!session.home().exists());
    let trash = aod_trees::Trash::open(&data.paths.trash()).unwrap();
    session.discard(&trash).unwrap();
    no_device_is_left(data.folder.path());
}
