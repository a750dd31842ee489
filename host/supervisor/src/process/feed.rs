//! The CLI's stdin: a queue that is written without blocking.

use std::fs::File;
use std::io::{self, Write as _};

/// The most bytes that may be queued. The turn's first input may be longer.
const LIMIT: usize = 8 << 20;

/// Bytes on their way into a pipe.
pub struct Feed {
    pipe: Option<File>,
    waiting: Vec<u8>,
    written: usize,
    closing: bool,
}

impl Feed {
    /// Writes `first` into `pipe`, a non-blocking one, and then closes it or not.
    pub const fn new(pipe: Option<File>, first: Vec<u8>, closing: bool) -> Self {
        Self {
            pipe,
            waiting: first,
            written: 0,
            closing,
        }
    }

    /// The pipe, while bytes are queued for it.
    pub fn wants(&self) -> Option<&File> {
        self.pipe
            .as_ref()
            .filter(|_| self.written < self.waiting.len())
    }

    /// Whether `more` bytes would be taken; if not, why.
    pub fn admits(&self, more: usize) -> Result<(), &'static str> {
        if self.pipe.is_none() || self.closing {
            Err("the CLI's stdin is closed")
        } else if self.waiting.len() - self.written + more > LIMIT {
            Err("the CLI does not read its stdin, and no more can wait for it")
        } else {
            Ok(())
        }
    }

    /// Adds bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// Closes it once all is written.
    pub fn close(&mut self) {
        self.closing = true;
    }

    /// Drops everything at once.
    pub fn abandon(&mut self) {
        *self = Self::new(None, Vec::new(), true);
    }

    /// Writes as much as the pipe takes. When the CLI has closed its stdin, the rest is dropped.
    pub fn advance(&mut self) {
        while self.written < self.waiting.len() {
            let Some(pipe) = &mut self.pipe else { break };
            match pipe.write(&self.waiting[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.abandon();
                    return;
                }
            }
        }
        self.waiting = Vec::new();
        self.written = 0;
        if self.closing {
            self.pipe = None;
        }
    }
}
