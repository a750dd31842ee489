//! Sockets that listen in the network namespace of a command which is about to start.
//!
//! The command's launcher makes the namespace, says which process is in it, and waits. From outside
//! of the sandbox a child of ours enters the namespace, opens the sockets and ends; they are in the
//! descriptor table that it shares with this process. Nothing of ours runs inside, and the command
//! starts when the sockets are there.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::Tunnel;
use crate::tunnel::{self, Device};

/// How long the launcher may take to make its namespaces.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest message of a launcher, in bytes.
const MAX_MESSAGE: usize = 4096;
/// Connections that wait to be accepted.
const BACKLOG: libc::c_int = 128;
/// Of `ioctl_ns(2)`: the user namespace that owns another namespace.
const NS_GET_USERNS: libc::Ioctl = 0xb701;

/// This process's ends of the conversation with a launcher.
pub(crate) struct Handshake {
    /// What the launcher says about the namespaces.
    pub(crate) info: File,
    /// Where it waits for a byte before it goes on.
    pub(crate) block: File,
}

impl Handshake {
    /// Opens sockets that listen at `addresses` in the namespace, in their order, and those of a
    /// tunnel behind them, and lets the launcher go on. The last one, a tunnel's device, is missing
    /// where it cannot be had and need not be. `launcher` is the id of the process that was started.
    pub(crate) fn listen(
        mut self,
        launcher: u32,
        addresses: &[SocketAddrV4],
        tunnel: Option<&Tunnel>,
    ) -> io::Result<Vec<OwnedFd>> {
        let inside = read_pid(&self.info)?;
        let namespace = File::open(format!("/proc/{inside}/ns/net"))?;
        // The number is another process's if the launcher has ended meanwhile. That one's namespace
        // could be the machine's own.
        if parent_of(inside)? != launcher || is_own(&namespace)? {
            return Err(io::Error::other("the sandbox ended before it had begun"));
        }
        let sockets = open_inside(&namespace, addresses, tunnel)?;
        self.block.write_all(b"\n")?;
        Ok(sockets)
    }
}

/// Reads the id of the launcher's child.
fn read_pid(mut info: &File) -> io::Result<u32> {
    let deadline = Instant::now() + PATIENCE;
    let mut text = Vec::new();
    let mut piece = [0; 512];
    while !text.contains(&b'}') && text.len() < MAX_MESSAGE {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: left.as_secs().cast_signed(),
            tv_nsec: left.subsec_nanos().into(),
        };
        let mut polled = [PollFd::new(info, PollFlags::IN)];
        match rustix::event::poll(&mut polled, Some(&timeout)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
        match info.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => text.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    child_pid(&text).ok_or_else(|| io::Error::other("the sandbox's launcher failed"))
}

/// The number behind `"child-pid":`.
fn child_pid(text: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(text).ok()?;
    let (_, rest) = text.split_once("\"child-pid\":")?;
    let digits: String = rest
        .trim_start()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().ok()
}

/// The parent of a process.
fn parent_of(pid: u32) -> io::Result<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name stands in parentheses and may hold anything.
    let parent = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
    parent.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Whether a network namespace is the one that this process is in.
fn is_own(namespace: &File) -> io::Result<bool> {
    let own = std::fs::metadata("/proc/self/ns/net")?;
    let other = namespace.metadata()?;
    Ok((own.dev(), own.ino()) == (other.dev(), other.ino()))
}

/// Opens listening sockets, and a tunnel's, in a network namespace.
fn open_inside(
    namespace: &File,
    addresses: &[SocketAddrV4],
    tunnel: Option<&Tunnel>,
) -> io::Result<Vec<OwnedFd>> {
    // SAFETY: the descriptor is open; the answer is a new descriptor of this process.
    let owner = unsafe {
        let fd = libc::ioctl(namespace.as_raw_fd(), NS_GET_USERNS);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(fd)
    };
    let addresses: Vec<libc::sockaddr_in> = addresses.iter().map(internet).collect();
    let device = tunnel.map(Device::new);
    let wanted = addresses.len() + device.as_ref().map_or(0, |_| tunnel::DESCRIPTORS);
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let mut reader = File::from(reader);
    // SAFETY: the child has a copy of this thread's memory and the same descriptor table. It makes
    // system calls only, on what was prepared above, and does not return.
    let child = unsafe {
        let flags = libc::CLONE_FILES | libc::SIGCHLD;
        let pid = libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0);
        if pid == 0 {
            listen_and_exit(
                namespace.as_raw_fd(),
                owner.as_raw_fd(),
                &addresses,
                device.as_ref(),
                writer.as_raw_fd(),
            );
        }
        pid
    };
    if child < 0 {
        return Err(io::Error::last_os_error());
    }
    wait_for(child)?;
    drop(writer);
    let mut report = Vec::new();
    reader.read_to_end(&mut report)?;
    let numbers: Vec<i32> = report
        .chunks_exact(4)
        .map(|bytes| i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        .collect();
    let mut sockets = Vec::with_capacity(wanted);
    let mut failure = None;
    let mut lacks_device = false;
    for (at, number) in numbers.into_iter().enumerate() {
        if number < 0 && at + 1 == wanted && tunnel.is_some_and(|tunnel| !tunnel.is_required) {
            lacks_device = true;
        } else if number < 0 {
            let error = io::Error::from_raw_os_error(-number);
            failure = Some(match at < addresses.len() {
                true => error,
                false => tunnel::failure(at - addresses.len(), error),
            });
        } else {
            // SAFETY: the child opened it in the table that this process has, and told it once.
            sockets.push(unsafe { OwnedFd::from_raw_fd(number) });
        }
    }
    match failure {
        Some(error) => Err(error),
        None if sockets.len() + usize::from(lacks_device) == wanted => Ok(sockets),
        None => Err(io::Error::other("the helper in the sandbox's network died")),
    }
}

fn wait_for(child: libc::c_long) -> io::Result<()> {
    let pid = i32::try_from(child).unwrap_or(-1);
    let pid = rustix::process::Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidData)?;
    loop {
        match rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

pub(crate) fn internet(address: &SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        // The constant fits: it is 2.
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from_ne_bytes(address.ip().octets()),
        },
        sin_zero: [0; 8],
    }
}

