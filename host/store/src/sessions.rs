//! Sessions: creation, reading, deletion. What their turns do to them is in [`crate::turns`].

use aod_resources::{
    Agent, Environment, ForkedFrom, Limits, Resource, Session, SessionState, Sizes, Status,
    Timestamp,
};
use indexmap::IndexMap;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, named_params, params_from_iter};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Ask, Error, Idempotency, NewWebhook, Page, Result, SealedKind, SealedValue, Store, Submitted,
    idempotency, sealed,
    sql::{self, At, Id, Json},
    turns,
    versioned::{self, Versioned},
    webhooks,
};

/// One version of an agent or environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionRef {
    /// The agent's or environment's id.
    pub id: Uuid,
    /// The version.
    pub version: i64,
}

/// What a new session consists of.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub owner: Uuid,
    /// The agent as it is now.
    pub agent: VersionRef,
    /// The environment as it is now.
    pub environment: Option<VersionRef>,
    /// The runtime's name.
    pub runtime: String,
    /// The canonical model id.
    pub model: String,
    /// Repositories to clone.
    pub resources: Vec<Resource>,
    /// Its variables that are no secrets.
    pub vars: IndexMap<String, String>,
    /// Values of the runtime's options.
    pub settings: IndexMap<String, Value>,
    /// Upper bounds for each of its turns.
    pub limits: Limits,
    /// A name for people.
    pub title: Option<String>,
    /// The user's own labels.
    pub metadata: IndexMap<String, String>,
    /// Seconds per turn, unless a turn says otherwise.
    pub timeout: u32,
    /// What it is a copy of.
    pub fork: Option<ForkOrigin>,
    /// What is asked in its first turn; none: it is provisioned, and waits for a prompt.
    pub first: Option<Ask>,
    /// Its sealed variables and repository tokens.
    pub secrets: Vec<SealedValue>,
    /// The adapter that it is to keep, if that is known yet.
    pub adapter_digest: Option<String>,
    /// The installed CLI that it is to keep, if that is known yet.
    pub install_key: Option<String>,
    /// How many active sessions its owner may have, this one included.
    pub active_limit: Option<u32>,
    /// A webhook that is told of it alone.
    pub webhook: Option<NewWebhook>,
    /// The request's idempotency key.
    pub idempotency: Option<Idempotency>,
    /// Now.
    pub at: Timestamp,
}

/// What a new session is a copy of. Its files are there already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForkOrigin {
    /// The session and its turn.
    pub from: ForkedFrom,
    /// The CLI's own name for the conversation as it was then.
    pub resume_token: Option<String>,
}

/// A session with what the API does not show.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionRecord {
    /// What the API shows.
    pub session: Session,
    /// Whose it is.
    pub owner: Uuid,
    /// Seconds per turn, unless a turn says otherwise.
    pub timeout: u32,
    /// Whether its sandbox stands.
    pub provisioned: bool,
    /// The agent at the version that the session was made from.
    pub agent: Agent,
    /// The environment at the version that the session was made with.
    pub environment: Option<Environment>,
    /// SHA-256 of the adapter that it keeps, in hex.
    pub adapter_digest: Option<String>,
    /// The installed CLI that it keeps.
    pub install_key: Option<String>,
    /// The CLI's own name for the conversation, from its last acknowledged turn.
    pub resume_token: Option<String>,
}

impl SessionRecord {
    /// What the state machine decides by.
    pub const fn state(&self) -> SessionState {
        SessionState {
            status: self.session.status,
            provisioned: self.provisioned,
        }
    }
}

/// Which sessions to list.
#[derive(Clone, Debug, Default)]
pub struct SessionFilter {
    /// Only those in this status.
    pub status: Option<Status>,
    /// Only those made from this agent.
    pub agent: Option<Uuid>,
    /// Only those of this runtime.
    pub runtime: Option<String>,
    /// Only those whose labels have these values.
    pub metadata: IndexMap<String, String>,
    /// Only those whose title or first prompt holds this text, whatever the case of its letters.
    pub text: Option<String>,
    /// Which part of the list.
    pub page: Page,
}

