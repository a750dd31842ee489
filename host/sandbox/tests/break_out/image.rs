//! What home and workspace hold, bounded by a file system of their own. Where there is no loop device
//! to be had these are skipped, and say so.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use aod_sandbox::disk_image::{self, NAME};
use aod_sandbox::{Ended, SandboxDriver as _, SandboxSpec};

use crate::{BURSTS, Session, collect, eventually};

const MIB: u64 = 1 << 20;
const LIMIT: u64 = 40 * MIB;

/// A session whose home and workspace are in an image.
struct Imaged {
    session: Session,
    root: PathBuf,
    image: PathBuf,
}

impl Imaged {
    /// None, with the reason printed, where that cannot be.
    fn new() -> Option<Self> {
        let session = Session::new();
        let folder = session.data.path().join("sessions/own");
        if let Err(why) = disk_image::check(&folder) {
            eprintln!("skipped: {why}");
            return None;
        }
        disk_image::own_mounts().unwrap();
        let (root, image) = (folder.join("disk"), folder.join(NAME));
        fs::create_dir(&root).unwrap();
        disk_image::create(&image, session.data.path(), LIMIT).unwrap();
        disk_image::mount(&image, &root).unwrap();
        for tree in ["home", "workspace"] {
            fs::create_dir(root.join(tree)).unwrap();
        }
        Some(Self {
            session,
            root,
            image,
        })
    }

    fn spec(&self, script: &str) -> SandboxSpec {
        let argv = ["bash", "-c", script].map(str::to_owned).into();
        let (home, workspace) = (self.root.join("home"), self.root.join("workspace"));
        let mut spec = SandboxSpec::new(argv, home, workspace);
        spec.limits.disk_bytes = Some(LIMIT);
        spec
    }

    /// Runs a script; answers what it wrote.
    fn run(&self, script: &str) -> String {
        let launch = self.session.driver.launch(&self.spec(script)).unwrap();
        assert_eq!(launch.polled_limits.disk, None, "the kernel holds it");
        let (ended, output) = collect(&launch);
        assert_eq!(ended, Ended::Exited(0), "{output}");
        output
    }

    /// What the image takes of the disk around it.
    fn taken(&self) -> u64 {
        self.image.metadata().unwrap().blocks() * 512
    }
}

impl Drop for Imaged {
    fn drop(&mut self) {
        disk_image::unmount(&self.root, true).unwrap();
    }
}

#[test]
fn no_burst_passes_whatever_is_written() {
    for script in BURSTS {
        let Some(imaged) = Imaged::new() else {
            return;
        };
        let output = imaged.run(&format!("{{ {script}; }} 2>&1 || echo refused"));
        assert!(output.ends_with("refused\n"), "{script}: {output}");
        // The host can still place what the next command needs, where root may do all.
        let placed = fs::write(imaged.root.join("home/placed"), vec![1; 1 << 20]);
        assert!(placed.is_ok() || !may_fill_all(), "{placed:?}");
        let held = imaged.run("du -sc --block-size=1 ~ . | tail -1 | cut -f1");
        let held: u64 = held.trim().parse().unwrap();
        assert!(held <= LIMIT + 2 * MIB, "{script}: {held}");
        // And nearly all of it can be used.
        let output = imaged
            .run("rm -rf ~/* ./*; fallocate -l 39000000 most && head -c 100 most | wc -c; rm most");
        assert_eq!(output, "100\n", "{script}");
    }
}

/// Whether this process may fill what a file system keeps back (`CAP_SYS_RESOURCE`).
fn may_fill_all() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let own = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let own = u64::from_str_radix(own.unwrap().trim(), 16).unwrap();
    own & 1 << 24 != 0
}

#[test]
fn what_is_deleted_is_given_back() {
    let Some(imaged) = Imaged::new() else {
        return;
    };
    let before = imaged.taken();
    imaged.run("head -c 30000000 /dev/urandom > big; sync");
    assert!(imaged.taken() > before + 25 * MIB, "{}", imaged.taken());
    imaged.run("rm big; sync");
    eventually("it is given back", || imaged.taken() < before + 10 * MIB);
}

#[test]
fn nobody_inside_sees_the_image_its_device_or_the_hosts_paths() {
    let Some(imaged) = Imaged::new() else {
        return;
    };
    let output = imaged.run(
        "cat /proc/self/mountinfo; ls /dev; ls -a ~/.. /workspace/..; \
         umount ~ 2>&1; mount -o remount,suid,dev ~ 2>&1; mount -o remount,rw /workspace 2>&1; true",
    );
    let data = imaged.session.data.path().to_str().unwrap();
    assert!(!output.contains(data) && !output.contains(NAME), "{output}");
    let own: Vec<_> = output
        .lines()
        .filter(|line| line.contains("- ext4") && line.contains("/dev/loop"))
        .collect();
    assert_eq!(own.len(), 2, "{output}");
    assert!(
        own.iter().all(|line| line.contains("nosuid,nodev")),
        "{output}"
    );
    let devices = output.lines().any(|line| line.starts_with("loop"));
    assert!(!devices && !output.contains("lost+found"), "{output}");
    // What the host alone may fill stays free of the sandbox's processes, whose user is root outside.
    let output = imaged.run(
        "head -c 200000000 /dev/zero > big 2>/dev/null; head -c 100000 /dev/zero > more || echo full",
    );
    assert!(output.ends_with("full\n"), "{output}");
}

#[test]
fn nothing_is_left_of_a_disk_that_is_unmounted_not_even_after_a_kill() {
    let Some(imaged) = Imaged::new() else {
        return;
    };
    let folder = imaged.session.data.path().to_owned();
    let devices = move || {
        let has = |path: &Path| {
            fs::read_to_string(path.join("loop/backing_file"))
                .is_ok_and(|file| file.starts_with(folder.to_str().unwrap()))
        };
        let all = fs::read_dir("/sys/block").unwrap().flatten();
        all.filter(|entry| has(&entry.path())).count()
    };
    assert_eq!(devices(), 1);
    // A sandbox has it, whoever unmounts it outside.
    let mut spec = imaged.spec("echo > begun; until test -e ~/end; do sleep 0.01; done");
    spec.limits.disk_bytes = None;
    let launch = imaged.session.driver.launch(&spec).unwrap();
    let running = std::thread::spawn(move || collect(&launch));
    eventually("it has begun", || {
        imaged.root.join("workspace/begun").exists()
    });
    disk_image::unmount(&imaged.root, true).unwrap();
    assert!(!imaged.root.join("home").exists());
    assert_eq!(devices(), 1);
    disk_image::mount(&imaged.image, &imaged.root).unwrap();
    assert_eq!(devices(), 1);
    fs::write(imaged.root.join("home/end"), "").unwrap();
    assert!(running.join().unwrap().0.success());
    disk_image::unmount(&imaged.root, true).unwrap();
    eventually("the device is free", || devices() == 0);
}
