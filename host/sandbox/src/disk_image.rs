//! What folders hold together, bounded by a file system of their own in a file: an ext4 image on a
//! loop device. For a server that root runs.
//!
//! An image is mounted in the mount namespace of whoever asks ([`own_mounts`]), so that nothing stays
//! mounted when the server and what it has started are gone, however they went; the kernel then frees
//! the loop device, too. Two devices over one file would destroy what is in it, so that a device that
//! has the very file is looked for first, under a lock, and mounted once more: all mounts of one device
//! are the same file system.
//!
//! The file is sparse: it takes what is in it of the disk around it, and gives back what is deleted.
//! Where that disk is full, what is written into the image cannot be kept, though whoever wrote it
//! was told that it was; its file system then stops ([`is_intact`]), and is repaired when it is mounted
//! anew. That is why nothing chooses images unasked.

use std::ffi::{OsString, c_int, c_ulong};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, FileType, Mode, OFlags, SeekFrom as Seek, fstatfs, openat, seek};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount_change,
    move_mount,
};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// The name of an image, by which those who look for its device know which may be it.
pub const NAME: &str = "disk.img";
/// The name of the folder beside it where it is mounted.
pub const MOUNT: &str = "disk";

/// The form of a template; another one where what makes it has changed.
const FORM: u32 = 1;
const MIB: u64 = 1 << 20;
/// Whether nobody else sees what this process mounts.
static HAS_OWN_MOUNTS: AtomicBool = AtomicBool::new(false);
/// The size of what is tried out.
const TRIAL: u64 = 16 * MIB;
/// What only the host may fill, in bytes: where the rest is full, it still has to make mount points
/// and place files.
const RESERVED: u64 = 8 * MIB;
/// Nobody has this id, so that nobody but those with privileges fills what is reserved.
const NOBODY: &str = "4294967294";
/// How often a free loop device is looked for that somebody else takes first.
const ATTEMPTS: u32 = 100;
/// Where a superblock has its state, and what says there that there was an error (`EXT2_ERROR_FS`) …
const STATE: usize = 0x3A;
const HAD_ERROR: u8 = 2;
/// … and where it has what a kernel must know, and what says there that the journal has something
/// (`EXT4_FEATURE_INCOMPAT_RECOVER`).
const INCOMPATIBLE: usize = 0x60;
const RECOVER: u8 = 4;

const LOOP_CTL_GET_FREE: c_ulong = 0x4C82;
const LOOP_CONFIGURE: c_ulong = 0x4C0A;
const LOOP_GET_STATUS64: c_ulong = 0x4C05;
/// `LO_FLAGS_AUTOCLEAR`: the device is free once nobody has it open.
const AUTOCLEAR: u32 = 4;
/// `LO_FLAGS_DIRECT_IO`: what is cached is not cached twice.
const DIRECT_IO: u32 = 16;
const BLOCK: u32 = 4096;

/// `struct loop_info64` of `linux/loop.h`.
#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    /// Names, a key and more, of no interest here.
    rest: [u64; 22],
}

impl LoopInfo {
    const fn new(flags: u32) -> Self {
        Self {
            device: 0,
            inode: 0,
            rdevice: 0,
            offset: 0,
            size_limit: 0,
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags,
            rest: [0; 22],
        }
    }
}

/// `struct loop_config` of `linux/loop.h`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

/// What was not done with an image.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing}: {source}")]
pub struct ImageError {
    doing: &'static str,
    source: io::Error,
}

type Result<T> = std::result::Result<T, ImageError>;

fn failed<E: Into<io::Error>>(doing: &'static str) -> impl FnOnce(E) -> ImageError {
    move |error| ImageError {
        doing,
        source: error.into(),
    }
}

impl From<ImageError> for io::Error {
    fn from(error: ImageError) -> Self {
        Self::new(error.source.kind(), error)
    }
}

/// Gives this process mounts of its own, which nobody outside of it and its children sees. What is
/// mounted outside is still seen. To be called before there are other threads.
///
/// # Errors
/// Where the process has no right to.
pub fn own_mounts() -> io::Result<()> {
    // SAFETY: no descriptor is unshared, which is what could be unsound.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
    let below = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change("/", below)?;
    HAS_OWN_MOUNTS.store(true, Ordering::Release);
    Ok(())
}

