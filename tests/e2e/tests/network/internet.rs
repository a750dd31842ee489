//! A machine and an internet of a test's own, in network namespaces.

use std::process::{Child, Command};

use aod_e2e::start;

use rustix::thread::UnshareFlags;

/// The machine's own addresses, beside those of its loopback device.
pub(crate) const OWN: &[&str] = &["198.51.100.2/24", "203.0.113.99/32", "2001:db8:1::2/64"];
/// Addresses of others.
const OTHERS: &[&str] = &[
    "198.51.100.1/24",
    "203.0.113.80/32",
    "203.0.113.81/32",
    "2001:db8:80::81/128",
    "10.9.9.9/32",
    "172.16.5.5/32",
    "192.168.7.7/32",
    "100.64.1.1/32",
    "169.254.169.254/32",
    "2001:db8:1::1/64",
    "2001:db8:80::80/128",
    "fd00:9::9/128",
    "fd00:ec2::254/128",
    "fe80::1/64",
];
/// Addresses that each machine has.
const LOCAL: &[&str] = &["127.0.0.1", "127.0.0.53"];
/// Names that the internet has.
const NAMES: &[&str] = &[
    "good.test=203.0.113.80",
    "good.test=2001:db8:80::80",
    "bad.test=203.0.113.81",
    "inside.test=10.9.9.9",
    "own.test=198.51.100.2",
    "good.test.bad.test=203.0.113.81",
    "xgood.test=203.0.113.81",
];

/// The servers; killed when dropped.
pub(crate) struct Internet {
    children: Vec<Child>,
    folder: tempfile::TempDir,
}

impl Internet {
    /// Gives the calling thread, and what it starts from now on, a machine and an internet of their
    /// own; none where nobody may make such.
    ///
    /// The machine has the same services as the others have, so that what reaches it can be told.
    pub(crate) fn start() -> Option<Self> {
        if !rustix::process::getuid().is_root() {
            eprintln!("skipped: networks can be made by root alone");
            return None;
        }
        if !std::path::Path::new("/dev/net/tun").exists() {
            eprintln!("skipped: this machine has no /dev/net/tun");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let resolv = folder.path().join("resolv.conf");
        std::fs::write(&resolv, "nameserver 198.51.100.1\n").unwrap();
        // SAFETY: descriptors stay shared.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWNS) }
            .unwrap();
        run(&["mount", "--make-rprivate", "/"]);
        let resolv = resolv.to_str().unwrap();
        run(&["mount", "--bind", resolv, "/etc/resolv.conf"]);
        let mut others = Command::new("unshare");
        others.args(["--net", "python3"]);
        let others = serve(others, OTHERS);
        let pid = others.id().to_string();
        let inside = |command: &str| {
            let ip: Vec<&str> = command.split(' ').collect();
            run(&[&["nsenter", "--net", "--target", &pid, "ip"], &ip[..]].concat());
        };
        let link = "ip link add v0 type veth peer name v1 netns";
        run(&[&link.split(' ').collect::<Vec<_>>()[..], &[&pid]].concat());
        for device in ["lo", "v0"] {
            run(&["ip", "link", "set", device, "up"]);
        }
        inside("link set lo up");
        inside("link set v1 up");
        for address in OWN {
            run(&[
                &["ip", "address", "add", address, "dev", "v0"][..],
                nodad(address),
            ]
            .concat());
        }
        for address in OTHERS {
            let command = format!("address add {address} dev v1 {}", nodad(address).join(" "));
            inside(command.trim_end());
        }
        run(&["ip", "route", "add", "default", "via", "198.51.100.1"]);
        run(&["ip", "route", "add", "default", "via", "2001:db8:1::1"]);
        inside("route add default via 198.51.100.2");
        inside("route add default via 2001:db8:1::2");
        // Who is no administrator may send questions for an echo.
        let groups = "/proc/sys/net/ipv4/ping_group_range";
        std::fs::write(groups, "0 2147483647").unwrap();
        let machine = serve(Command::new("python3"), OWN);
        Some(Self {
            children: vec![others, machine],
            // Sandboxes that share the network are shown the file in it.
            folder,
        })
    }

    /// Lets every user of the machine have network devices, as most machines do.
    pub(crate) fn open_devices(&self) {
        self.devices("666");
    }

    /// Lets root alone have network devices.
    pub(crate) fn close_devices(&self) {
        self.devices("600");
    }

    fn devices(&self, mode: &str) {
        let folder = self.folder.path().join("dev");
        std::fs::create_dir(&folder).unwrap();
        let (folder, device) = (folder.to_str().unwrap(), folder.join("tun"));
        let device = device.to_str().unwrap();
        // Temporary folders' own file systems may take no devices.
        run(&["mount", "-t", "tmpfs", "-o", "mode=755", "none", folder]);
        run(&["mknod", "-m", mode, device, "c", "10", "200"]);
        run(&["mount", "--bind", device, "/dev/net/tun"]);
        run(&["umount", "-l", folder]);
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Starts the servers at these addresses, and waits until they listen.
fn serve(mut command: Command, addresses: &[&str]) -> Child {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/network/internet.py");
    let addresses = addresses.iter().chain(LOCAL);
    let addresses = addresses.map(|address| address.split('/').next().unwrap());
    command.arg(script).args(NAMES).args(addresses);
    let (child, line) = start(command);
    assert_eq!(line, "ready");
    child
}

/// An address of IPv6 is used at once, without asking whose else it is.
fn nodad(address: &str) -> &'static [&'static str] {
    match address.contains(':') {
        true => &["nodad"],
        false => &[],
    }
}

fn run(command: &[&str]) {
    let output = Command::new(command[0]).args(&command[1..]).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}
