//! Live readers of a session's normalized events.

use std::io;
use std::path::Path;

use aod_resources::event::EventId;
use aod_store::Store;
use uuid::Uuid;

use super::bell::Listener;
use super::{EventReader, id_of};
use crate::follow::{BATCH, Batch, Feed, StreamStart, put};

/// One reader of one session's normalized events.
pub struct EventFollower {
    store: Store,
    session: Uuid,
    owner: Uuid,
    reader: EventReader,
    listener: Listener,
    follow: bool,
    /// Whether the last turn may be over.
    doubt: bool,
    ended: bool,
}

impl EventFollower {
    /// Begins behind `start` in the folder `dir`.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn new(
        store: Store,
        owner: Uuid,
        session: Uuid,
        dir: &Path,
        listener: Listener,
        start: StreamStart<EventId>,
    ) -> io::Result<Self> {
        let mut reader = EventReader::open(dir, start.after)?;
        match start.follow {
            true => reader.follow(listener.tail().clone()),
            false => reader.end_here()?,
        }
        Ok(Self {
            store,
            session,
            owner,
            reader,
            listener,
            follow: start.follow,
            doubt: true,
            ended: false,
        })
    }

    fn fill(&mut self) -> Vec<u8> {
        let mut batch = Vec::new();
        let read = self.reader.read(BATCH, |line| {
            if let Some(id) = id_of(line) {
                put(&mut batch, format_args!("id: {id}\n"));
            }
            batch.extend_from_slice(b"data: ");
            batch.extend_from_slice(line);
            batch.extend_from_slice(b"\n\n");
            true
        });
        if let Err(error) = read {
            tracing::error!(session = %self.session, %error, "cannot read a session's events");
            self.ended = true;
        }
        batch
    }
}

impl Feed for EventFollower {
    async fn next(&mut self) -> Batch {
        let mut over = !self.follow;
        while !self.ended {
            self.doubt |= self.listener.look();
            let batch = self.fill();
            if !batch.is_empty() {
                return Batch::Events(batch.into());
            }
            if over {
                break;
            }
            if self.doubt {
                // A turn's end is committed when its last event is stored: where it is over, one
                // more look finds all there is.
                let session = self.store.session(self.owner, self.session).await;
                over = !session.is_ok_and(|session| session.status.is_active())
                    && !self.store.has_queued(self.session).await.unwrap_or(false);
                self.doubt = over;
            } else if !self.listener.changed().await {
                break;
            }
        }
        self.ended = true;
        Batch::End
    }
}
