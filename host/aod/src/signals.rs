//! Signals by which a user, a terminal or a CI system ends a command that waits for an agent.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Stop the turn, keep the session.
    Interrupt,
    /// Stop the session for good.
    Terminate,
    /// Wait for nothing any more.
    Leave,
}

/// The signals that have come. From its making on, none ends this process by itself.
#[derive(Debug)]
pub(crate) struct Stops {
    /// Ctrl-C.
    interrupt: Option<Signal>,
    /// What a CI system, a service manager or a terminal that closes sends.
    ended: Vec<(i32, Signal)>,
    asked: u32,
    first: Option<i32>,
}

impl Stops {
    /// Listens. What this process was started to ignore (`nohup`, jobs in the background) stays
    /// ignored.
    pub(crate) fn listen() -> io::Result<Self> {
        let ignored = ignored();
        let listen = |kind: SignalKind| match ignored >> (kind.as_raw_value() - 1) & 1 {
            1 => Ok(None),
            _ => signal(kind).map(Some),
        };
        let mut ended = Vec::new();
        for kind in [SignalKind::terminate(), SignalKind::hangup()] {
            if let Some(signal) = listen(kind)? {
                ended.push((kind.as_raw_value(), signal));
            }
        }
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            ended,
            asked: 0,
            first: None,
        })
    }

    /// Waits for the next wish. Nothing is lost where this is given up.
    pub(crate) async fn next(&mut self) -> Stop {
        loop {
            let number = self.signal().await;
            self.first.get_or_insert(number);
            let is_ctrl_c = number == SignalKind::interrupt().as_raw_value();
            // The others say once more what has been said, by another way.
            if is_ctrl_c || self.asked == 0 {
                self.asked += 1;
                return match self.asked {
                    1 => Stop::Interrupt,
                    2 => Stop::Terminate,
                    _ => Stop::Leave,
                };
            }
        }
    }

    async fn signal(&mut self) -> i32 {
        let interrupted = async {
            match &mut self.interrupt {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            };
            SignalKind::interrupt().as_raw_value()
        };
        let ended = self.ended.iter_mut().map(|(number, signal)| {
            Box::pin(async move {
                signal.recv().await;
                *number
            })
        });
        let mut ended: futures::stream::FuturesUnordered<_> = ended.collect();
        let ended = async {
            match futures::StreamExt::next(&mut ended).await {
                Some(number) => number,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            number = interrupted => number,
            number = ended => number,
        }
    }

    /// What shells say of a command that a signal has ended; none where there was no signal.
    pub(crate) fn code(&self) -> Option<u8> {
        let number = self.first?;
        Some(u8::try_from(128 + number).unwrap_or(u8::MAX))
    }

    /// Waits for something that may be left at once.
    ///
    /// # Errors
    /// A signal came first.
    pub(crate) async fn before<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Stopped> {
        tokio::select! {
            biased;
            _ = self.next() => Err(Stopped),
            done = work => Ok(done),
        }
    }
}

/// A signal came before there was anything to stop.
#[derive(Debug, thiserror::Error)]
#[error("stopped before a session was made")]
pub(crate) struct Stopped;

/// The signals that this process ignores, a bit for each from the lowest.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or_default()
}
