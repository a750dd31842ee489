//! What changes about a user's sessions, told to everybody who follows them.
//!
//! One task reads what the store tells, loads each session that changed once, and gives its owner's
//! readers the same bytes. A reader begins with a snapshot, and begins again with one where it did
//! not keep up.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aod_resources::Session;
use aod_resources::event::{PermissionRequest, QuestionKind, ToolRequest};
use aod_store::{Page, SessionChange};
use aod_streams::follow::{Batch, Feed};
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{Kind, Result, Sessions};

/// So many messages wait for a reader.
const KEPT: usize = 256;
/// So many sessions are loaded at once for a snapshot.
const PART: u32 = 50;
/// A question's title is cut at so many bytes.
const TITLE: usize = 1000;

/// What is told of a user's sessions.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SessionsEvent {
    /// A session as it stands now: one that was there, or that was made or has changed.
    Session {
        /// The session.
        session: Box<Session>,
        /// What its turn asks and nobody has answered yet, in the order in which it was asked.
        questions: Vec<PendingQuestion>,
    },
    /// A session was deleted.
    Deleted {
        /// Its id.
        session_id: Uuid,
    },
    /// All that was there has been told; what follows are changes.
    Ready {
        /// How many sessions were told.
        count: u32,
    },
}

/// A question that waits for an answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PendingQuestion {
    /// Its id, for `POST /sessions/{id}/answers`.
    pub request_id: String,
    /// What kind of question it is.
    pub kind: QuestionKind,
    /// What is asked, for people, or the name of the tool that is called; cut at 1000 bytes. The event
    /// `permission.request` or `tool.request` has all of it.
    pub title: String,
}

/// Everybody who follows their sessions. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Followers(Arc<Mutex<HashMap<Uuid, broadcast::Sender<Update>>>>);

#[derive(Clone, Debug)]
enum Update {
    /// A message, as it is sent.
    Event(Bytes),
    /// Some changes were lost.
    Lost,
}

impl Followers {
    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, broadcast::Sender<Update>>> {
        // Nothing can panic while the map is being changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(&self, owner: Uuid) -> broadcast::Receiver<Update> {
        let mut all = self.lock();
        // Those who left are forgotten when somebody comes.
        all.retain(|_, sender| sender.receiver_count() > 0);
        let sender = all
            .entry(owner)
            .or_insert_with(|| broadcast::Sender::new(KEPT));
        sender.subscribe()
    }

    fn of(&self, owner: Uuid) -> Option<broadcast::Sender<Update>> {
        let all = self.lock();
        let sender = all.get(&owner)?;
        (sender.receiver_count() > 0).then(|| sender.clone())
    }

    fn tell_all(&self, told: &Update) {
        for sender in self.lock().values() {
            // Nobody may listen any more.
            let _ = sender.send(told.clone());
        }
    }
}

/// The task that tells everybody.
#[derive(Debug)]
pub(crate) struct Teller {
    task: JoinHandle<()>,
    shutdown: CancellationToken,
}

impl Teller {
    /// Begins to tell the followers of `sessions`.
    pub(crate) fn start(sessions: Sessions) -> Self {
        let shutdown = CancellationToken::new();
        let changes = sessions.store.session_changes();
        let task = tokio::spawn(tell(sessions, changes, shutdown.clone()));
        Self { task, shutdown }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        // A panic in it was logged where it happened.
        let _ = self.task.await;
    }
}