/// Whether images can be made and mounted in `folder`: tries it.
///
/// # Errors
/// Why not, in words for an operator.
pub fn check(folder: &Path) -> std::result::Result<(), String> {
    let tried = || -> io::Result<()> {
        let place = tempfile::Builder::new()
            .prefix(".disk-")
            .tempdir_in(folder)?;
        let image = place.path().join(NAME);
        create(&image, place.path(), TRIAL)?;
        open(&image)?;
        Ok(())
    };
    tried().map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "a file system image takes a server that root runs (CAP_SYS_ADMIN, /dev/loop-control): \
             {error}"
        ),
        _ => format!("a file system image cannot be used: {error}"),
    })
}

/// Makes an image whose files may take `bytes`, with nothing in it. It is there once it is whole.
/// What is the same for all of that size is made once, in the folder `templates`.
///
/// # Errors
/// Where it is not made.
pub fn create(image: &Path, templates: &Path, bytes: u64) -> Result<()> {
    let template = templates.join(format!("ext4-{FORM}-{bytes}.img"));
    let template = match File::open(&template) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_template(&template, bytes)?;
            File::open(&template)
        }
        opened => opened,
    };
    let template = template.map_err(failed("open the template of disks"))?;
    let copied = draft_beside(image).and_then(|mut draft| {
        copy_sparse(&template, draft.as_file_mut())?;
        draft.persist(image).map_err(io::Error::from)
    });
    copied.map(drop).map_err(failed("make a disk"))
}

fn draft_beside(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut draft = tempfile::Builder::new();
    draft
        .prefix(".new-")
        .permissions(Permissions::from_mode(0o600));
    draft.tempfile_in(folder)
}

fn make_template(template: &Path, bytes: u64) -> Result<()> {
    let doing = "make a file system with mkfs.ext4, of e2fsprogs";
    let journal = if bytes < 1024 * MIB { 4 } else { 16 };
    // Tables of inodes take a sixty-fourth.
    let all = (bytes + bytes / 50 + journal * MIB + RESERVED + MIB).next_multiple_of(4096);
    let draft = draft_beside(template).map_err(failed(doing))?;
    draft.as_file().set_len(all).map_err(failed(doing))?;
    #[allow(clippy::cast_precision_loss, reason = "a share of it, roughly")]
    let reserved = RESERVED.min(all / 3) as f64 * 100.0 / all as f64;
    let mut make = program("mkfs.ext4");
    make.args(["-q", "-F", "-b", "4096", "-I", "256", "-i", "16384"]);
    make.args(["-m", &format!("{reserved:.4}")]);
    make.args(["-J", &format!("size={journal}")]);
    // What would let it grow while it is mounted takes megabytes.
    make.args(["-O", "^resize_inode"]);
    // What is not written takes no room, and is zero in a new file.
    make.args(["-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard"]);
    let made = make.arg(draft.path()).output().map_err(failed(doing))?;
    if !made.status.success() {
        let said = String::from_utf8_lossy(&made.stderr);
        // Users are told, too.
        let said = said.trim().replace(&*draft.path().to_string_lossy(), "it");
        return Err(failed(doing)(io::Error::other(said)));
    }
    let placed = draft.persist(template).map_err(|error| error.error);
    placed.map(drop).map_err(failed(doing))
}

/// A program that lies where an ordinary `PATH` does not lead.
fn program(name: &str) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let mut folders = std::env::split_paths(&path).chain(system);
    let found = folders.find_map(|folder| {
        let program = folder.join(name);
        program.is_file().then(|| program.into_os_string())
    });
    let mut command = Command::new(found.unwrap_or_else(|| OsString::from(name)));
    command.stdin(Stdio::null());
    command
}