/// How many sessions there are, by status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusCounts {
    /// Waiting to start.
    pub pending: u64,
    /// Running.
    pub running: u64,
    /// Ended well or interrupted.
    pub completed: u64,
    /// Failed.
    pub failed: u64,
    /// Stopped for good.
    pub terminated: u64,
}

/// The kinds of sealed values that belong to a session.
pub const SESSION_SECRETS: &[SealedKind] = &[
    SealedKind::SessionVariable,
    SealedKind::SetupVariable,
    SealedKind::RepositoryToken,
];

impl Store {
    /// Whether the owner may have one more active session.
    ///
    /// # Errors
    /// [`Error::ActiveLimit`] where not.
    pub async fn check_active_limit(&self, owner: Uuid, limit: u32) -> Result<()> {
        self.read_row(move |db| check_limit(db, owner, Some(limit)))
            .await
    }

    /// Adds a session, pending, with its first turn and its sealed values.
    ///
    /// # Errors
    /// [`Error::NotFound`] and [`Error::Archived`] for the agent or environment,
    /// [`Error::ActiveLimit`], [`Error::IdempotencyMismatch`], [`Error::AlreadyExists`].
    pub async fn create_session(&self, new: NewSession) -> Result<Submitted<Session>> {
        let (told, owner, id) = (self.told(), new.owner, new.id);
        let add = move |db: &Connection| {
            let replay = idempotency::enter(db, new.owner, new.idempotency.as_ref(), new.at)?;
            if let Some(replay) = replay {
                return Ok(Submitted::Replayed(replay));
            }
            create(db, new).map(Submitted::New)
        };
        self.write_then(add, move |_| told.session(owner, id)).await
    }

    /// A session as the API shows it.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for another user's.
    pub async fn session(&self, owner: Uuid, id: Uuid) -> Result<Session> {
        self.read_row(move |db| {
            db.prepare_cached("SELECT * FROM sessions WHERE id = ? AND owner = ?")?
                .query_row((Id(id), Id(owner)), session_from_row)
                .optional()?
                .ok_or_else(|| Error::not_found("session", id))
        })
        .await
    }