async fn tell(
    sessions: Sessions,
    mut changes: broadcast::Receiver<SessionChange>,
    shutdown: CancellationToken,
) {
    loop {
        let first = tokio::select! {
            change = changes.recv() => change,
            () = shutdown.cancelled() => return,
        };
        let (mut lost, mut changed) = (false, Vec::new());
        match first {
            Ok(change) => changed.push(change),
            Err(RecvError::Lagged(_)) => lost = true,
            Err(RecvError::Closed) => return,
        }
        // What has come meanwhile is told together: a session that changed twice, once.
        loop {
            match changes.try_recv() {
                Ok(change) => changed.push(change),
                Err(TryRecvError::Lagged(_)) => lost = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        let mut seen = HashSet::new();
        for change in changed {
            if !seen.insert(change.session) {
                continue;
            }
            let Some(followers) = sessions.followers.of(change.owner) else {
                continue;
            };
            let told = match sessions.present(change.owner, change.session).await {
                Ok(event) => Update::Event(encode(&event)),
                Err(error) => {
                    tracing::warn!(%error, session = %change.session, "a change cannot be told");
                    Update::Lost
                }
            };
            // Nobody may listen any more.
            let _ = followers.send(told);
        }
        if lost {
            sessions.followers.tell_all(&Update::Lost);
        }
    }
}

impl Sessions {
    /// Follows a user's sessions: the newest `snapshot` of them as they stand, and then what
    /// changes about any.
    pub fn follow_all(&self, owner: Uuid, snapshot: u32, follow: bool) -> SessionsFollower {
        SessionsFollower {
            receiver: self.followers.join(owner),
            sessions: self.clone(),
            owner,
            snapshot,
            follow,
            step: Step::Snapshot {
                after: None,
                told: 0,
            },
        }
    }

    /// A session as it is told, or that it is gone.
    async fn present(&self, owner: Uuid, id: Uuid) -> Result<SessionsEvent> {
        match self.get(owner, id).await {
            Ok(session) => {
                let questions = self.store.open_questions(vec![id]).await?.remove(&id);
                // As lists have it: an answer may be long.
                let session = Session {
                    result: None,
                    ..session
                };
                Ok(event(session, questions))
            }
            Err(crate::Error::NotFound(Kind::Session)) => {
                Ok(SessionsEvent::Deleted { session_id: id })
            }
            Err(error) => Err(error),
        }
    }
}

fn event(session: Session, questions: Option<Vec<Value>>) -> SessionsEvent {
    let questions = questions.into_iter().flatten();
    let questions = questions.filter_map(|question| {
        let is_tool = question["kind"] == "tool";
        let (request_id, kind, mut title) = match is_tool {
            true => {
                let call: ToolRequest = serde_json::from_value(question).ok()?;
                (call.request_id, QuestionKind::Tool, call.name)
            }
            false => {
                let asked: PermissionRequest = serde_json::from_value(question).ok()?;
                (asked.request_id, asked.kind, asked.title)
            }
        };
        title.truncate(title.floor_char_boundary(TITLE));
        Some(PendingQuestion {
            request_id,
            kind,
            title,
        })
    });
    SessionsEvent::Session {
        questions: questions.collect(),
        session: Box::new(session),
    }
}

fn encode(event: &SessionsEvent) -> Bytes {
    // It is made of types that JSON takes; line ends in its texts are escaped.
    let json = serde_json::to_string(event).unwrap_or_default();
    format!("data: {json}\n\n").into()
}

/// One reader of a user's sessions.
#[derive(Debug)]
pub struct SessionsFollower {
    sessions: Sessions,
    owner: Uuid,
    receiver: broadcast::Receiver<Update>,
    snapshot: u32,
    follow: bool,
    step: Step,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Telling what is there, behind this session.
    Snapshot {
        after: Option<Uuid>,
        told: u32,
    },
    /// Telling what changes.
    Changes,
    End,
}

impl SessionsFollower {
    /// A part of the snapshot, and what follows it.
    async fn part(&self, after: Option<Uuid>, told: u32) -> Result<(Vec<u8>, Step)> {
        let limit = PART.min(self.snapshot - told);
        let page = Page {
            limit: Some(limit),
            after,
        };
        let found = match limit {
            0 => Vec::new(),
            _ => {
                let filter = crate::SessionFilter::default();
                self.sessions.list(self.owner, filter, page).await?
            }
        };
        let ids = found.iter().map(|session| session.id).collect();
        let mut questions = self.sessions.store.open_questions(ids).await?;
        let count = u32::try_from(found.len()).unwrap_or(u32::MAX);
        let last = found.last().map(|session| session.id);
        let mut batch = Vec::new();
        for session in found {
            let questions = questions.remove(&session.id);
            batch.extend_from_slice(&encode(&event(session, questions)));
        }
        let told = told.saturating_add(count);
        if count == limit && limit > 0 {
            return Ok((batch, Step::Snapshot { after: last, told }));
        }
        batch.extend_from_slice(&encode(&SessionsEvent::Ready { count: told }));
        let next = match self.follow {
            true => Step::Changes,
            false => Step::End,
        };
        Ok((batch, next))
    }

    fn begin_again(&mut self) {
        // What is waiting is in the snapshot.
        self.receiver = self.receiver.resubscribe();
        self.step = Step::Snapshot {
            after: None,
            told: 0,
        };
    }
}

impl Feed for SessionsFollower {
    async fn next(&mut self) -> Batch {
        loop {
            match self.step {
                Step::Snapshot { after, told } => match self.part(after, told).await {
                    Ok((batch, next)) => {
                        self.step = next;
                        if !batch.is_empty() {
                            return Batch::Events(batch.into());
                        }
                    }
                    // The last one that was told was deleted meanwhile.
                    Err(crate::Error::NotFound(_)) => self.begin_again(),
                    Err(error) => {
                        tracing::error!(%error, "a user's sessions cannot be told");
                        self.step = Step::End;
                    }
                },
                Step::Changes => match self.receiver.recv().await {
                    Ok(Update::Event(bytes)) => return Batch::Events(bytes),
                    Ok(Update::Lost) | Err(RecvError::Lagged(_)) => self.begin_again(),
                    Err(RecvError::Closed) => self.step = Step::End,
                },
                Step::End => return Batch::End,
            }
        }
    }
}