/// In the child: reports a descriptor for each address, or what failed as a negative number.
unsafe fn listen_and_exit(
    namespace: RawFd,
    owner: RawFd,
    addresses: &[libc::sockaddr_in],
    device: Option<&Device>,
    report: RawFd,
) -> ! {
    // SAFETY: system calls on descriptors and memory that the parent prepared; nothing allocates.
    unsafe {
        let mut entered = libc::setns(namespace, libc::CLONE_NEWNET);
        if entered < 0 && *libc::__errno_location() == libc::EPERM {
            // An ordinary user may do so as the owner of the user namespace that it belongs to.
            entered = libc::setns(owner, libc::CLONE_NEWUSER);
            if entered == 0 {
                entered = libc::setns(namespace, libc::CLONE_NEWNET);
            }
        }
        if entered < 0 {
            tell(report, -*libc::__errno_location());
            libc::_exit(1);
        }
        for address in addresses {
            let number = listen(address);
            tell(report, number);
            if number < 0 {
                libc::_exit(1);
            }
        }
        if let Some(device) = device {
            for open in [Device::resolver, Device::open] {
                let number = open(device);
                tell(report, number);
                if number < 0 {
                    libc::_exit(1);
                }
            }
        }
        libc::_exit(0);
    }
}

unsafe fn tell(report: RawFd, number: i32) {
    let bytes = number.to_ne_bytes();
    // SAFETY: the bytes live until the call returns.
    unsafe { libc::write(report, bytes.as_ptr().cast(), bytes.len()) };
}

/// A socket that listens, or the negative number of the error.
unsafe fn listen(address: &libc::sockaddr_in) -> i32 {
    // SAFETY: plain calls; sizes are those of what is pointed to.
    unsafe {
        let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        let socket = libc::socket(libc::AF_INET, kind, 0);
        if socket < 0 {
            return -*libc::__errno_location();
        }
        let one: libc::c_int = 1;
        let size = std::mem::size_of::<libc::c_int>() as libc::socklen_t;
        for (level, option) in [
            (libc::SOL_SOCKET, libc::SO_REUSEADDR),
            // Whether or not the loopback device is up yet.
            (libc::IPPROTO_IP, libc::IP_FREEBIND),
        ] {
            libc::setsockopt(socket, level, option, (&raw const one).cast(), size);
        }
        let length = std::mem::size_of::<libc::sockaddr_in>() as libc::socklen_t;
        if libc::bind(socket, std::ptr::from_ref(address).cast(), length) < 0
            || libc::listen(socket, BACKLOG) < 0
        {
            let error = -*libc::__errno_location();
            libc::close(socket);
            return error;
        }
        socket
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_launchers_message_has_the_childs_id() {
        let text = b"{\n    \"child-pid\": 4711,\n    \"net-namespace\": 4026532\n}\n";
        assert_eq!(child_pid(text), Some(4711));
        for bad in [
            &b""[..],
            b"{}",
            b"{\"child-pid\": }",
            b"\xff",
            b"{\"child-pid\": 99999999999}",
        ] {
            assert_eq!(child_pid(bad), None);
        }
    }

    #[test]
    fn a_process_has_a_parent_and_a_namespace() {
        let parent = std::os::unix::process::parent_id();
        assert_eq!(parent_of(std::process::id()).unwrap(), parent);
        assert!(is_own(&File::open("/proc/self/ns/net").unwrap()).unwrap());
    }
}
