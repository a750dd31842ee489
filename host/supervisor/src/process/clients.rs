//! The supervisor's side of the control socket. No client is trusted: one that sends too much, or
//! does not read its replies, must not block the turn.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use aod_supervisor::{MAX_REQUEST, Reply, Request};
use rustix::event::PollFlags;

/// With more clients than this the oldest connection is dropped.
const MOST: usize = 16;
/// A client that does not read its replies is not read from.
const MOST_REPLIES: usize = 16 << 10;
/// How much is read from one client before the others are read.
const BLOCK: usize = 16 << 10;

/// All clients.
pub struct Clients {
    listener: UnixListener,
    clients: Vec<Client>,
}

struct Client {
    stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    /// Close once the replies are written.
    closing: bool,
    gone: bool,
}

impl Clients {
    /// On a non-blocking listener.
    pub const fn new(listener: UnixListener) -> Self {
        Self {
            listener,
            clients: Vec::new(),
        }
    }

    /// What to wait for.
    pub fn wants(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let clients = self.clients.iter().map(|client| {
            let mut flags = PollFlags::empty();
            if !client.closing && client.output.len() < MOST_REPLIES {
                flags |= PollFlags::IN;
            }
            if !client.output.is_empty() {
                flags |= PollFlags::OUT;
            }
            (client.stream.as_fd(), flags)
        });
        std::iter::once((self.listener.as_fd(), PollFlags::IN)).chain(clients)
    }

    /// Accepts and reads what is there; `answer` gives the reply to each request. Replies are
    /// sent by [`Clients::flush`].
    pub fn read(&mut self, mut answer: impl FnMut(Request) -> Reply) {
        // An error of accepting is temporary, or comes again with the next client.
        while let Ok((stream, _)) = self.listener.accept() {
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            if self.clients.len() >= MOST {
                self.clients.remove(0);
            }
            self.clients.push(Client {
                stream,
                input: Vec::new(),
                output: Vec::new(),
                closing: false,
                gone: false,
            });
        }
        for client in &mut self.clients {
            client.read(&mut answer);
        }
    }

    /// Sends replies; forgets clients that are gone.
    pub fn flush(&mut self) {
        self.clients.retain_mut(|client| {
            client.write();
            !client.gone
        });
    }

    /// Drops all clients, their replies unsent.
    pub fn drop_all(&mut self) {
        self.clients.clear();
    }
}

impl Client {
    fn read(&mut self, answer: &mut impl FnMut(Request) -> Reply) {
        if self.closing || self.output.len() >= MOST_REPLIES {
            return;
        }
        // What was read before holds no line end, and is not searched again.
        let mut from = self.input.len();
        let mut block = [0; BLOCK];
        match self.stream.read(&mut block) {
            Ok(0) => self.closing = true,
            Ok(count) => self.input.extend_from_slice(&block[..count]),
            Err(error) if is_transient(&error) => return,
            Err(_) => {
                self.gone = true;
                return;
            }
        }
        let mut start = 0;
        while let Some(length) = memchr::memchr(b'\n', &self.input[from..]) {
            let end = from + length;
            let line = &self.input[start..end];
            start = end + 1;
            from = start;
            let reply = match serde_json::from_slice(line) {
                Ok(request) => answer(request),
                // Not the parser's message, which would quote the input.
                Err(_) => refusal("this is no request"),
            };
            reply_to(&mut self.output, &reply);
        }
        self.input.drain(..start);
        if self.input.is_empty() {
            self.input = Vec::new();
        }
        if self.input.len() > MAX_REQUEST {
            self.input = Vec::new();
            reply_to(&mut self.output, &refusal("the request is too long"));
            self.closing = true;
        }
    }

    fn write(&mut self) {
        while !self.output.is_empty() && !self.gone {
            match self.stream.write(&self.output) {
                Ok(count) => drop(self.output.drain(..count)),
                Err(error) if is_transient(&error) => return,
                Err(_) => self.gone = true,
            }
        }
        self.gone |= self.closing;
    }
}

/// A reply to a request that was not carried out.
pub fn refusal(reason: &str) -> Reply {
    Reply {
        ok: false,
        error: Some(reason.to_owned()),
    }
}

fn reply_to(output: &mut Vec<u8>, reply: &Reply) {
    // Serialising a reply cannot fail: it has a boolean and a string.
    if serde_json::to_writer(&mut *output, reply).is_ok() {
        output.push(b'\n');
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