/// Copies what a sparse file has.
fn copy_sparse(from: &File, to: &mut File) -> io::Result<()> {
    let length = from.metadata()?.len();
    to.set_len(length)?;
    let mut from = from;
    let mut at = 0;
    while at < length {
        let begins = match seek(from, Seek::Data(at)) {
            // Nothing but holes is left.
            Err(Errno::NXIO) => break,
            begins => begins?,
        };
        let ends = seek(from, Seek::Hole(begins))?;
        from.seek(SeekFrom::Start(begins))?;
        to.seek(SeekFrom::Start(begins))?;
        io::copy(&mut from.take(ends - begins), to)?;
        at = ends;
    }
    Ok(())
}

/// Mounts an image at a folder.
///
/// # Errors
/// Where it is not mounted: it may be damaged, or the process have no [mounts of its
/// own](own_mounts).
pub fn mount(image: &Path, at: &Path) -> Result<()> {
    if !HAS_OWN_MOUNTS.load(Ordering::Acquire) {
        let why = io::Error::new(
            io::ErrorKind::PermissionDenied,
            "it is a file system image, which takes a server that root runs (CAP_SYS_ADMIN)",
        );
        return Err(failed("mount a session's disk")(why));
    }
    let mounted = open(image)?;
    let moved = move_mount(
        &mounted,
        "",
        CWD,
        at,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    );
    moved.map_err(failed("mount a session's disk"))
}

/// The root of an image's file system, which is at no path: it is unmounted when this is closed.
///
/// # Errors
/// As [`mount`].
pub fn open(image: &Path) -> Result<OwnedFd> {
    let doing = "open a session's disk";
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    options.custom_flags(libc::O_NOFOLLOW);
    let file = options.open(image).map_err(failed(doing))?;
    // Whoever looks for a device, and attaches one, is alone. Not the file that the device is given,
    // which would keep the lock.
    file.lock().map_err(failed(doing))?;
    let (device, path) = match attached(&file).map_err(failed("look for loop devices"))? {
        Some(found) => found,
        None => {
            repair(&file, image)?;
            let given = options.open(image).map_err(failed(doing))?;
            attach(&given).map_err(failed("attach a session's disk to a loop device"))?
        }
    };
    let mounted = mount_device(&path).map_err(failed("mount a session's disk"))?;
    drop(device);
    if !is_intact(&mounted) {
        let why = io::Error::other(
            "its file system has stopped after an error, as when the server's disk is full, and a \
             process of the session still uses it",
        );
        return Err(failed("use a session's disk")(why));
    }
    Ok(mounted)
}

/// Whether a file system, at its root or any folder of it, takes what is written; one that had an
/// error does not until it is mounted anew.
#[must_use]
pub fn is_intact(root: impl std::os::fd::AsFd) -> bool {
    // Without a name, it is gone when it is closed.
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let tried = openat(root, c".", flags, Mode::RUSR);
    !matches!(tried, Err(Errno::ROFS | Errno::IO | Errno::UCLEAN))
}

/// Unmounts what is mounted at a folder; all at once, for those who use it, too, where `detach` says
/// so. Nothing where nothing is.
///
/// # Errors
/// Where it stays: somebody uses it, if it is not detached.
pub fn unmount(at: &Path, detach: bool) -> io::Result<()> {
    let flags = match detach {
        true => UnmountFlags::DETACH | UnmountFlags::NOFOLLOW,
        false => UnmountFlags::NOFOLLOW,
    };
    match rustix::mount::unmount(at, flags) {
        Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        unmounted => Ok(unmounted?),
    }
}

/// Whether these folders lie on a mounted image.
pub(crate) fn holds(folders: [&Path; 2]) -> bool {
    let device = |path: &Path| fs::metadata(path).ok().map(|found| found.dev());
    let Some(root) = folders[0].parent() else {
        return false;
    };
    let own = device(root);
    own.is_some()
        && root.with_file_name(NAME).is_file()
        && own != root.parent().and_then(device)
        && folders
            .iter()
            .all(|folder| folder.parent() == Some(root) && device(folder) == own)
        && File::open(root)
            .and_then(|root| Ok(fstatfs(root)?))
            .is_ok_and(|found| found.f_type == libc::EXT4_SUPER_MAGIC)
}

