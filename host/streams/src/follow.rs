//! Readers of a session's log: replay, then live, as the native stream's events.

mod encode;
mod escape;
mod tail;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aod_log::Reader;
use aod_resources::{Session, Status};
use aod_store::Store;
use bytes::Bytes;
use tokio::time::Instant;
use uuid::Uuid;

use self::encode::{Progress, event, fill};
use self::tail::{Found, Live};
use crate::watch::Subscription;

pub(crate) use self::encode::{BATCH, escape_line_ends, put};
pub use self::tail::{Tail, Tails};

/// How often a reader that waits asks the store whether there is anything left to wait for.
const LOOK: Duration = Duration::from_secs(60);

/// How soon one does that whose session has no turn that waits or runs: its end may be on its way
/// into the log, or there is none.
const LOOK_WITHOUT_TURN: Duration = Duration::from_secs(3);

fn look_every(status: Status, stale_after: Duration) -> Duration {
    match status.is_active() {
        true => stale_after.min(LOOK),
        false => stale_after.min(LOOK_WITHOUT_TURN),
    }
}

/// Where a reader begins and whether it goes on.
#[derive(Clone, Copy, Debug)]
pub struct StreamStart<Id = u64> {
    /// After the event with this id.
    pub after: Id,
    /// Whether to wait for what comes after what is there.
    pub follow: bool,
}

/// What a reader gets.
#[derive(Debug)]
pub enum Batch {
    /// One or more events, encoded as server-sent events.
    Events(Bytes),
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
    position: Position,
    tail: Arc<Mutex<Tail>>,
    subscription: Subscription,
    /// The id of the last event of a reader that does not go on: the last there was when it began.
    until: Option<u64>,
    stale_after: Duration,
    last_growth: Instant,
    /// When to ask the store whether there is anything left to wait for.
    next_look: Instant,
    look_every: Duration,
    /// The `start` event, until it is sent.
    greeting: Option<Vec<u8>>,
    progress: Progress,
    stage: Stage,
}

/// Where a follower is.
enum Position {
    /// Among what was written before.
    History(Box<Reader>),
    /// Where the log grows.
    End(Live),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Reading,
    /// The terminal event of this turn was met: it ends the stream if no turn follows.
    Terminal(u32),
    Ended,
}

/// What a follower is made with.
pub struct Log {
    /// At the beginning.
    pub reader: Reader,
    /// What all live readers of the log share.
    pub tail: Arc<Mutex<Tail>>,
    /// Wakes this reader.
    pub subscription: Subscription,
}

impl Follower {
    /// Begins behind `start`.
    ///
    /// # Errors
    /// Where the log cannot be read.
    pub fn new(
        store: Store,
        owner: Uuid,
        session: &Session,
        log: Log,
        start: StreamStart,
        stale_after: Duration,
    ) -> aod_log::Result<Self> {
        let Log {
            mut reader,
            tail,
            subscription,
        } = log;
        // Before it looks for its position, so that nothing from there on is purged meanwhile.
        subscription.has_read(start.after);
        // Where it is damaged on the way, that is met again by the first read, and ends the stream.
        if let Err(error) = reader.seek_after(start.after)
            && !matches!(error, aod_log::Error::Corrupt { .. })
        {
            return Err(error);
        }
        let until = match start.follow {
            true => None,
            false => match aod_log::tail(reader.dir()) {
                Ok(tail) => Some(tail.last_id),
                // What is readable is read.
                Err(aod_log::Error::Corrupt { .. }) => Some(u64::MAX),
                Err(error) => return Err(error),
            },
        };
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
            position: Position::History(Box::new(reader)),
            tail,
            subscription,
            until,
            stale_after,
            last_growth: Instant::now(),
            next_look: Instant::now() + look_every(session.status, stale_after),
            look_every: look_every(session.status, stale_after),
            greeting: Some(greeting),
            progress: Progress {
                after: start.after,
                met_output: false,
            },
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
                        // The next turn is about to begin.
                        Ok(_) if self.store.has_queued(self.session).await.unwrap_or(false) => {
                            self.stage = Stage::Reading;
                        }
                        _ => self.stage = Stage::Ended,
                    }
                    continue;
                }
                Stage::Reading => {}
            }
            match self.read() {
                Ok(Some(events)) => {
                    self.subscription.has_read(self.last_id());
                    self.last_growth = Instant::now();
                    self.next_look = self.last_growth + self.look_every;
                    return Batch::Events(events);
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(session = %self.session, %error, "cannot read a session's log");
                    self.stage = Stage::Ended;
                    continue;
                }
            }
            if self.until.is_some() {
                return Batch::End;
            }
            tokio::select! {
                alive = self.subscription.changed() => if !alive { self.stage = Stage::Ended },
                () = tokio::time::sleep_until(self.next_look) => {
                    if let Some(stale) = self.stale().await {
                        return Batch::Events(stale);
                    }
                }
            }
        }
    }
}

impl Follower {
    /// The next events, if there are any now.
    fn read(&mut self) -> aod_log::Result<Option<Bytes>> {
        loop {
            match &mut self.position {
                Position::History(reader) => {
                    let mut batch = self.greeting.take().unwrap_or_default();
                    let ended = fill(&mut batch, reader, &mut self.progress, self.until);
                    // What was read before the error is sent before the stream ends.
                    let ended = match ended {
                        Err(_) if !batch.is_empty() => None,
                        ended => ended?,
                    };
                    if let Some(turn) = ended {
                        self.stage = Stage::Terminal(turn);
                    }
                    if !batch.is_empty() {
                        return Ok(Some(batch.into()));
                    }
                    if self.until.is_some() {
                        return Ok(None);
                    }
                    let grown = self.subscription.announced();
                    self.position = Position::End(Live::join(self.tail.clone(), reader, grown)?);
                }
                Position::End(live) => match live.look()? {
                    Found::Nothing => return Ok(None),
                    Found::Grown(grown) => {
                        if let Some(turn) = grown.ended {
                            self.stage = Stage::Terminal(turn);
                        }
                        return Ok(Some(grown.events));
                    }
                    Found::Behind => {
                        self.progress = Progress {
                            after: live.last_id(),
                            met_output: false,
                        };
                        self.position = Position::History(Box::new(live.reader()?));
                    }
                },
            }
        }
    }

    /// The id of the last event that was read or passed over.
    fn last_id(&self) -> u64 {
        match &self.position {
            Position::History(reader) => reader.last_id(),
            Position::End(live) => live.last_id(),
        }
    }

    /// The last event of this connection, if the running turn has been silent for too long. Ends
    /// it where no turn waits or runs: the log of a turn that ended has its end, unless it is
    /// damaged.
    async fn stale(&mut self) -> Option<Bytes> {
        let session = self.store.session(self.owner, self.session).await;
        if let Ok(session) = &session {
            self.look_every = look_every(session.status, self.stale_after);
        }
        self.next_look = Instant::now() + self.look_every;
        match session {
            Ok(session) if session.status == Status::Running => {
                let stale_at = self.last_growth + self.stale_after;
                if Instant::now() < stale_at {
                    self.next_look = self.next_look.min(stale_at);
                    return None;
                }
            }
            Ok(session) if session.status.is_active() => {
                self.last_growth = Instant::now();
                return None;
            }
            Ok(_) => {
                self.stage = Stage::Ended;
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
                "id": self.last_id(),
                "message": format!("no output for {seconds} s; the turn is still running: reconnect to go on"),
            }),
        );
        Some(bytes.into())
    }
}
