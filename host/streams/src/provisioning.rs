//! Readers of what a session's provisioning prints: what is there, then live.
//!
//! The output is a file to which the host appends. An event's id is the offset in the file behind
//! its text, so that a reader resumes where it was.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use aod_resources::Status;
use aod_store::Store;
use serde_json::json;
use uuid::Uuid;

use crate::events::Listener;
use crate::follow::{Batch, Feed, StreamStart, put};

/// So much is read for one event.
const PIECE: usize = 16 << 10;

/// One reader of the output of one session's provisioning.
#[derive(Debug)]
pub struct ProvisioningFollower {
    store: Store,
    session: Uuid,
    owner: Uuid,
    path: PathBuf,
    file: Option<File>,
    offset: u64,
    listener: Listener,
    follow: bool,
    ended: bool,
}

impl ProvisioningFollower {
    /// Begins at the offset `start.after` of the file `path`, which may not be there yet.
    pub fn new(
        store: Store,
        owner: Uuid,
        session: Uuid,
        path: PathBuf,
        listener: Listener,
        start: StreamStart,
    ) -> Self {
        Self {
            store,
            session,
            owner,
            path,
            file: None,
            offset: start.after,
            listener,
            follow: start.follow,
            ended: false,
        }
    }

    /// The next piece, or nothing where there is no more by now. A character of which only the
    /// beginning is there waits for its rest unless this is the `last` look.
    fn read(&mut self, last: bool) -> io::Result<Option<String>> {
        if self.file.is_none() {
            self.file = match File::open(&self.path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                opened => Some(opened?),
            };
        }
        let Some(file) = &self.file else {
            return Ok(None);
        };
        let mut piece = vec![0; PIECE];
        let read = file.read_at(&mut piece, self.offset)?;
        piece.truncate(read);
        if !last || read == PIECE {
            piece.truncate(whole_characters(&piece));
        }
        self.offset += piece.len() as u64;
        Ok((!piece.is_empty()).then(|| String::from_utf8_lossy(&piece).into_owned()))
    }

    fn event(&self, text: &str) -> Batch {
        let mut batch = Vec::new();
        let data = json!({ "type": "output", "text": text });
        put(
            &mut batch,
            format_args!("id: {}\ndata: {data}\n\n", self.offset),
        );
        Batch::Events(batch.into())
    }
}

impl Feed for ProvisioningFollower {
    async fn next(&mut self) -> Batch {
        while !self.ended {
            self.listener.look();
            // Asked before the file is read: what comes before provisioning's end is in it then.
            let status = match self.store.session(self.owner, self.session).await {
                Ok(session) => Some(session.status),
                Err(_) => None,
            };
            let over = !self.follow || status != Some(Status::Pending);
            match self.read(over) {
                Ok(Some(text)) => return self.event(&text),
                Ok(None) if !over => {
                    if self.listener.changed().await {
                        continue;
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(session = %self.session, %error, "cannot read provisioning's output");
                }
            }
            self.ended = true;
            if let Some(status) = status {
                let data = json!({ "type": "end", "status": status });
                let mut batch = Vec::new();
                put(
                    &mut batch,
                    format_args!("id: {}\ndata: {data}\n\n", self.offset),
                );
                return Batch::Events(batch.into());
            }
        }
        Batch::End
    }
}

/// How much of a text comes before a character that it has only the beginning of.
fn whole_characters(text: &[u8]) -> usize {
    // A character has four bytes at most, and its first is no continuation of another.
    let first = (1..=text.len().min(3))
        .map(|back| text.len() - back)
        .find(|&at| text[at] & 0b1100_0000 != 0b1000_0000);
    match first.map(|at| (at, std::str::from_utf8(&text[at..]))) {
        Some((at, Err(error))) if error.error_len().is_none() => at,
        _ => text.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_waits_for_its_rest() {
        for (text, whole) in [
            ("".as_bytes(), 0),
            (b"plain", 5),
            ("a€".as_bytes(), 4),
            (b"a\xe2\x82", 1),
            (b"a\xe2", 1),
            (b"\xf0\x9f\x98", 0),
            ("😀".as_bytes(), 4),
            (b"a\xff", 2),
            (b"a\x80\x80\x80\x80", 5),
        ] {
            assert_eq!(whole_characters(text), whole, "{text:?}");
        }
    }
}
