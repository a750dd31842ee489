//! A step before a sandbox's launcher: it lays folders over others, for that launcher alone.
//!
//! The launchers that are common take no overlays. So this program enters a mount namespace of its
//! own, in a user namespace of its own where it runs for an ordinary user, mounts what is asked for,
//! and becomes the launcher. The process stays the same one, so that who started it signals and
//! kills the launcher as without this step. The host's mounts stay as they are.
//!
//! It is a mode of the `aod-supervisor` program:
//! `--overlay [--over UPPER LOWER VIEW]... [--change UPPER LOWER WORK VIEW]... -- PROGRAM
//! [ARGUMENT...]`. In the folder `VIEW` is what comes of `UPPER` over `LOWER`: read-only, or, with
//! `--change`, so that what is written there goes to `UPPER`, which only the machine's root can ask
//! for. `WORK` is an empty folder beside `UPPER`, for the kernel.
//!
//! Where something is mounted inside of `LOWER`, an overlay would show what the mount hides, and the
//! kernel refuses that to an ordinary user. There a view that is only read is put together
//! of smaller ones.

mod parts;

use std::convert::Infallible;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Signal, getgid, getppid, getuid};
use rustix::thread::UnshareFlags;

/// The first argument of a program that is to be this step.
pub const FLAG: &str = "--overlay";
/// The option that names a folder, the one that it lies over, and where both are seen.
pub const OVER: &str = "--over";
/// As [`OVER`], for what can be written to, with the kernel's own folder before the last one.
pub const CHANGE: &str = "--change";
/// The exit code where the launcher cannot be executed, as shells have it.
const CANNOT_EXECUTE: u8 = 127;

/// Mounts what the program's arguments after [`FLAG`] ask for and becomes the launcher. Returns
/// only where that fails, and has said why on stderr.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let Err(problem) = run(arguments);
    eprintln!("aod-supervisor: {problem}");
    ExitCode::from(CANNOT_EXECUTE)
}

fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<Infallible, String> {
    let starter = getppid();
    let (overlays, mut command) = parse(arguments)?;
    let flags = enter().map_err(|error| format!("cannot make a mount namespace: {error}"))?;
    // The kernel may forget it with a change of credentials.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| format!("cannot be tied to its starter: {error}"))?;
    if getppid() != starter {
        return Err("its starter has ended".to_owned());
    }
    for overlay in &overlays {
        overlay.mount(flags).map_err(|error| {
            format!(
                "cannot lay files over {}: {error}",
                overlay.lower.to_string_lossy()
            )
        })?;
    }
    let error = command.exec();
    let program = command.get_program().to_string_lossy();
    Err(format!("cannot execute {program}: {error}"))
}

/// What is mounted.
struct Overlay {
    upper: OsString,
    lower: OsString,
    /// The kernel's own folder, where the upper one can be written to.
    work: Option<OsString>,
    view: OsString,
}

impl Overlay {
    fn mount(&self, options: &str) -> io::Result<()> {
        // By descriptors: a path could hold what the option's notation means something by, and
        // the sandbox can read in its `/proc/self/mountinfo` what is given here.
        let (upper, lower) = (open(&self.upper)?, open(&self.lower)?);
        let (upper, lower) = (upper.as_raw_fd(), lower.as_raw_fd());
        let Some(work) = &self.work else {
            let inside = parts::mounts_inside(Path::new(&self.lower))?;
            return match inside.is_empty() {
                true => over(upper, lower, &self.view, options),
                false => parts::mount(self, &inside, options),
            };
        };
        let work = open(work)?;
        let work = work.as_raw_fd();
        // What is written must make sense over another lower folder of the same content, later.
        let data = format!(
            "lowerdir=/proc/self/fd/{lower},upperdir=/proc/self/fd/{upper},\
             workdir=/proc/self/fd/{work},index=off,metacopy=off,redirect_dir=off{options}"
        );
        let flags = libc::MS_NODEV | libc::MS_NOSUID;
        mount(Some(c"overlay"), &self.view, flags, &data)
    }
}

