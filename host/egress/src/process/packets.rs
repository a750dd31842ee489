//! Packets of programs that know no proxy.
//!
//! Each is looked at here, outside of the sandbox, and only those that may go to where they go are
//! given to `passt`, which makes connections of this machine's of them. It has no way into the
//! sandbox but this, and the sandbox none to it.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aod_egress::packet::{self, Packet};
use aod_egress::{Outcome, Packets, Refusal};
use aod_launch::MTU;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::Instant;

use super::connect::Connector;
use super::serve::{Activity, Connected};

/// What stands in front of a packet on its way to `passt`: its length, and the header of a link
/// that there is not.
const FRONT: usize = 4 + LINK;
const LINK: usize = 14;
/// How long it counts that an address may be reached: the machine's own addresses change. That one
/// may not does not count any longer: its name may be asked for next.
const ADMITTED: Duration = Duration::from_secs(1);
const MAX_ADMITTED: usize = 1024;
/// So many addresses of names are remembered.
const MAX_KNOWN: usize = 4096;
/// How often it is looked where names lead whose servers may not be reached.
const GUARDED: Duration = Duration::from_secs(60);
/// So often `passt` is started.
const MAX_STARTS: u32 = 5;
/// It serves one sandbox by the socket that it is given, begins nothing, hands out no addresses, and
/// takes no address for the machine's own.
const ARGUMENTS: &[&str] = &[
    "--foreground",
    "--quiet",
    "--fd",
    "0",
    "--tcp-ports",
    "none",
    "--udp-ports",
    "none",
    "--no-map-gw",
    "--no-dhcp",
    "--no-dhcpv6",
    "--no-ndp",
    "--no-ra",
];

/// The addresses that allowed names were resolved to, for the sandbox.
#[derive(Clone, Default)]
pub(super) struct Known(Arc<Mutex<HashSet<IpAddr>>>);

impl Known {
    pub(super) fn add(&self, addresses: impl Iterator<Item = IpAddr>) {
        if let Ok(mut known) = self.0.lock() {
            for address in addresses {
                if known.len() >= MAX_KNOWN {
                    // What is still wanted is asked for again.
                    known.clear();
                }
                known.insert(address);
            }
        }
    }

    fn has(&self, address: IpAddr) -> bool {
        self.0.lock().is_ok_and(|known| known.contains(&address))
    }
}

/// Who may be sent packets.
pub(super) struct Gate {
    connector: Connector,
    known: Known,
    /// Who may be sent packets, and until when that counts.
    admitted: HashMap<(IpAddr, u16), Instant>,
    /// Where servers are that gateways alone lead to, and when that was looked up.
    guarded: HashMap<(IpAddr, u16), String>,
    looked: Option<Instant>,
}

impl Gate {
    pub(super) fn new(connector: Connector, known: Known) -> Self {
        Self {
            connector,
            known,
            admitted: HashMap::new(),
            guarded: HashMap::new(),
            looked: None,
        }
    }

    async fn admit(&mut self, packet: &Packet<'_>) -> Result<(), Refusal> {
        self.look().await;
        let key = (packet.to, packet.port);
        let now = Instant::now();
        if self.admitted.get(&key).is_some_and(|until| *until > now) {
            return Ok(());
        }
        self.decide(packet.to, packet.port)?;
        if self.admitted.len() >= MAX_ADMITTED {
            self.admitted.clear();
        }
        self.admitted.insert(key, now + ADMITTED);
        Ok(())
    }

    fn decide(&self, to: IpAddr, port: u16) -> Result<(), Refusal> {
        let policy = self.connector.policy();
        let host = to.to_string();
        // Only as itself: what it is in another form is the kernel's to say.
        if to.to_canonical() != to {
            return Err(Refusal::Name { host });
        }
        if let Some(name) = self.guarded.get(&(to, port)) {
            return Err(Refusal::Guarded { host: name.clone() });
        }
        let is_meant = policy.hosts.iter().any(|mapped| {
            mapped.address == to
                && mapped.port.is_none_or(|only| only == port)
                && policy.look_up(&mapped.name, port).is_ok()
        });
        if is_meant {
            return Ok(());
        }
        if policy.allowed.is_some() && !self.known.has(to) {
            policy.look_up(&host, port)?;
        }
        policy.check(&host, to)
    }

    /// Looks where the servers are that gateways alone lead to.
    async fn look(&mut self) {
        let is_fresh = self.looked.is_some_and(|looked| looked.elapsed() < GUARDED);
        if is_fresh || self.connector.policy().guarded.is_empty() {
            return;
        }
        let declared = self.connector.declared();
        for (name, port) in self.connector.policy().guarded.clone() {
            let Ok(addresses) = declared.addresses(&name, port).await else {
                continue;
            };
            if self.guarded.len() >= MAX_KNOWN {
                self.guarded.clear();
            }
            for address in addresses {
                let key = (address.ip(), address.port());
                self.guarded.insert(key, name.clone());
            }
        }
        self.admitted.clear();
        self.looked = Some(Instant::now());
    }
}

/// Passes packets of a device on, and brings those for it in.
pub(super) struct Switch {
    device: Arc<AsyncFd<OwnedFd>>,
    packets: Packets,
    gate: Gate,
    activity: Activity,
    outside: Option<Outside>,
    starts: u32,
}

