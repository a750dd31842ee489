//! What serves the sockets that listen in a command's own network namespace.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddrV4;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::pipe::PipeFlags;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::data::ABOVE;
use crate::start::start_with;
use crate::tunnel::DESCRIPTORS;
use crate::{
    Allowance, Flag, Input, KillRoute, Launch, Output, PolledLimits, Process, RenewedCredential,
    SecretBytes, SignalRoute, StartOptions, Tunnel,
};

/// The descriptor under which the server finds the [`Flag`] that says whether the command may use
/// what the server adds to its requests.
pub const IN_USE_FLAG: i32 = 3;
/// The descriptor of the pipe from which the server reads what its starter tells it.
pub const REPLIES: i32 = 4;
/// The descriptor under which the server finds the [`Allowance`] of requests to the model.
pub const ALLOWANCE: i32 = 5;
/// The first descriptor under which the server finds the listening sockets, in the order of
/// [`Egress::listen`].
pub const FIRST_SOCKET: i32 = 6;
/// What a server is told, as its one argument, whose [`Tunnel`] has no device.
pub const WITHOUT_DEVICE: &str = "--without-device";
/// A server that dies so often is not started again. Its sockets are closed, so that nobody waits
/// in vain.
const MAX_FAILURES: u32 = 20;
/// The longest line of a server's report; what is longer is dropped. A call of a tool is the
/// longest.
const MAX_LINE: usize = 1 << 20;
/// So much may wait for a server that does not read.
const MAX_REPLIES: usize = 64 << 20;

/// A command's only way out of its own network namespace: sockets that listen inside, and a program
/// outside that serves them.
///
/// The program is started when somebody connects, or sends a packet by the [`Tunnel`], by whoever
/// started the command, and ends when nobody has been connected for a while, or its starter closes
/// the pipe to it, so that a command without network traffic costs nothing.
/// It reads its configuration from stdin, has the sockets as descriptors from [`FIRST_SOCKET`] on,
/// the flag as [`IN_USE_FLAG`], a pipe of what its starter tells it as [`REPLIES`] and the requests
/// that the command may make as [`ALLOWANCE`], and may write lines to stdout, which are for the
/// starter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Egress {
    /// Descriptor under which the launcher writes which process is in the namespace, as JSON with
    /// the key `child-pid` (`bwrap --info-fd`).
    pub info_fd: i32,
    /// Descriptor from which the launcher reads a byte before it executes the command
    /// (`bwrap --block-fd`).
    pub block_fd: i32,
    /// Where it listens, inside.
    pub listen: Vec<SocketAddrV4>,
    /// A device for programs that know no proxy. Its descriptors stand behind those of
    /// [`Egress::listen`]: first the resolver's, then the device's, which is missing where there can
    /// be none ([`WITHOUT_DEVICE`]).
    #[serde(default)]
    pub tunnel: Option<Tunnel>,
    /// The program that serves the sockets: absolute.
    pub program: PathBuf,
    /// What it reads from stdin, before a line for each [`RenewedCredential`] that it was told. It
    /// may hold secrets.
    pub config: SecretBytes,
}

/// The sockets, and the program that serves them while there are connections. Dropping it ends
/// both.
#[derive(Debug)]
pub struct EgressServer {
    sockets: Vec<OwnedFd>,
    lacks_device: bool,
    program: PathBuf,
    config: SecretBytes,
    /// What credentials are by now, by their names, each a line of JSON.
    renewed: BTreeMap<String, Zeroizing<Vec<u8>>>,
    in_use: Flag,
    allowance: Allowance,
    running: Option<Running>,
    failures: u32,
    /// Whether the command has ended, so that nobody will connect any more.
    is_over: bool,
}

#[derive(Debug)]
struct Running {
    process: Process,
    report: File,
    /// What has been read of a line.
    line: Vec<u8>,
    /// What the program is told goes there.
    told: Option<File>,
    /// What of it waits. It may hold secrets.
    waiting: Zeroizing<Vec<u8>>,
}

impl EgressServer {
    pub(crate) fn new(egress: &Egress, sockets: Vec<OwnedFd>) -> io::Result<Self> {
        let behind = egress.tunnel.as_ref().map_or(0, |_| DESCRIPTORS);
        Ok(Self {
            lacks_device: sockets.len() < egress.listen.len() + behind,
            sockets,
            program: egress.program.clone(),
            config: egress.config.clone(),
            renewed: BTreeMap::new(),
            in_use: Flag::new(true)?,
            allowance: Allowance::new()?,
            running: None,
            failures: 0,
            is_over: false,
        })
    }

    /// Says whether the command may use what the program adds to its requests: from now on, for
    /// the program that runs and those that follow. At first it may.
    ///
    /// # Errors
    /// When that cannot be said.
    pub fn set_in_use(&self, in_use: bool) -> io::Result<()> {
        match self.in_use.is_set() == in_use {
            true => Ok(()),
            false => self.in_use.set(in_use),
        }
    }

    /// A turn of the command begins, which may make so many requests to its model; none: as many as it
    /// likes.
    ///
    /// # Errors
    /// When that cannot be said.
    pub fn allow(&self, most: Option<u32>) -> io::Result<()> {
        self.allowance.begin(most)
    }

    /// What to wait for, until one is readable, before the next [`EgressServer::advance`].
    pub fn wanted(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let report = self.running.as_ref().map(|running| running.report.as_fd());
        let may_start = self.running.is_none() && self.may_start();
        let sockets = self.sockets.iter().filter(move |_| may_start);
        report
            .into_iter()
            .chain(sockets.map(|socket| socket.as_fd()))
    }

