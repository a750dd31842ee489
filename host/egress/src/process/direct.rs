//! What programs try without the proxy, where it is their one way: packets to a network device that
//! leads nowhere, and questions for names. They are refused at once, so that nobody waits for an
//! answer, and told, so that somebody who wonders finds out. Nothing is ever passed on.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use aod_egress::packet::{self, Packet};
use aod_egress::question::{Code, Question};
use aod_egress::{Outcome, Refusal};
use aod_launch::WITHOUT_DEVICE;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::reporter::Reporter;
use super::serve::Activity;

/// The longest question, in bytes.
const MAX_MESSAGE: usize = 1500;
/// Where questions go, for reports.
const NAMES: u16 = 53;
/// So many attempts are answered in a [`TICK`], so that one that never ends takes a small part of a
/// processor. Others wait in the kernel, up to its own bound.
const AT_ONCE: u32 = 64;
const TICK: Duration = Duration::from_millis(10);

/// Refuses what comes from one source.
pub(super) struct Direct {
    reporter: Arc<Reporter>,
    activity: Activity,
    answered: u32,
    since: Instant,
}

impl Direct {
    pub(super) fn new(reporter: Arc<Reporter>, activity: Activity) -> Self {
        Self {
            reporter,
            activity,
            answered: 0,
            since: Instant::now(),
        }
    }

    /// Refuses the packets of a device for ever.
    pub(super) async fn packets(mut self, device: AsyncFd<OwnedFd>) {
        let mut buffer = vec![0; usize::from(u16::MAX)];
        loop {
            let read = device.async_io(Interest::READABLE, |device| {
                Ok(rustix::io::read(device, &mut buffer[..])?)
            });
            let Ok(count) = read.await else { return };
            if let Some(packet) = packet::read_any(&buffer[..count]) {
                self.tell_packet(&packet);
                // What the sandbox does not take is its own loss.
                let _ = rustix::io::write(device.get_ref(), &packet::refusal(&packet));
                self.pace().await;
            }
        }
    }

    /// Refuses questions for names for ever.
    pub(super) async fn names(mut self, socket: UdpSocket) {
        let mut message = [0; MAX_MESSAGE];
        loop {
            // An error is one of an answer that was not taken.
            let Ok((count, from)) = socket.recv_from(&mut message).await else {
                continue;
            };
            if let Some(question) = Question::read(&message[..count]) {
                self.tell(&question.name, NAMES);
                let _ = socket.try_send_to(&question.answer(Code::Refused, &[]), from);
                self.pace().await;
            }
        }
    }

    fn tell_packet(&self, packet: &Packet<'_>) {
        match packet.to {
            _ if !packet.begins => {}
            IpAddr::V4(to) => self.tell(&to.to_string(), packet.port),
            IpAddr::V6(to) => self.tell(&format!("[{to}]"), packet.port),
        }
    }

    fn tell(&self, host: &str, port: u16) {
        let reason = Refusal::Direct.to_string();
        self.reporter.tell(Outcome::Refused, host, port, &reason);
        drop(self.activity.begin());
    }

    async fn pace(&mut self) {
        self.answered += 1;
        if self.answered >= AT_ONCE {
            tokio::time::sleep_until(self.since + TICK).await;
            self.answered = 0;
            self.since = Instant::now();
        }
    }
}

/// Whether the starter has given a network device.
pub(super) fn has_device() -> bool {
    std::env::args_os()
        .nth(1)
        .is_none_or(|argument| argument != WITHOUT_DEVICE)
}

/// A network device as what can be waited for.
pub(super) fn device(device: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the device owns its descriptor, and nobody takes it out before both end.
    Ok(unsafe { AsyncFd::register(device) }?)
}