    /// All that is known of a session, whoever owns it.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn session_record(&self, id: Uuid) -> Result<SessionRecord> {
        self.read_row(move |db| record(db, id)).await
    }

    /// A user's sessions, newest first.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the page's `after` names none of theirs.
    pub async fn list_sessions(&self, owner: Uuid, filter: SessionFilter) -> Result<Vec<Session>> {
        self.read(move |db| list(db, owner, &filter)).await
    }

    /// How many sessions there are, one user's or everybody's.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn session_counts(&self, owner: Option<Uuid>) -> Result<StatusCounts> {
        self.read(move |db| {
            let sql = match owner {
                Some(_) => "SELECT status, count(*) FROM sessions WHERE owner = ? GROUP BY status",
                None => "SELECT status, count(*) FROM sessions GROUP BY status",
            };
            let mut query = db.prepare_cached(sql)?;
            let rows = query.query_map(params_from_iter(owner.map(Id)), |row| {
                Ok((
                    row.get::<_, sql::Word<Status>>(0)?.0,
                    sql::uncount(row.get(1)?),
                ))
            })?;
            let mut counts = StatusCounts::default();
            for row in rows {
                let (status, count) = row?;
                match status {
                    Status::Pending => counts.pending = count,
                    Status::Running => counts.running = count,
                    Status::Completed => counts.completed = count,
                    Status::Failed => counts.failed = count,
                    Status::Terminated => counts.terminated = count,
                }
            }
            Ok(counts)
        })
        .await
    }

    /// What all sessions take of the disk together, as it was at the end of their last turns.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn total_sizes(&self) -> Result<Sizes> {
        self.read(|db| {
            let mut query = db.prepare_cached(
                "SELECT ifnull(sum(home_bytes), 0), ifnull(sum(workspace_bytes), 0),
                     ifnull(sum(log_bytes), 0), ifnull(max(sizes_partial), 0),
                     ifnull(sum(checkpoint_bytes), 0) FROM sessions",
            )?;
            Ok(query.query_row([], |row| {
                Ok(Sizes {
                    home: sql::uncount(row.get(0)?),
                    workspace: sql::uncount(row.get(1)?),
                    log: sql::uncount(row.get(2)?),
                    partial: row.get(3)?,
                    checkpoints: sql::uncount(row.get(4)?),
                })
            })?)
        })
        .await
    }

    /// The ids of all sessions, to tell folders that belong to none.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn session_ids(&self) -> Result<Vec<Uuid>> {
        self.read(|db| {
            let mut query = db.prepare_cached("SELECT id FROM sessions ORDER BY seq")?;
            let ids = query.query_map([], |row| sql::id(row, "id"))?;
            Ok(ids.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Fixes the adapter and the installed CLI that a session keeps for its later turns.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn set_build(
        &self,
        id: Uuid,
        adapter_digest: String,
        install_key: Option<String>,
    ) -> Result<()> {
        self.write(move |db| {
            let changed = db
                .prepare_cached(
                    "UPDATE sessions SET adapter_digest = ?2, install_key = ?3 WHERE id = ?1",
                )?
                .execute((Id(id), adapter_digest, install_key))?;
            found(changed, id)
        })
        .await
    }

    /// Notes that a session's sandbox stands, so that a failed turn can be followed by another.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn set_provisioned(&self, id: Uuid, at: Timestamp) -> Result<()> {
        self.write(move |db| {
            let changed = db
                .prepare_cached(
                    "UPDATE sessions SET provisioned = 1, updated_at = ?2 WHERE id = ?1",
                )?
                .execute((Id(id), At(at)))?;
            found(changed, id)
        })
        .await
    }

    /// Changes what a session is called and labelled with; `change` is told what is there.
    ///
    /// # Errors
    /// [`Error::NotFound`], and what `change` refuses with.
    pub async fn label_session<E: Send + 'static>(
        &self,
        owner: Uuid,
        id: Uuid,
        change: impl FnOnce(&mut Session) -> Result<(), E> + Send + 'static,
        at: Timestamp,
    ) -> Result<Result<Session, E>> {
        let told = self.told();
        let label = move |db: &Connection| {
            let mut session = db
                .prepare_cached("SELECT * FROM sessions WHERE id = ? AND owner = ?")?
                .query_row((Id(id), Id(owner)), session_from_row)
                .optional()?
                .ok_or_else(|| Error::not_found("session", id))?;
            let (title, metadata) = (session.title.clone(), session.metadata.clone());
            if let Err(refused) = change(&mut session) {
                return Ok(Err(refused));
            }
            if session.title == title && session.metadata == metadata {
                return Ok(Ok(session));
            }
            let changed = db
                .prepare_cached(
                    "UPDATE sessions SET title = ?2, metadata = ?3, updated_at = ?4
                     WHERE id = ?1 RETURNING *",
                )?
                .query_row(
                    (Id(id), &session.title, Json(&session.metadata), At(at)),
                    session_from_row,
                )?;
            Ok(Ok(changed))
        };
        self.write_then(label, move |_| told.session(owner, id))
            .await
    }

    /// Notes the commit that was cloned of a session's repository, by its place among them.
    ///
    /// # Errors
    /// [`Error::NotFound`], also where there is no such repository.
    pub async fn set_resource_commit(&self, id: Uuid, index: usize, commit: String) -> Result<()> {
        self.write(move |db| {
            let Json(mut resources): Json<Vec<Resource>> = db
                .prepare_cached("SELECT resources FROM sessions WHERE id = ?")?
                .query_row([Id(id)], |row| row.get(0))
                .optional()?
                .ok_or_else(|| Error::not_found("session", id))?;
            let resource = resources
                .get_mut(index)
                .ok_or_else(|| Error::not_found("session", id))?;
            resource.commit = Some(commit);
            let changed = db
                .prepare_cached("UPDATE sessions SET resources = ?2 WHERE id = ?1")?
                .execute((Id(id), Json(&resources)))?;
            found(changed, id)
        })
        .await
    }

    /// Deletes a session with its turns and sealed values; also on a full disk, for which some
    /// space is kept.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::SessionActive`] while a turn waits or runs.
    pub async fn delete_session(&self, owner: Uuid, id: Uuid) -> Result<()> {
        let told = self.told();
        let delete = move |db: &Connection| {
            let status: Option<sql::Word<Status>> = db
                .prepare_cached("SELECT status FROM sessions WHERE id = ? AND owner = ?")?
                .query_row((Id(id), Id(owner)), |row| row.get(0))
                .optional()?;
            let sql::Word(status) = status.ok_or_else(|| Error::not_found("session", id))?;
            if status.is_active() {
                return Err(Error::SessionActive { id, status });
            }
            sealed::delete_all(db, SESSION_SECRETS, id)?;
            db.prepare_cached("DELETE FROM sessions WHERE id = ?")?
                .execute([Id(id)])?;
            webhooks::orphan(db, id)
        };
        // Somebody makes room.
        self.write_at_all_costs(delete, move |()| told.session(owner, id))
            .await
    }
}