    /// What to wait for, until it is writable, before the next [`EgressServer::flush`].
    pub fn wanted_to_write(&self) -> Option<BorrowedFd<'_>> {
        let running = self.running.as_ref()?;
        let told = running.told.as_ref()?;
        (!running.waiting.is_empty()).then(|| told.as_fd())
    }

    /// Whether the program runs.
    pub const fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Has the program that runs told a line, with the next [`EgressServer::flush`]. One that has
    /// ended is told nothing.
    pub fn tell(&mut self, line: &[u8]) {
        if let Some(running) = &mut self.running
            && running.waiting.len() + line.len() < MAX_REPLIES
        {
            running.waiting.extend_from_slice(line);
            running.waiting.push(b'\n');
        }
    }

    /// Has the program told what has become of a credential: the one that runs, with the next
    /// [`EgressServer::flush`], and, where there is a new value, those that follow.
    pub fn renew(&mut self, credential: &RenewedCredential) {
        let Ok(line) = serde_json::to_vec(credential).map(Zeroizing::new) else {
            return;
        };
        self.tell(&line);
        if credential.value.is_some() {
            self.renewed.insert(credential.credential.clone(), line);
        }
    }

    /// Writes as much of what the program is told as it takes. Never waits.
    pub fn flush(&mut self) {
        if let Some(running) = &mut self.running {
            running.write();
        }
    }

    /// Starts the program where somebody connects, takes its end, and hands over the lines that it
    /// has written. Never waits.
    ///
    /// # Errors
    /// When the program cannot be started. It is tried again with the next call, up to a bound.
    pub fn advance(&mut self, on_line: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        if let Some(running) = &mut self.running {
            if running.read(on_line)? {
                return Ok(());
            }
            let status = running.process.wait()?;
            if status.code != Some(0) {
                self.failures += 1;
            }
            self.running = None;
        }
        if self.failures >= MAX_FAILURES {
            self.sockets.clear();
        } else if self.may_start() && self.has_connection()? {
            self.running = Some(self.run().inspect_err(|_| self.failures += 1)?);
        }
        Ok(())
    }

    /// Ends the program, where it runs, and answers what is left to be closed. It may take the
    /// kernel some milliseconds to close a device: whoever has nothing left to do waits for that.
    pub fn end(self) -> Vec<OwnedFd> {
        self.sockets
    }

    /// The command has ended: a program that runs says what it has not said yet, and ends. It is
    /// over when [`EgressServer::is_running`] says so, and no other is started.
    pub fn finish(&mut self) {
        self.is_over = true;
        if let Some(running) = &mut self.running {
            // The end of its pipe tells it.
            running.told = None;
        }
    }

    const fn may_start(&self) -> bool {
        !self.is_over && self.failures < MAX_FAILURES
    }

    fn has_connection(&self) -> io::Result<bool> {
        let mut polled: Vec<PollFd<'_>> = self
            .sockets
            .iter()
            .map(|socket| PollFd::new(socket, PollFlags::IN))
            .collect();
        match rustix::event::poll(&mut polled, Some(&Timespec::default())) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    fn run(&self) -> io::Result<Running> {
        let launch = Launch {
            program: self.program.clone(),
            args: match self.lacks_device {
                true => vec![WITHOUT_DEVICE.to_owned()],
                false => Vec::new(),
            },
            env: Vec::new(),
            cwd: "/".into(),
            data_fds: Vec::new(),
            cgroup: None,
            signal_route: SignalRoute::Started,
            kill_route: KillRoute::Group,
            polled_limits: PolledLimits::default(),
            egress: None,
        };
        let mut told = Zeroizing::new(self.config.expose().to_vec());
        for line in self.renewed.values() {
            told.push(b'\n');
            told.extend_from_slice(line);
        }
        let options = StartOptions {
            input: Input::Content(&told),
            output: Output::Joined,
            umask: None,
        };
        let mut given = Vec::with_capacity(self.sockets.len() + 3);
        given.push((crate::data::lift(&self.in_use)?, IN_USE_FLAG));
        given.push((crate::data::lift(&self.allowance)?, ALLOWANCE));
        for (socket, number) in self.sockets.iter().zip(FIRST_SOCKET..ABOVE) {
            given.push((crate::data::lift(socket)?, number));
        }
        let (reader, replies) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        given.push((crate::data::lift(&reader)?, REPLIES));
        let (process, pipes) = start_with(&launch, options, given).map_err(io::Error::other)?;
        Ok(Running {
            process,
            report: pipes.stdout,
            line: Vec::new(),
            told: Some(crate::start::non_blocking(replies)?),
            waiting: Zeroizing::default(),
        })
    }
}

impl Running {
    fn write(&mut self) {
        let Some(told) = &mut self.told else { return };
        while !self.waiting.is_empty() {
            match told.write(&self.waiting) {
                Ok(count) => drop(self.waiting.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // It has ended, or is about to.
                Err(_) => self.waiting.clear(),
            }
        }
        self.waiting = Zeroizing::default();
    }

    /// Reads what there is; false at the end.
    fn read(&mut self, on_line: &mut dyn FnMut(&[u8])) -> io::Result<bool> {
        let mut piece = [0; 4096];
        loop {
            let count = match self.report.read(&mut piece) {
                Ok(0) => return Ok(false),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            for part in piece[..count].split_inclusive(|byte| *byte == b'\n') {
                self.line.extend_from_slice(part);
                if self.line.ends_with(b"\n") {
                    on_line(&self.line[..self.line.len() - 1]);
                    self.line.clear();
                } else if self.line.len() > MAX_LINE {
                    self.line.clear();
                }
            }
        }
    }
}
