//! A device in a command's network namespace whose packets a program outside takes.
//!
//! It is for programs that know no proxy. What they send to the internet comes out of a descriptor,
//! packet by packet, and whoever has it decides what becomes of it. No route, no rule and no table
//! of the namespace does: a command may bind its sockets to the device (`SO_BINDTODEVICE`), and the
//! kernel then sends whatever routes say, those that prohibit among them.

use std::ffi::{CStr, CString, c_int};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use serde::{Deserialize, Serialize};

use crate::netns::internet;

/// The device's name, inside.
const NAME: &CStr = c"aod0";
/// Where the kernel gives such devices away.
const CLONE: &CStr = c"/dev/net/tun";
/// Where the kernel is told who may send questions for an echo: nobody, in a new namespace.
const PINGERS: &CStr = c"/proc/sys/net/ipv4/ping_group_range";
/// How often that is tried, in steps of two milliseconds.
const PING_TRIES: u32 = 250;
/// The longest packet, in bytes: a multiple of 4 that leaves room for the headers of a link.
pub const MTU: u16 = 65_520;
/// How many descriptors a tunnel has.
pub(crate) const DESCRIPTORS: usize = 2;

/// A device by which IP packets leave a command's network namespace, and a socket by which names
/// are resolved there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tunnel {
    /// The command's address.
    pub v4: Ipv4Addr,
    /// The command's address where the kernel knows IPv6.
    pub v6: Ipv6Addr,
    /// Where questions for names are taken, over UDP.
    pub resolver: SocketAddrV4,
    /// Whether the command is not started where it can have no device. Otherwise it is started
    /// without one then.
    pub is_required: bool,
}

impl Tunnel {
    /// The tunnel of a command. Its addresses are the same for all of them, and nobody's elsewhere:
    /// of the block for what ends at a host (RFC 7335), and of one for local use (RFC 4193). Its
    /// resolver is where C libraries look for one.
    #[must_use]
    pub const fn new(is_required: bool) -> Self {
        Self {
            v4: Ipv4Addr::new(192, 0, 0, 2),
            v6: Ipv6Addr::new(0xfd61, 0, 0, 0, 0, 0, 0, 2),
            resolver: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 53),
            is_required,
        }
    }
}