fn found(changed: usize, id: Uuid) -> Result<()> {
    if changed == 0 {
        return Err(Error::not_found("session", id));
    }
    Ok(())
}

fn create(db: &Connection, new: NewSession) -> Result<Session> {
    // A copy of a session goes on with what that one has.
    let is_copy = new.fork.is_some();
    usable::<Agent>(db, new.owner, new.agent, is_copy)?;
    if let Some(environment) = new.environment {
        usable::<Environment>(db, new.owner, environment, is_copy)?;
        db.prepare_cached("UPDATE environments SET used = 1 WHERE id = ? AND NOT used")?
            .execute([Id(environment.id)])?;
    }
    check_limit(db, new.owner, new.active_limit)?;
    // Provisioning alone is turn 0, which nobody sees.
    let turn = u32::from(new.first.is_some());
    let added = db
        .prepare_cached(
            "INSERT INTO sessions (id, owner, agent_id, agent_version, environment_id,
                 environment_version, runtime, model, status, timeout, resources, vars, settings,
                 limits, title, metadata, turn_count, adapter_digest, install_key, forked_from,
                 forked_turn, resume_token, provisioned, created_at, updated_at)
             VALUES (:id, :owner, :agent, :agent_version, :environment, :environment_version,
                 :runtime, :model, :status, :timeout, :resources, :vars, :settings,
                 :limits, :title, :metadata, :turn, :adapter_digest, :install_key, :forked_from,
                 :forked_turn, :resume_token, :provisioned, :at, :at)
             RETURNING *",
        )?
        .query_row(
            named_params! {
                ":id": Id(new.id),
                ":owner": Id(new.owner),
                ":agent": Id(new.agent.id),
                ":agent_version": new.agent.version,
                ":environment": new.environment.map(|it| Id(it.id)),
                ":environment_version": new.environment.map(|it| it.version),
                ":runtime": new.runtime,
                ":model": new.model,
                ":status": SessionState::NEW.status.as_str(),
                ":timeout": new.timeout,
                ":resources": Json(&new.resources),
                ":vars": Json(&new.vars),
                ":settings": Json(&new.settings),
                ":limits": Json(&new.limits),
                ":title": new.title,
                ":metadata": Json(&new.metadata),
                ":turn": turn,
                ":adapter_digest": new.adapter_digest,
                ":install_key": new.install_key,
                ":forked_from": new.fork.as_ref().map(|fork| Id(fork.from.session_id)),
                ":forked_turn": new.fork.as_ref().map(|fork| fork.from.turn),
                ":resume_token": new.fork.as_ref().and_then(|fork| fork.resume_token.as_ref()),
                ":provisioned": new.fork.is_some(),
                ":at": At(new.at),
            },
            session_from_row,
        );
    let session = match added {
        Err(error) if crate::error::is_duplicate(&error) => {
            return Err(Error::AlreadyExists {
                what: "session",
                name: new.id.to_string(),
            });
        }
        added => added?,
    };
    let first = new.first.unwrap_or_default();
    let timeout = first.timeout.unwrap_or(new.timeout);
    turns::insert(db, new.id, turn, &first, timeout, None, new.at)?;
    sealed::put_all(db, new.owner, new.id, new.secrets, new.at)?;
    if let Some(webhook) = &new.webhook {
        webhooks::create(db, webhook)?;
    }
    Ok(session)
}

