//! Single files where an agent has put something else.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use aod_trees::{Bound, Error, Kind};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::support::{as_each_user, chmod, is_root};

#[test]
fn a_file_is_written_in_the_place_of_anything() {
    as_each_user(|place| {
        let (folder, trash) = (place.folder(), place.trash());
        let name = Path::new("file");
        let path = place.own().join(name);
        let victim = place.outside().join("folder/victim");
        let mut make: Vec<Box<dyn Fn()>> = vec![
            Box::new(|| {}),
            Box::new(|| fs::write(&path, "old").unwrap()),
            Box::new(|| fs::hard_link(&victim, &path).unwrap()),
            Box::new(|| symlink(&victim, &path).unwrap()),
            Box::new(|| symlink("nowhere", &path).unwrap()),
            Box::new(|| mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap()),
            Box::new(|| drop(UnixListener::bind(&path).unwrap())),
            Box::new(|| fs::create_dir(&path).unwrap()),
            Box::new(|| {
                fs::create_dir_all(path.join("deep/er")).unwrap();
                symlink(place.outside(), path.join("deep/link")).unwrap();
                chmod(&path.join("deep"), 0);
            }),
        ];
        if is_root() {
            make.push(Box::new(|| {
                let null = rustix::fs::makedev(1, 3);
                mknodat(CWD, &path, FileType::CharacterDevice, Mode::RWXU, null).unwrap();
            }));
        }
        for make in &make {
            make();
            folder.write(name, 0o640, b"new", &trash).unwrap();
            assert_eq!(folder.read(name, 3).unwrap(), b"new");
            let mode = path.symlink_metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o640);
            assert_eq!(folder.list(9).unwrap().len(), 1, "no draft stays");
            folder.delete(name, &trash).unwrap();
            place.check_gone("file");
            make();
            folder.delete(name, &trash).unwrap();
            place.check_gone("file");
        }
    });
}

#[test]
fn folders_are_made_and_opened_up_on_the_way() {
    as_each_user(|place| {
        let (folder, trash) = (place.folder(), place.trash());
        let path = Path::new(".x/y/settings.json");
        folder.write(path, 0o600, b"1", &trash).unwrap();
        chmod(&place.own().join(".x/y"), 0o500);
        chmod(&place.own().join(".x"), 0);
        chmod(&place.own(), 0o400);
        folder.write(path, 0o600, b"2", &trash).unwrap();
        assert_eq!(folder.read(path, 9).unwrap(), b"2");
        chmod(&place.own(), 0);
        assert_eq!(place.folder().read(path, 9).unwrap(), b"2");
        folder.delete(Path::new("not/there"), &trash).unwrap();
        chmod(&place.own().join(".x/y"), 0o500);
        folder.delete(path, &trash).unwrap();
        assert!(!place.own().join(path).exists());
    });
}

#[test]
fn a_link_leads_nowhere_and_only_regular_files_are_read() {
    as_each_user(|place| {
        let (folder, trash) = (place.folder(), place.trash());
        symlink(place.outside(), place.own().join("dir")).unwrap();
        symlink("/proc/self/root", place.own().join("magic")).unwrap();
        for path in ["dir/new", "../escape", "/etc/x", "magic/x", "", "."] {
            let path = Path::new(path);
            assert!(folder.write(path, 0o600, b"x", &trash).is_err(), "{path:?}");
            assert!(folder.file(path).is_err());
        }
        for path in ["dir/folder/victim", "../outside/folder/victim", "/x", ""] {
            let path = Path::new(path);
            assert!(folder.delete(path, &trash).is_err(), "{path:?}");
        }
        assert!(folder.folder(Path::new("dir")).is_err());
        let fifo = place.own().join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();
        let error = folder.read(Path::new("fifo"), 9).unwrap_err();
        assert!(error.to_string().contains("a FIFO"), "{error}");
        fs::write(place.own().join("long"), "12345").unwrap();
        let error = folder.read(Path::new("long"), 4).unwrap_err();
        assert!(matches!(error, Error::Bound(Bound::Bytes(4))), "{error}");
        place.check_gone("none");
    });
}

#[test]
fn a_list_has_a_bound() {
    as_each_user(|place| {
        fs::write(place.own().join("file"), "").unwrap();
        fs::create_dir(place.own().join("folder")).unwrap();
        let mut listed = place.folder().list(2).unwrap();
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(listed[0].kind, Kind::RegularFile);
        assert_eq!(listed[1].kind, Kind::Directory);
        let error = place.folder().list(1).unwrap_err();
        assert!(matches!(error, Error::Bound(Bound::Entries(1))), "{error}");
        let inside = place.folder().folder(Path::new("./folder")).unwrap();
        assert!(inside.list(0).unwrap().is_empty());
    });
}
