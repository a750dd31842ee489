//! Readers of a session's log: replay, then live, as the native stream's events.

use std::io::Write as _;
use std::time::Duration;

use aod_log::{Flags, Kind, Reader, Record};
use aod_resources::{Session, Status};
use aod_store::Store;
use tokio::time::Instant;
use uuid::Uuid;

use crate::watch::Subscription;
use crate::{Error, Result};

/// A batch is handed over when it has grown to this many bytes.
pub(crate) const BATCH: usize = 256 << 10;

/// Where a reader begins and whether it goes on.
#[derive(Clone, Copy, Debug)]
pub struct From<Id = u64> {
    /// After the event with this id.
    pub after: Id,
    /// Whether to wait for what comes after what is there.
    pub follow: bool,
}

/// What a reader gets.
#[derive(Debug)]
pub enum Batch {
    /// One or more events, encoded as server-sent events.
    Events(Vec<u8>),
    /// Nothing more: the last turn has ended, or the session was deleted.
    End,
}

/// A reader as it is served.
pub trait Feed: Send {
    /// The next batch. Cancel-safe: what was read is returned without another wait.
    fn next(&mut self) -> impl Future<Output = Batch> + Send;
}

/// One reader of one session's native stream.
///
/// It costs nothing while it waits, and reads only when it is asked to: a slow client slows its
/// own reader and nothing else.
pub struct Follower {
    store: Store,
    session: Uuid,
    owner: Uuid,
    reader: Reader,
    subscription: Subscription,
    follow: bool,
    stale_after: Duration,
    last_growth: Instant,
    /// The `start` event, until it is sent.
    greeting: Option<Vec<u8>>,
    /// The id after which the client resumed; history up to there may have been purged.
    after: u64,
    /// Whether an output event was sent.
    met_output: bool,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Reading,
    /// The terminal event of this turn was met: it ends the stream if no turn follows.
    Terminal(u32),
    Ended,
}

impl Follower {
    pub(crate) fn new(
        store: Store,
        owner: Uuid,
        session: &Session,
        mut reader: Reader,
        subscription: Subscription,
        from: From,
        stale_after: Duration,
    ) -> Result<Self> {
        // Before it looks for its place, so that nothing from there on is purged meanwhile.
        subscription.has_read(from.after);
        reader.seek_after(from.after).map_err(Error::internal)?;
        let mut greeting = Vec::with_capacity(256);
        event(
            &mut greeting,
            None,
            &serde_json::json!({
                "type": "start",
                "session_id": session.id,
                "runtime": session.runtime,
                "model": session.model,
            }),
        );
        Ok(Self {
            store,
            session: session.id,
            owner,
            reader,
            subscription,
            follow: from.follow,
            stale_after,
            last_growth: Instant::now(),
            greeting: Some(greeting),
            after: from.after,
            met_output: false,
            stage: Stage::Reading,
        })
    }
}

impl Feed for Follower {
    async fn next(&mut self) -> Batch {
        loop {
            match self.stage {
                Stage::Ended => return Batch::End,
                Stage::Terminal(turn) => {
                    match self.store.session(self.owner, self.session).await {
                        Ok(session) if session.turn_count > turn => self.stage = Stage::Reading,
                        _ => self.stage = Stage::Ended,
                    }
                    continue;
                }
                Stage::Reading => {}
            }
            let mut batch = self.greeting.take().unwrap_or_default();
            let read = self.fill(&mut batch);
            self.subscription.has_read(self.reader.last_id());
            if let Err(error) = read {
                tracing::error!(session = %self.session, %error, "cannot read a session's log");
                self.stage = Stage::Ended;
            }
            if !batch.is_empty() {
                self.last_growth = Instant::now();
                return Batch::Events(batch);
            }
            if self.stage != Stage::Reading {
                continue;
            }
            if !self.follow {
                return Batch::End;
            }
            tokio::select! {
                alive = self.subscription.changed() => if !alive { self.stage = Stage::Ended },
                () = tokio::time::sleep_until(self.last_growth + self.stale_after) => {
                    if let Some(stale) = self.stale().await {
                        return Batch::Events(stale);
                    }
                }
            }
        }
    }
}

impl Follower {
    /// Reads what is there, up to a batch or a terminal event.
    fn fill(&mut self, batch: &mut Vec<u8>) -> aod_log::Result<()> {
        while batch.len() < BATCH {
            let Some(record) = self.reader.next()? else {
                break;
            };
            if !record.is_numbered() {
                continue;
            }
            if record.kind.is_output() {
                let purged = !self.met_output && record.id > self.after + 1;
                if record.flags.contains(Flags::FIRST) || purged {
                    turn_start(batch, &record);
                }
                self.met_output = true;
            }
            encode(batch, &record);
            if record.kind.is_terminal() {
                self.stage = Stage::Terminal(record.turn);
                break;
            }
        }
        Ok(())
    }