/// Whether a session may be made from that version: it is the owner's, and not archived unless that
/// may be.
fn usable<T: Versioned>(
    db: &Connection,
    owner: Uuid,
    it: VersionRef,
    may_be_archived: bool,
) -> Result<()> {
    let archived: Option<bool> = db
        .prepare_cached(&format!(
            "SELECT archived_at IS NOT NULL FROM {} AS head JOIN {} AS body ON body.id = head.id
             WHERE head.id = ? AND head.owner = ? AND body.version = ?",
            T::HEADS,
            T::VERSIONS
        ))?
        .query_row((Id(it.id), Id(owner), it.version), |row| row.get(0))
        .optional()?;
    match archived {
        None => Err(Error::not_found(T::WHAT, it.id)),
        Some(true) if !may_be_archived => Err(Error::Archived {
            what: T::WHAT,
            id: it.id,
        }),
        Some(_) => Ok(()),
    }
}

/// Whether the owner may have one more active session.
pub(crate) fn check_limit(db: &Connection, owner: Uuid, limit: Option<u32>) -> Result<()> {
    let Some(limit) = limit else { return Ok(()) };
    let active: u32 = db
        .prepare_cached(
            "SELECT count(*) FROM sessions WHERE owner = ? AND status IN ('pending', 'running')",
        )?
        .query_row([Id(owner)], |row| row.get(0))?;
    if active >= limit {
        return Err(Error::ActiveLimit { limit, active });
    }
    Ok(())
}

