//! Live readers of a session's normalized events.

use std::io;
use std::path::Path;

use aod_resources::event::EventId;
use aod_store::Store;
use bytes::Bytes;
use uuid::Uuid;

use super::bell::Listener;
use super::read::events_of;
use super::tail::Encoded;
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

    fn fill(&mut self) -> Bytes {
        if let Some(shared) = self.reader.shared(encode) {
            return shared;
        }
        let mut batch = Vec::new();
        let read = self.reader.read(BATCH, |event| {
            put_event(&mut batch, id_of(event), event);
            true
        });
        if let Err(error) = read {
            tracing::error!(session = %self.session, %error, "cannot read a session's events");
            self.ended = true;
        }
        batch.into()
    }
}

/// An event as it is sent.
fn put_event(batch: &mut Vec<u8>, id: Option<EventId>, event: &[u8]) {
    if let Some(id) = id {
        put(batch, format_args!("id: {id}\n"));
    }
    batch.extend_from_slice(b"data: ");
    batch.extend_from_slice(event);
    batch.extend_from_slice(b"\n\n");
}

/// The events of whole lines, if they are one batch, and each has an id.
fn encode(lines: &[u8]) -> Option<Encoded> {
    let mut batch = Vec::with_capacity(lines.len() + 64);
    let (mut first, mut last) = (None, None);
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let put_all = events_of(&line[..line.len() - 1], |id, event| {
            put_event(&mut batch, id, event);
            first = first.or(id);
            last = id;
            id.is_some() && batch.len() <= BATCH
        });
        // What cannot be read is met once more, and told, by whoever reads it for themselves.
        if !put_all.unwrap_or(false) {
            return None;
        }
    }
    Some(Encoded {
        events: batch.into(),
        first: first?,
        last: last?,
        length: lines.len() as u64,
    })
}

impl Feed for EventFollower {
    async fn next(&mut self) -> Batch {
        let mut over = !self.follow;
        while !self.ended {
            self.doubt |= self.listener.look();
            let batch = self.fill();
            if !batch.is_empty() {
                return Batch::Events(batch);
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

#[cfg(test)]
mod tests {
    use super::super::read::tests::delta;
    use super::super::{Bell, EventWriter, Written};
    use super::*;

    #[test]
    fn all_who_follow_are_sent_the_same_bytes_and_each_event_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("aod.db")).unwrap();
        let dir = folder.path().join("events");
        let session = Uuid::new_v4();
        let bell = Bell::default();
        let follow = |after: EventId, follow: bool| {
            let start = StreamStart { after, follow };
            let listener = bell.listen(session);
            EventFollower::new(store.clone(), session, session, &dir, listener, start).unwrap()
        };
        let written = {
            let bell = bell.clone();
            move |written: Written<'_>| bell.written(session, written)
        };
        let mut writer = EventWriter::open(&dir, 1, u64::MAX, written).unwrap();
        writer.push(&delta(1, 1)).unwrap();
        writer.flush().unwrap();
        let mut early = [follow(EventId::START, true), follow(EventId::START, true)];
        let mut begun = early.each_mut().map(EventFollower::fill);
        // Words of one moment are one line of the file.
        for batch in [2..5u64, 5..6, 6..9] {
            let all = batch.clone();
            all.for_each(|entry| writer.push(&delta(1, entry)).unwrap());
            writer.flush().unwrap();
            // In the middle of what was written last.
            let middle = EventId {
                entry: batch.start,
                index: 0,
            };
            let rest = follow(middle, true).fill();
            let [one, other] = early.each_mut().map(EventFollower::fill);
            assert_eq!(one.as_ptr(), other.as_ptr(), "it is encoded once");
            assert!(one.ends_with(&rest), "{rest:?}");
            assert_eq!(rest.is_empty(), batch.end == batch.start + 1);
            for (all, more) in begun.iter_mut().zip([one, other]) {
                *all = [&all[..], &more].concat().into();
            }
            assert!(early.each_mut().iter_mut().all(|it| it.fill().is_empty()));
        }
        // As the files have it.
        let replayed = follow(EventId::START, false).fill();
        assert_eq!(begun, [replayed.clone(), replayed]);
    }
}