/// What failed, said so that somebody can mend it.
pub(crate) fn failure(descriptor: usize, error: io::Error) -> io::Error {
    let what = match descriptor {
        0 => "cannot listen for questions for names".to_owned(),
        _ => format!(
            "cannot make a network device (egress.raw): {} has to be there and open to the server's \
             user",
            CLONE.to_string_lossy()
        ),
    };
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// A tunnel, prepared so that nothing has to be allocated to open it.
pub(crate) struct Device {
    resolver: libc::sockaddr_in,
    interface: libc::ifreq,
    v4: libc::sockaddr_in,
    v6: libc::in6_addr,
    /// What the command's group may be, for the owner of its namespace, where it may send questions
    /// for an echo. The kernel takes the one that is.
    groups: Vec<CString>,
}

impl Device {
    pub(crate) fn new(tunnel: &Tunnel) -> Self {
        // SAFETY: all zeros is a value of this type of the system's.
        let mut interface: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in interface.ifr_name.iter_mut().zip(NAME.to_bytes()) {
            *to = libc::c_char::from_ne_bytes([*from]);
        }
        Self {
            resolver: internet(&tunnel.resolver),
            interface,
            v4: internet(&SocketAddrV4::new(tunnel.v4, 0)),
            v6: libc::in6_addr {
                s6_addr: tunnel.v6.octets(),
            },
            // Where the device leads nowhere, so would an echo.
            groups: match tunnel.is_required {
                true => groups(),
                false => Vec::new(),
            },
        }
    }

    /// A socket for questions, or the negative number of the error. Makes system calls only.
    pub(crate) unsafe fn resolver(&self) -> c_int {
        // SAFETY: plain calls; sizes are those of what is pointed to.
        unsafe {
            let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
            let socket = libc::socket(libc::AF_INET, kind, 0);
            if socket < 0 {
                return last_error();
            }
            let one: c_int = 1;
            let size = std::mem::size_of::<c_int>() as libc::socklen_t;
            // Whether or not the loopback device is up yet.
            libc::setsockopt(
                socket,
                libc::IPPROTO_IP,
                libc::IP_FREEBIND,
                (&raw const one).cast(),
                size,
            );
            let length = std::mem::size_of::<libc::sockaddr_in>() as libc::socklen_t;
            match libc::bind(socket, (&raw const self.resolver).cast(), length) {
                0 => socket,
                _ => closed(socket),
            }
        }
    }

    /// The device, with its addresses and routes, or the negative number of the error. Makes system
    /// calls only.
    pub(crate) unsafe fn open(&self) -> c_int {
        // SAFETY: plain calls on what is prepared here.
        unsafe {
            let flags = libc::O_RDWR | libc::O_CLOEXEC | libc::O_NONBLOCK;
            let device = libc::open(CLONE.as_ptr(), flags);
            if device < 0 {
                return last_error();
            }
            let mut request = self.interface;
            request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
            if libc::ioctl(device, libc::TUNSETIFF, &raw const request) < 0 {
                return closed(device);
            }
            let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
            let done = socket >= 0 && self.configure(socket);
            let error = last_error();
            if socket >= 0 {
                libc::close(socket);
            }
            if !done {
                libc::close(device);
                return error;
            }
            self.let_ping();
            // Where the kernel knows no IPv6, there is none.
            let socket = libc::socket(libc::AF_INET6, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
            if socket >= 0 {
                self.configure_v6(socket);
                libc::close(socket);
            }
            device
        }
    }

    /// Lets the command send questions for an echo. Where the kernel's settings cannot be written, it
    /// may not.
    unsafe fn let_ping(&self) {
        if self.groups.is_empty() {
            return;
        }
        for _ in 0..PING_TRIES {
            for group in &self.groups {
                // SAFETY: plain calls on what is prepared here.
                let error = unsafe {
                    let setting = libc::open(PINGERS.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
                    if setting < 0 {
                        return;
                    }
                    let text = group.to_bytes();
                    let written = libc::write(setting, text.as_ptr().cast(), text.len());
                    let error = last_error();
                    libc::close(setting);
                    if written > 0 {
                        return;
                    }
                    error
                };
                if error != -libc::EINVAL {
                    return;
                }
            }
            // The launcher may not have said yet what groups there are in its namespace.
            let pause = libc::timespec {
                tv_sec: 0,
                tv_nsec: 2_000_000,
            };
            // SAFETY: the time lives until the call returns.
            unsafe { libc::nanosleep(&raw const pause, std::ptr::null_mut()) };
        }
    }

    /// The device's address and the way to everywhere.
    unsafe fn configure(&self, socket: c_int) -> bool {
        // SAFETY: plain calls on what is prepared here.
        unsafe {
            let address = |request: &mut libc::ifreq, value: libc::sockaddr_in| {
                request.ifr_ifru.ifru_addr =
                    std::mem::transmute::<libc::sockaddr_in, libc::sockaddr>(value);
            };
            let mut request = self.interface;
            request.ifr_ifru.ifru_mtu = MTU.into();
            if libc::ioctl(socket, libc::SIOCSIFMTU, &raw const request) < 0 {
                return false;
            }
            address(&mut request, self.v4);
            if libc::ioctl(socket, libc::SIOCSIFADDR, &raw const request) < 0 {
                return false;
            }
            let mut mask = self.v4;
            mask.sin_addr.s_addr = u32::MAX;
            address(&mut request, mask);
            if libc::ioctl(socket, libc::SIOCSIFNETMASK, &raw const request) < 0 {
                return false;
            }
            self.keep_quiet(socket);
            // Without the flag for groups: nothing is to be told to any.
            let flags = libc::IFF_UP | libc::IFF_POINTOPOINT | libc::IFF_NOARP;
            request.ifr_ifru.ifru_flags = flags as libc::c_short;
            if libc::ioctl(socket, libc::SIOCSIFFLAGS, &raw const request) < 0 {
                return false;
            }
            let mut nowhere = self.v4;
            nowhere.sin_addr.s_addr = 0;
            let mut route: libc::rtentry = std::mem::zeroed();
            route.rt_dst = std::mem::transmute::<libc::sockaddr_in, libc::sockaddr>(nowhere);
            route.rt_genmask = route.rt_dst;
            route.rt_flags = libc::RTF_UP;
            route.rt_dev = NAME.as_ptr().cast_mut();
            libc::ioctl(socket, libc::SIOCADDRT, &raw const route) == 0
        }
    }

    /// Keeps the kernel from giving the device a link-local address: with one it would look for
    /// routers again and again, by packets for which a program would have to be started.
    unsafe fn keep_quiet(&self, socket: c_int) {
        // SAFETY: plain calls on what is prepared here; sizes are those of what is pointed to.
        unsafe {
            let mut request = self.interface;
            if libc::ioctl(socket, libc::SIOCGIFINDEX, &raw mut request) < 0 {
                return;
            }
            let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
            let netlink = libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE);
            if netlink < 0 {
                return;
            }
            let message = NoLinkLocal::of(request.ifr_ifru.ifru_ifindex);
            let length = size_of::<NoLinkLocal>();
            // It is done when it is sent. Where the kernel knows no IPv6, there is nothing to do.
            libc::send(netlink, (&raw const message).cast(), length, 0);
            libc::close(netlink);
        }
    }

    unsafe fn configure_v6(&self, socket: c_int) {
        // SAFETY: plain calls on what is prepared here.
        unsafe {
            let mut request = self.interface;
            if libc::ioctl(socket, libc::SIOCGIFINDEX, &raw mut request) < 0 {
                return;
            }
            let index = request.ifr_ifru.ifru_ifindex;
            let address = libc::in6_ifreq {
                ifr6_addr: self.v6,
                ifr6_prefixlen: 128,
                ifr6_ifindex: index,
            };
            if libc::ioctl(socket, libc::SIOCSIFADDR, &raw const address) < 0 {
                return;
            }
            let route = RouteV6 {
                metric: 1,
                flags: libc::RTF_UP.into(),
                index,
                ..RouteV6::default()
            };
            libc::ioctl(socket, libc::SIOCADDRT, &raw const route);
        }
    }
}

/// Ranges of one group: this process's, and what it may be called in a user namespace.
fn groups() -> Vec<CString> {
    let own = rustix::process::getegid().as_raw();
    let ranges = [own, 1000, 0].map(|group| CString::new(format!("{group} {group}")));
    ranges.into_iter().flatten().collect()
}

/// Tells the kernel that a device is to have no addresses of its own making (`rtnetlink(7)`).
#[repr(C)]
struct NoLinkLocal {
    length: u32,
    kind: u16,
    flags: u16,
    sequence: u32,
    port: u32,
    family: u16,
    device_kind: u16,
    index: c_int,
    device_flags: u32,
    change: u32,
    /// Attributes within each other: a length and a kind each, and the last one's value.
    attributes: [u16; 6],
    mode: u8,
    padding: [u8; 3],
}

impl NoLinkLocal {
    const fn of(index: c_int) -> Self {
        const OF_FAMILY: u16 = 26; // IFLA_AF_SPEC
        const ADDRESSES: u16 = 8; // IFLA_INET6_ADDR_GEN_MODE
        const NONE: u8 = 1; // IN6_ADDR_GEN_MODE_NONE
        Self {
            length: size_of::<Self>() as u32,
            kind: libc::RTM_NEWLINK,
            flags: libc::NLM_F_REQUEST as u16,
            sequence: 0,
            port: 0,
            family: libc::AF_UNSPEC as u16,
            device_kind: 0,
            index,
            device_flags: 0,
            change: 0,
            attributes: [16, OF_FAMILY, 12, libc::AF_INET6 as u16, 5, ADDRESSES],
            mode: NONE,
            padding: [0; 3],
        }
    }
}

const _: () = assert!(size_of::<NoLinkLocal>() == 48);

/// The system's `in6_rtmsg`, whose fields are private in `libc`. All zeros is the way to everywhere.
#[repr(C)]
#[derive(Default)]
struct RouteV6 {
    target: [u32; 4],
    source: [u32; 4],
    gateway: [u32; 4],
    kind: u32,
    target_length: u16,
    source_length: u16,
    metric: u32,
    info: libc::c_ulong,
    flags: u32,
    index: c_int,
}

const _: () = assert!(size_of::<RouteV6>() == size_of::<libc::in6_rtmsg>());

unsafe fn last_error() -> c_int {
    // SAFETY: it is this thread's own.
    unsafe { -*libc::__errno_location() }
}

unsafe fn closed(fd: c_int) -> c_int {
    // SAFETY: the caller gives the descriptor up.
    unsafe {
        let error = last_error();
        libc::close(fd);
        error
    }
}