    /// The last event of this connection, if the running turn has been silent for too long.
    async fn stale(&mut self) -> Option<Vec<u8>> {
        let session = self.store.session(self.owner, self.session).await;
        match session {
            Ok(session) if session.status == Status::Running => {}
            Ok(_) => {
                self.last_growth = Instant::now();
                return None;
            }
            Err(_) => {
                self.stage = Stage::Ended;
                return None;
            }
        }
        self.stage = Stage::Ended;
        let mut bytes = Vec::new();
        let seconds = self.stale_after.as_secs();
        event(
            &mut bytes,
            None,
            &serde_json::json!({
                "type": "stale",
                "id": self.reader.last_id(),
                "message": format!("no output for {seconds} s; the turn is still running: reconnect to go on"),
            }),
        );
        Some(bytes)
    }
}

/// Writes an event from a value.
fn event(batch: &mut Vec<u8>, id: Option<u64>, data: &serde_json::Value) {
    if let Some(id) = id {
        put(batch, format_args!("id: {id}\n"));
    }
    put(batch, format_args!("data: {data}\n\n"));
}

/// Writes the event that precedes a turn's first output. It has that event's id and no `id:`
/// line, so that a client that resumes after it is given that event.
fn turn_start(batch: &mut Vec<u8>, record: &Record<'_>) {
    let (id, turn) = (record.id, record.turn);
    put(
        batch,
        format_args!("data: {{\"type\":\"turn_start\",\"id\":{id},\"turn\":{turn}}}\n\n"),
    );
}

/// Writes a numbered record as an event.
fn encode(batch: &mut Vec<u8>, record: &Record<'_>) {
    let id = record.id;
    let start = batch.len();
    let (kind, stream) = match record.kind {
        Kind::Stdout => ("output", "stdout"),
        Kind::Stderr => ("output", "stderr"),
        Kind::Stage => ("stage", ""),
        Kind::Exit => ("exit", ""),
        Kind::Error => ("error", ""),
        Kind::Terminated => ("terminated", ""),
        // `is_numbered` has ruled out the others.
        _ => return,
    };
    put(
        batch,
        format_args!("id: {id}\ndata: {{\"type\":\"{kind}\",\"id\":{id}"),
    );
    if record.kind.is_output() {
        put(batch, format_args!(",\"stream\":\"{stream}\",\"data\":"));
        string(batch, record.text());
        put(batch, format_args!(",\"turn\":{}}}\n\n", record.turn));
    } else {
        // The payload is an object of ours: its fields follow the two above.
        let fields = record.text().strip_prefix('{').unwrap_or("}");
        if fields.trim_start() != "}" {
            batch.push(b',');
        }
        batch.extend_from_slice(fields.as_bytes());
        batch.extend_from_slice(b"\n\n");
    }
    escape_line_ends(batch, start);
}

/// Escapes what Unicode calls a line's end and JSON does not: U+0085, U+2028 and U+2029. The
/// standard ends lines at CR and LF only, but clients are out there that split the stream as
/// Python's `splitlines` does, and would lose the event.
pub(crate) fn escape_line_ends(batch: &mut Vec<u8>, start: usize) {
    if memchr::memchr2(0xC2, 0xE2, &batch[start..]).is_none() {
        return;
    }
    let Ok(text) = std::str::from_utf8(&batch[start..]) else {
        return;
    };
    if !text.contains(['\u{85}', '\u{2028}', '\u{2029}']) {
        return;
    }
    // Outside of strings JSON has only ASCII, so all of them stand in strings.
    let escaped = text
        .replace('\u{85}', "\\u0085")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029");
    batch.truncate(start);
    batch.extend_from_slice(escaped.as_bytes());
}

fn string(batch: &mut Vec<u8>, text: &str) {
    // Writing a string to a vector cannot fail.
    let _ = serde_json::to_writer(batch, text);
}

pub(crate) fn put(batch: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a vector cannot fail.
    let _ = batch.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use aod_log::Meta;

    use super::*;

    fn encoded(kind: Kind, payload: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("log");
        let mut writer = aod_log::Writer::open(&dir, aod_log::Options::default()).unwrap();
        let mut batch = aod_log::Batch::new();
        batch
            .push(Meta::new(kind, 2, 0), payload.as_bytes())
            .unwrap();
        writer.append(&mut batch).unwrap();
        let mut reader = Reader::open(&dir).unwrap();
        let mut out = Vec::new();
        encode(&mut out, &reader.next().unwrap().unwrap());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn events_are_one_line_of_json_with_their_id() {
        assert_eq!(
            encoded(Kind::Stdout, "a \"b\"\r\nâ\u{85}\u{2028}€"),
            "id: 1\ndata: {\"type\":\"output\",\"id\":1,\"stream\":\"stdout\",\"data\":\"a \\\"b\\\"\\r\\nâ\\u0085\\u2028€\",\"turn\":2}\n\n"
        );
        assert_eq!(
            encoded(Kind::Exit, "{\"code\":0}"),
            "id: 1\ndata: {\"type\":\"exit\",\"id\":1,\"code\":0}\n\n"
        );
        assert_eq!(
            encoded(Kind::Terminated, "{}"),
            "id: 1\ndata: {\"type\":\"terminated\",\"id\":1}\n\n"
        );
    }
}
