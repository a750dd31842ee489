//! What tests make trees with.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use aod_trees::{Folder, Limits, Trash};
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// As deep as any tree of these tests.
pub(crate) const DEEP: usize = 100_000;

/// A user without privileges that is nobody here.
const ORDINARY: u32 = 65_534;

/// Far less than a recursion over [`DEEP`] levels takes.
const STACK: usize = 512 << 10;

/// A folder with a trash beside it, and a file that must outlive every test.
pub(crate) struct TestFolder {
    root: tempfile::TempDir,
}

impl TestFolder {
    /// On the disk.
    pub(crate) fn new() -> Self {
        Self::within(tempfile::tempdir().unwrap())
    }

    /// In memory, where a disk would take minutes for what a test makes.
    pub(crate) fn in_memory() -> Self {
        match tempfile::tempdir_in("/dev/shm") {
            Ok(root) => Self::within(root),
            Err(_) => Self::new(),
        }
    }

    fn within(root: tempfile::TempDir) -> Self {
        std::fs::create_dir(root.path().join("own")).unwrap();
        std::fs::create_dir_all(root.path().join("outside/folder")).unwrap();
        std::fs::write(root.path().join("outside/folder/victim"), "kept").unwrap();
        Self { root }
    }

    /// The folder that belongs to an agent.
    pub(crate) fn own(&self) -> PathBuf {
        self.root.path().join("own")
    }

    pub(crate) fn outside(&self) -> PathBuf {
        self.root.path().join("outside")
    }

    pub(crate) fn folder(&self) -> Folder {
        Folder::open(&self.own()).unwrap()
    }

    pub(crate) fn trash(&self) -> Trash {
        Trash::open(&self.root.path().join("trash")).unwrap()
    }

    /// Removes a name in the agent's folder, and checks that it is gone and nothing else is.
    pub(crate) fn remove(&self, name: &str) -> aod_trees::Removed {
        let removed =
            aod_trees::remove(&self.folder(), OsStr::new(name), &Limits::default()).unwrap();
        self.check_gone(name);
        removed
    }

    pub(crate) fn check_gone(&self, name: &str) {
        assert!(self.own().join(name).symlink_metadata().is_err());
        let kept = std::fs::read(self.outside().join("folder/victim")).unwrap();
        assert_eq!(kept, b"kept");
    }
}

impl Drop for TestFolder {
    /// Removes what the folder itself is not removed with: folders that their owner closed.
    fn drop(&mut self) {
        if let Ok(root) = Folder::open(self.root.path()) {
            for name in ["own", "trash"] {
                // What is not there need not go, and a test that fails has other things to say.
                let _ = aod_trees::remove(&root, OsStr::new(name), &Limits::default());
            }
        }
    }
}

/// Runs a test as whoever runs it and, where that is root, as an ordinary user, too: on a thread
/// with a small stack, in a process that may hold few descriptors.
pub(crate) fn as_each_user(test: fn(&TestFolder)) {
    as_each_user_in(TestFolder::new, test);
}

/// The same, with its place in memory.
pub(crate) fn as_each_user_in_memory(test: fn(&TestFolder)) {
    as_each_user_in(TestFolder::in_memory, test);
}

fn as_each_user_in(place: fn() -> TestFolder, test: fn(&TestFolder)) {
    let limit = getrlimit(Resource::Nofile);
    let few = Rlimit {
        current: Some(128),
        ..limit
    };
    setrlimit(Resource::Nofile, few).unwrap();
    on_thread(move || test(&place()));
    if rustix::process::geteuid().is_root() {
        on_thread(move || {
            become_ordinary();
            test(&place());
        });
    }
}

/// Whether the calling thread has root's privileges.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn on_thread(test: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK);
        let ended = thread.spawn_scoped(scope, test).unwrap().join();
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Gives up the calling thread's privileges: Linux keeps them for each thread.
fn become_ordinary() {
    let group = rustix::process::Gid::from_raw(ORDINARY);
    let user = rustix::process::Uid::from_raw(ORDINARY);
    rustix::thread::set_thread_groups(&[]).unwrap();
    rustix::thread::set_thread_res_gid(group, group, group).unwrap();
    rustix::thread::set_thread_res_uid(user, user, user).unwrap();
    assert!(!is_root());
}

/// Nests folders named `d` in a folder, and returns the innermost.
pub(crate) fn nest(root: &Path, levels: usize) -> OwnedFd {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let mut folder = openat(CWD, root, flags, Mode::empty()).unwrap();
    for _ in 0..levels {
        mkdirat(&folder, "d", Mode::RWXU).unwrap();
        folder = openat(&folder, "d", flags, Mode::empty()).unwrap();
    }
    folder
}

pub(crate) fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The memory of this process that is in use, in bytes.
pub(crate) fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib: u64 = line
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    kib << 10
}