/// The loop device that has this file, held open so that it stays, if there is one.
fn attached(image: &File) -> io::Result<Option<(File, PathBuf)>> {
    let wanted = image.metadata()?;
    for entry in fs::read_dir("/sys/block")?.flatten() {
        // There while it has a file; the path is what it is called now.
        let Ok(path) = fs::read(entry.path().join("loop/backing_file")) else {
            continue;
        };
        if !path
            .trim_ascii_end()
            .ends_with(format!("/{NAME}").as_bytes())
        {
            continue;
        }
        let path = Path::new("/dev").join(entry.file_name());
        let Ok(device) = open_device(&path) else {
            continue;
        };
        let mut info = LoopInfo::new(0);
        let pointer = std::ptr::from_mut(&mut info);
        // SAFETY: the kernel writes a `struct loop_info64` there.
        let asked = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_GET_STATUS64, pointer) };
        // An error: it has been let go meanwhile.
        if asked == 0 && (info.device, info.inode) == (wanted.dev(), wanted.ino()) {
            return Ok(Some((device, path)));
        }
    }
    Ok(None)
}

fn open_device(path: &Path) -> io::Result<File> {
    let device = OpenOptions::new().read(true).write(true).open(path)?;
    let kind = FileType::from_raw_mode(device.metadata()?.mode());
    match kind {
        FileType::BlockDevice => Ok(device),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

/// Gives a file a loop device, which stays for as long as it is open or mounted.
fn attach(image: &File) -> io::Result<(File, PathBuf)> {
    let control = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/loop-control")?;
    let config = LoopConfig {
        fd: u32::try_from(image.as_raw_fd()).unwrap_or(u32::MAX),
        block_size: BLOCK,
        info: LoopInfo::new(AUTOCLEAR | DIRECT_IO),
        reserved: [0; 8],
    };
    for _ in 0..ATTEMPTS {
        // SAFETY: it takes no argument.
        let number = checked(unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) })?;
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let device = open_device(&path)?;
        let pointer = std::ptr::from_ref(&config);
        // SAFETY: the kernel reads a `struct loop_config` there.
        let asked = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, pointer) };
        match checked(asked) {
            Ok(_) => return Ok((device, path)),
            // Somebody else was first.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("no loop device is free"))
}

fn checked(answer: c_int) -> io::Result<c_int> {
    match answer {
        -1 => Err(io::Error::last_os_error()),
        answer => Ok(answer),
    }
}

/// Repairs an image that nothing uses, where it was not unmounted well or its file system had an
/// error.
fn repair(file: &File, image: &Path) -> Result<()> {
    let doing = "read a session's disk";
    let mut superblock = [0; 0x64];
    file.read_exact_at(&mut superblock, 1024)
        .map_err(failed(doing))?;
    let has = |at: usize, flag: u8| superblock[at] & flag != 0;
    if !has(STATE, HAD_ERROR) && !has(INCOMPATIBLE, RECOVER) {
        return Ok(());
    }
    let mut check = program("e2fsck");
    let checked = check.arg("-p").arg(image).output();
    let checked = checked.map_err(failed("repair a session's disk with e2fsck"))?;
    match checked.status.code() {
        // Nothing was wrong, or it is mended.
        Some(0..4) => Ok(()),
        _ => {
            let said = String::from_utf8_lossy(&checked.stdout);
            let last = said.lines().last().unwrap_or_default();
            // It begins with the path.
            let last = last.rsplit(": ").next().unwrap_or_default().to_owned();
            Err(failed("repair a session's disk")(io::Error::other(last)))
        }
    }
}

fn mount_device(device: &Path) -> rustix::io::Result<OwnedFd> {
    let context = fsopen("ext4", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", device)?;
    // What is deleted is given back, and tables that are zero are not written.
    for flag in ["discard", "noinit_itable"] {
        fsconfig_set_flag(&context, flag)?;
    }
    fsconfig_set_string(&context, "errors", "remount-ro")?;
    // Whom a sandbox's processes are for the kernel would be root, whose it is otherwise.
    fsconfig_set_string(&context, "resuid", NOBODY)?;
    fsconfig_set_string(&context, "resgid", NOBODY)?;
    // Where it is mounted already, it is the same once more.
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOATIME;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}