/// `passt`, which ends when its socket is closed.
struct Outside {
    to: OwnedWriteHalf,
    process: Child,
    /// While it runs this program does, too: it holds connections.
    _connected: Connected,
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Switch {
    pub(super) fn new(
        device: OwnedFd,
        packets: Packets,
        gate: Gate,
        activity: Activity,
    ) -> io::Result<Self> {
        Ok(Self {
            device: Arc::new(super::direct::device(device)?),
            packets,
            gate,
            activity,
            outside: None,
            starts: 0,
        })
    }

    pub(super) async fn run(mut self) {
        let mut buffer = vec![0; FRONT + usize::from(u16::MAX)];
        loop {
            let read = self.device.async_io(Interest::READABLE, |device| {
                Ok(rustix::io::read(device, &mut buffer[FRONT..])?)
            });
            let Ok(count) = read.await else { return };
            let Some(packet) = packet::read(&buffer[FRONT..FRONT + count]) else {
                continue;
            };
            let length = packet.bytes.len();
            let is_own = packet.from == IpAddr::V4(self.packets.v4)
                || packet.from == IpAddr::V6(self.packets.v6);
            match self.gate.admit(&packet).await {
                // Nobody who answers would know to whom.
                Ok(()) if !is_own => {}
                Ok(()) => {
                    let target = (packet.to, packet.port);
                    put_front(&mut buffer, length);
                    if let Err(error) = self.pass_on(&buffer[..FRONT + length]).await {
                        let text = format!("passt does not run: {error}");
                        self.tell(Outcome::Failed, target, &text);
                    }
                }
                Err(refusal) => {
                    if packet.begins {
                        let text = refusal.to_string();
                        self.tell(Outcome::Refused, (packet.to, packet.port), &text);
                    }
                    // What the sandbox does not take is its own loss.
                    let _ = rustix::io::write(self.device.get_ref(), &packet::refusal(&packet));
                }
            }
        }
    }

    fn tell(&self, outcome: Outcome, (to, port): (IpAddr, u16), reason: &str) {
        let host = match to {
            IpAddr::V4(to) => to.to_string(),
            IpAddr::V6(to) => format!("[{to}]"),
        };
        self.gate.connector.tell(outcome, &host, port, reason);
    }

    async fn pass_on(&mut self, framed: &[u8]) -> io::Result<()> {
        loop {
            let outside = match &mut self.outside {
                Some(outside) => outside,
                None => {
                    let new = self.start()?;
                    self.outside.insert(new)
                }
            };
            match outside.to.write_all(framed).await {
                Ok(()) => return Ok(()),
                // It has ended: another takes its place, up to a bound.
                Err(_) => self.outside = None,
            }
        }
    }

    fn start(&mut self) -> io::Result<Outside> {
        if self.starts >= MAX_STARTS {
            return Err(io::Error::other("it ended as often as it was started"));
        }
        self.starts += 1;
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let process = Command::new(&self.packets.program)
            .args(ARGUMENTS)
            .args(["--mtu", &MTU.to_string()])
            .env_clear()
            .current_dir("/")
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let (from, to) = UnixStream::from_std(ours)?.into_split();
        tokio::spawn(bring_in(from, self.device.clone()));
        Ok(Outside {
            to,
            process,
            _connected: self.activity.begin(),
        })
    }
}

/// Writes what stands in front of a packet of this length.
fn put_front(buffer: &mut [u8], length: usize) {
    // A packet is no longer than its own 16 bits say, or little longer for IPv6.
    let framed = u32::try_from(LINK + length).unwrap_or_default();
    buffer[..4].copy_from_slice(&framed.to_be_bytes());
    // Two stations of which there is no other, as locally administered addresses.
    let kind: [u8; 2] = match buffer[FRONT] >> 4 {
        4 => [0x08, 0x00],
        _ => [0x86, 0xdd],
    };
    buffer[4..16].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
    buffer[16..18].copy_from_slice(&kind);
}

/// Brings in what `passt` has for the sandbox, until it ends.
async fn bring_in(from: OwnedReadHalf, device: Arc<AsyncFd<OwnedFd>>) {
    let mut from = BufReader::with_capacity(64 << 10, from);
    let mut frame = vec![0; LINK + usize::from(u16::MAX)];
    while let Ok(length) = from.read_u32().await {
        let Some(frame) = usize::try_from(length)
            .ok()
            .and_then(|length| frame.get_mut(..length))
        else {
            return;
        };
        if from.read_exact(frame).await.is_err() {
            return;
        }
        if let Some(packet) = frame.get(LINK..)
            && is_for_the_sandbox(packet)
        {
            // What the device does not take now is lost, as on any link.
            let _ = rustix::io::write(device.get_ref(), packet);
        }
    }
}

/// Whether it is one of the protocols that packets are passed on of. What belongs to a link is not.
fn is_for_the_sandbox(packet: &[u8]) -> bool {
    match packet.first().map(|first| first >> 4) {
        Some(4) => packet.get(9).is_some_and(|it| matches!(it, 1 | 6 | 17)),
        // Of ICMPv6, errors and echoes.
        Some(6) => match packet.get(6) {
            Some(6 | 17) => true,
            Some(58) => packet.get(40).is_some_and(|kind| *kind < 130),
            _ => false,
        },
        _ => false,
    }
}