/// Shows in `view` what comes of one open folder over another, read-only.
fn over(upper: RawFd, lower: RawFd, view: &OsStr, options: &str) -> io::Result<()> {
    let flags = libc::MS_NODEV | libc::MS_NOSUID | libc::MS_RDONLY;
    let data = format!("lowerdir=/proc/self/fd/{upper}:/proc/self/fd/{lower}{options}");
    mount(Some(c"overlay"), view, flags, &data)
}

fn open(folder: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(folder, flags, Mode::empty())?)
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<(Vec<Overlay>, Command), String> {
    let mut arguments = arguments.into_iter();
    let mut next = || arguments.next().ok_or("there is no launcher");
    let mut overlays = Vec::new();
    loop {
        let word = next()?;
        if word == "--" {
            break;
        }
        if word != OVER && word != CHANGE {
            return Err("the launcher does not follow `--`".to_owned());
        }
        overlays.push(Overlay {
            upper: next()?,
            lower: next()?,
            work: match word == CHANGE {
                true => Some(next()?),
                false => None,
            },
            view: next()?,
        });
    }
    let mut command = Command::new(next()?);
    command.args(arguments);
    Ok((overlays, command))
}

/// Enters a mount namespace from which nothing is seen outside. Answers further options of
/// overlays in it.
fn enter() -> io::Result<&'static str> {
    let (user, group) = (getuid().as_raw(), getgid().as_raw());
    let options = match unshare(UnshareFlags::NEWNS) {
        Ok(()) => "",
        // An ordinary user, or one in a container, may do so in a user namespace.
        Err(Errno::PERM) => {
            unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS)?;
            write("/proc/self/setgroups", "deny")?;
            write("/proc/self/uid_map", &format!("{user} {user} 1"))?;
            write("/proc/self/gid_map", &format!("{group} {group} 1"))?;
            // Attributes of other names are for the machine's own root.
            ",userxattr"
        }
        Err(error) => return Err(error.into()),
    };
    // What is unmounted outside is unmounted here, too, and nothing goes the other way.
    mount(None, "/".as_ref(), libc::MS_SLAVE | libc::MS_REC, "")?;
    Ok(options)
}

fn unshare(flags: UnshareFlags) -> Result<(), Errno> {
    // SAFETY: this process has one thread, and descriptors stay as they are.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

/// Mounts a file system of a kind, or changes what is mounted.
fn mount(kind: Option<&CStr>, at: &OsStr, flags: libc::c_ulong, data: &str) -> io::Result<()> {
    mount_from(c"aod", kind, at, flags, data)
}

/// As [`mount`], of something that has a name.
fn mount_from(
    from: &CStr,
    kind: Option<&CStr>,
    at: &OsStr,
    flags: libc::c_ulong,
    data: &str,
) -> io::Result<()> {
    let at = CString::new(at.as_bytes())?;
    let data = CString::new(data)?;
    // SAFETY: all texts live until the call returns, and end with a NUL byte.
    let result = unsafe {
        libc::mount(
            from.as_ptr(),
            at.as_ptr(),
            kind.map_or(std::ptr::null(), CStr::as_ptr),
            flags,
            data.as_ptr().cast(),
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn write(path: &str, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<(usize, OsString), String> {
        let (overlays, command) = parse(words.iter().map(OsString::from))?;
        Ok((overlays.len(), command.get_program().to_owned()))
    }

    #[test]
    fn overlays_come_before_the_launcher() {
        assert_eq!(parsed(&["--", "/l", "--over"]), Ok((0, "/l".into())));
        let words = ["--over", "a", "b", "c", "--over", "d", "e", "f", "--", "/l"];
        assert_eq!(parsed(&words), Ok((2, "/l".into())));
        let words = ["--change", "a", "b", "w", "c", "--", "/l", "x"];
        assert_eq!(parsed(&words), Ok((1, "/l".into())));
        for wrong in [
            &["--over", "a", "b"][..],
            &["--change", "a", "b", "c", "--", "/l"],
            &["--"],
            &[],
            &["--other", "--", "/l"],
        ] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }
}