fn list(db: &Connection, owner: Uuid, filter: &SessionFilter) -> Result<Vec<Session>> {
    let mut sql = "SELECT * FROM sessions WHERE owner = ?".to_owned();
    let mut values: Vec<Box<dyn ToSql>> = vec![Box::new(Id(owner))];
    if let Some(status) = filter.status {
        sql.push_str(" AND status = ?");
        values.push(Box::new(status.as_str()));
    }
    if let Some(agent) = filter.agent {
        sql.push_str(" AND agent_id = ?");
        values.push(Box::new(Id(agent)));
    }
    if let Some(runtime) = &filter.runtime {
        sql.push_str(" AND runtime = ?");
        values.push(Box::new(runtime.clone()));
    }
    for (key, value) in &filter.metadata {
        sql.push_str(
            " AND EXISTS (SELECT 1 FROM json_each(sessions.metadata) AS label
                  WHERE label.key = ? AND label.value = ?)",
        );
        values.push(Box::new(key.clone()));
        values.push(Box::new(value.clone()));
    }
    if let Some(text) = &filter.text {
        sql.push_str(
            " AND (title LIKE ? ESCAPE '\\' OR EXISTS (SELECT 1 FROM turns
                  WHERE session_id = sessions.id AND number = 1 AND prompt LIKE ? ESCAPE '\\'))",
        );
        for _ in 0..2 {
            values.push(Box::new(pattern(text)));
        }
    }
    if let Some(after) = filter.page.after {
        let seq: Option<i64> = db
            .prepare_cached("SELECT seq FROM sessions WHERE id = ? AND owner = ?")?
            .query_row((Id(after), Id(owner)), |row| row.get(0))
            .optional()?;
        sql.push_str(" AND seq < ?");
        values.push(Box::new(
            seq.ok_or_else(|| Error::not_found("session", after))?,
        ));
    }
    sql.push_str(" ORDER BY seq DESC LIMIT ?");
    values.push(Box::new(filter.page.sql_limit()));
    let mut query = db.prepare_cached(&sql)?;
    let rows = query.query_map(params_from_iter(values), |row| {
        // A list of long answers is none.
        Ok(Session {
            result: None,
            ..session_from_row(row)?
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// What `LIKE` finds a text by.
fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

fn record(db: &Connection, id: Uuid) -> Result<SessionRecord> {
    struct Hidden {
        owner: Uuid,
        timeout: u32,
        provisioned: bool,
        adapter_digest: Option<String>,
        install_key: Option<String>,
        resume_token: Option<String>,
        agent: Uuid,
        agent_version: i64,
    }
    let (session, hidden) = db
        .prepare_cached("SELECT * FROM sessions WHERE id = ?")?
        .query_row([Id(id)], |row| {
            let hidden = Hidden {
                owner: sql::id(row, "owner")?,
                timeout: row.get("timeout")?,
                provisioned: row.get("provisioned")?,
                adapter_digest: row.get("adapter_digest")?,
                install_key: row.get("install_key")?,
                resume_token: row.get("resume_token")?,
                agent: sql::id(row, "agent_id")?,
                agent_version: row.get("agent_version")?,
            };
            Ok((session_from_row(row)?, hidden))
        })
        .optional()?
        .ok_or_else(|| Error::not_found("session", id))?;
    let environment = match (session.environment_id, session.environment_version) {
        (Some(id), Some(version)) => Some(versioned::at_version(db, id, version)?),
        _ => None,
    };
    Ok(SessionRecord {
        agent: versioned::at_version(db, hidden.agent, hidden.agent_version)?,
        environment,
        session,
        owner: hidden.owner,
        timeout: hidden.timeout,
        provisioned: hidden.provisioned,
        adapter_digest: hidden.adapter_digest,
        install_key: hidden.install_key,
        resume_token: hidden.resume_token,
    })
}

pub(crate) fn session_from_row(row: &Row<'_>) -> rusqlite::Result<Session> {
    let state = SessionState {
        status: sql::word(row, "status")?,
        provisioned: row.get("provisioned")?,
    };
    let turn_count: u32 = row.get("turn_count")?;
    let files_removed_at = sql::at_opt(row, "files_removed_at")?;
    let result: Option<Json<Value>> = row.get("result")?;
    let Json(resources) = row.get("resources")?;
    let Json(vars) = row.get("vars")?;
    let Json(settings) = row.get("settings")?;
    let Json(limits) = row.get("limits")?;
    let Json(metadata) = row.get("metadata")?;
    Ok(Session {
        id: sql::id(row, "id")?,
        agent_id: sql::id_opt(row, "agent_id")?,
        environment_id: sql::id_opt(row, "environment_id")?,
        runtime: row.get("runtime")?,
        status: state.status,
        exit_code: row.get("exit_code")?,
        created_at: sql::at(row, "created_at")?,
        updated_at: sql::at(row, "updated_at")?,
        resources,
        vars,
        settings,
        limits,
        title: row.get("title")?,
        metadata,
        turn_count,
        // Turns follow one another, so the one that waits or runs is the last.
        current_turn: (turn_count > 0).then_some(turn_count),
        model: row.get("model")?,
        usage: sql::usage(row)?,
        error: row.get("error")?,
        result: result.map(|Json(result)| result),
        resumable: state.resumable() && files_removed_at.is_none(),
        agent_version: row.get("agent_version")?,
        environment_version: row.get("environment_version")?,
        queue_position: None,
        sizes: sql::sizes(row)?,
        forked_from: match (sql::id_opt(row, "forked_from")?, row.get("forked_turn")?) {
            (Some(session_id), Some(turn)) => Some(ForkedFrom { session_id, turn }),
            _ => None,
        },
        restored_to: row.get("restored_to")?,
        expires_at: sql::at_opt(row, "expires_at")?,
        files_removed_at,
    })
}
