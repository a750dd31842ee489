//! Turns, and how each moves its session: every transition goes through [`SessionState::apply`]
//! and writes both rows in one transaction.

use std::str::FromStr;

use aod_resources::{
    Limits, Outcome, PromptBlock, ProviderUsage, Session, SessionEvent, SessionState, Sizes, Spent,
    Status, Timestamp, Turn, Usage,
};
use indexmap::IndexMap;
use rusqlite::{Connection, OptionalExtension, Row, named_params};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Error, Idempotency, OnDisk, Result, Store, Submitted, checkpoints, idempotency, outbox,
    questions, queue,
    sessions::{check_limit, session_from_row},
    spending,
    sql::{self, At, Id, Json},
};

/// The next turn of a session.
#[derive(Clone, Debug)]
pub struct NewTurn {
    /// The session.
    pub session: Uuid,
    /// Who asks; the session must be theirs.
    pub owner: Uuid,
    /// What is asked.
    pub ask: Ask,
    /// How many active sessions the owner may have, this one included.
    pub active_limit: Option<u32>,
    /// The request's idempotency key.
    pub idempotency: Option<Idempotency>,
    /// Now.
    pub at: Timestamp,
}

/// What is asked in a turn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ask {
    /// The prompt, as text.
    pub prompt: String,
    /// The same, where it is more than a text.
    pub blocks: Option<Vec<PromptBlock>>,
    /// Seconds it may take, when not the session's own.
    pub timeout: Option<u32>,
    /// Values of the runtime's options, for this turn.
    pub settings: IndexMap<String, Value>,
    /// The form that its answer must have.
    pub output_schema: Option<Value>,
    /// Upper bounds for this turn.
    pub limits: Limits,
}

/// How a turn ended.
#[derive(Clone, Debug)]
pub struct TurnEnd {
    /// What the session takes of the disk, where that was measured.
    pub sizes: Option<Sizes>,
    /// The session.
    pub session: Uuid,
    /// The turn, which must be the session's current one.
    pub turn: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// The CLI's own exit code.
    pub exit_code: Option<i32>,
    /// Why it failed, and what to do.
    pub error: Option<String>,
    /// What it used; added to the session's sum.
    pub usage: Usage,
    /// What its model's providers said that it used.
    pub provider_usage: Option<ProviderUsage>,
    /// How often it asked the model.
    pub rounds: u32,
    /// What it came to, as its CLI told it.
    pub result: Option<Value>,
    /// The event that must end the turn in the log.
    pub terminal: Value,
    /// The CLI's own name for the conversation, when it acknowledged the turn; otherwise the
    /// session keeps the one it has.
    pub resume_token: Option<String>,
    /// Whether a checkpoint is to be made of the session as it is now.
    pub checkpoint: bool,
    /// Whether the session can run no turn any more, which a failed one alone can say.
    pub is_broken: bool,
    /// Now.
    pub at: Timestamp,
}

/// What a user asked of a turn that waits or runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopRequest {
    /// Stop the turn, keep the session.
    Interrupt,
    /// Stop both for good.
    Terminate,
}

impl StopRequest {
    /// The word in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Interrupt => "interrupt",
            Self::Terminate => "terminate",
        }
    }

    /// The outcome that it asks for.
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::Interrupt => Outcome::Interrupted,
            Self::Terminate => Outcome::Terminated,
        }
    }
}

impl FromStr for StopRequest {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        [Self::Interrupt, Self::Terminate]
            .into_iter()
            .find(|request| request.as_str() == word)
            .ok_or_else(|| format!("{word:?} is no request to stop"))
    }
}

/// A turn with what the API does not show.
#[derive(Clone, Debug, PartialEq)]
pub struct TurnRecord {
    /// Its session.
    pub session: Uuid,
    /// What the API shows.
    pub turn: Turn,
    /// SHA-256 of the adapter that it began with, in hex.
    pub adapter_digest: Option<String>,
    /// What its user asked of it.
    pub stop_requested: Option<StopRequest>,
    /// The event that must end it in the log; set with its end.
    pub terminal: Option<Value>,
    /// Whether the log is known to hold that event.
    pub terminal_logged: bool,
    /// The number of the turn's last entry in the log, once it is known to be on the disk.
    pub last_id: Option<u64>,
}

/// A turn that a start of the host must look at: it waits or runs, or its end may be missing in
/// the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Unsettled {
    /// Where its session stands.
    pub status: Status,
    /// Whose session it is.
    pub owner: Uuid,
    /// The turn. It is unsettled by `terminal_logged`, whatever its status.
    pub turn: TurnRecord,
}

impl Store {
    /// Accepts a next prompt: the session becomes pending with one more turn. Nobody may be told that
    /// it was accepted, nor may anything come of it that outlives a power cut, before it is on the
    /// disk; all else can be made ready meanwhile.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::IllegalTransition`], [`Error::ActiveLimit`],
    /// [`Error::IdempotencyMismatch`].
    pub async fn add_turn(&self, new: NewTurn) -> Result<(Submitted<Turn>, OnDisk)> {
        let (told, owner, session) = (self.told(), new.owner, new.session);
        let add = move |db: &Connection| {
            let replay = idempotency::enter(db, new.owner, new.idempotency.as_ref(), new.at)?;
            if let Some(replay) = replay {
                return Ok(Submitted::Replayed(replay));
            }
            let session = SessionRow::load(db, new.session)?;
            if session.owner != new.owner {
                return Err(Error::not_found("session", new.session));
            }
            // Those that wait come first.
            if queue::length(db, new.session)? > 0 {
                return Err(Error::PromptsQueued);
            }
            session.takes_prompts()?;
            check_limit(db, new.owner, new.active_limit)?;
            begin(db, new.session, &session, &new.ask, None, new.at).map(Submitted::New)
        };
        self.write_early(add, move || told.session(owner, session))
            .await
    }

    /// Keeps the answer to a request that made no turn, under its idempotency key.
    ///
    /// # Errors
    /// [`Error::IdempotencyMismatch`], [`Error::Unavailable`].
    pub async fn note_steer(
        &self,
        owner: Uuid,
        key: Option<Idempotency>,
        at: Timestamp,
    ) -> Result<Submitted<()>> {
        self.write(move |db| {
            let replay = idempotency::enter(db, owner, key.as_ref(), at)?;
            Ok(match replay {
                Some(replay) => Submitted::Replayed(replay),
                None => Submitted::New(()),
            })
        })
        .await
    }

    /// Notes that the CLI of a pending turn was started, under that adapter.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotCurrentTurn`], [`Error::IllegalTransition`].
    pub async fn start_turn(
        &self,
        session: Uuid,
        turn: u32,
        adapter_digest: String,
        at: Timestamp,
    ) -> Result<Session> {
        let told = self.told();
        let start = move |db: &Connection| {
            let row = SessionRow::load_at(db, session, turn)?;
            let state = row.state.apply(SessionEvent::Start)?;
            db.prepare_cached(
                "UPDATE turns SET phase = 'running', started_at = :at, adapter_digest = :digest
                 WHERE session_id = :id AND number = :turn",
            )?
            .execute(named_params! {
                ":id": Id(session),
                ":turn": turn,
                ":digest": adapter_digest,
                ":at": At(at),
            })?;
            let session = db
                .prepare_cached(
                    "UPDATE sessions SET status = :status, provisioned = :provisioned,
                         updated_at = :at
                     WHERE id = :id RETURNING *",
                )?
                .query_row(
                    named_params! {
                        ":id": Id(session),
                        ":status": state.status.as_str(),
                        ":provisioned": state.provisioned,
                        ":at": At(at),
                    },
                    session_from_row,
                )?;
            Ok((row.owner, session))
        };
        let after = move |(owner, _): &(Uuid, Session)| told.session(*owner, session);
        // After a power cut the session's log says whether it had begun.
        let (_, session) = self.write_soon(start, after).await?;
        Ok(session)
    }

    /// Ends a turn, and with it moves its session; also on a full disk, for which some space is
    /// kept back. The caller then appends `terminal` to the log and says so with
    /// [`Store::terminal_logged`].
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotCurrentTurn`], [`Error::IllegalTransition`].
    pub async fn end_turn(&self, end: TurnEnd) -> Result<Session> {
        let told = self.told();
        let write = move |db: &Connection| self::end(db, &end);
        let after = move |(owner, session): &(Uuid, Session)| {
            told.outbox();
            told.session(*owner, session.id);
        };
        let (_, session) = self.write_at_all_costs(write, after).await?;
        Ok(session)
    }

    /// Keeps a user's wish to stop the current turn, so that a host that dies now carries it out
    /// at its restart. Once termination is asked for, an interruption changes nothing. Returns
    /// the turn.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::IllegalTransition`] when the session cannot be stopped so.
    pub async fn request_stop(
        &self,
        owner: Uuid,
        session: Uuid,
        request: StopRequest,
    ) -> Result<TurnRecord> {
        self.write(move |db| {
            let row = SessionRow::load(db, session)?;
            if row.owner != owner {
                return Err(Error::not_found("session", session));
            }
            row.state.apply(SessionEvent::End(request.outcome()))?;
            db.prepare_cached(
                "UPDATE turns SET stop_requested = ?3
                 WHERE session_id = ?1 AND number = ?2
                   AND ifnull(stop_requested, '') <> 'terminate'",
            )?
            .execute((Id(session), row.turn_count, request.as_str()))?;
            turn_record(db, session, row.turn_count)
        })
        .await
    }

    /// Keeps the CLI's own name for the conversation before the turn ends.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotCurrentTurn`].
    pub async fn set_resume_token(&self, session: Uuid, turn: u32, token: String) -> Result<()> {
        self.write(move |db| {
            SessionRow::load_at(db, session, turn)?;
            db.prepare_cached(
                "UPDATE sessions SET resume_token = ? WHERE id = ? AND restored_to IS NULL",
            )?
            .execute((&token, Id(session)))?;
            checkpoints::rename(db, session, turn, &token)
        })
        .await
    }

    /// Notes that the log holds a turn's terminal event, and the number of the last entry that is
    /// on the disk, if that is known. Losing this note costs the next start one look at the log.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such turn, or it has not ended.
    pub async fn terminal_logged(
        &self,
        session: Uuid,
        turn: u32,
        last_id: Option<u64>,
    ) -> Result<()> {
        self.write(move |db| {
            let changed = db
                .prepare_cached(
                    "UPDATE turns SET terminal_logged = 1, last_id = ifnull(?3, last_id)
                     WHERE session_id = ?1 AND number = ?2 AND phase = 'ended'",
                )?
                .execute((Id(session), turn, last_id.map(sql::count)))?;
            if changed == 0 {
                return Err(Error::not_found("ended turn", format!("{session}/{turn}")));
            }
            Ok(())
        })
        .await
    }

    /// The number of the last entry that a session's log is known to have on the disk; 0 for none.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn last_logged(&self, session: Uuid) -> Result<u64> {
        self.read_row(move |db| {
            let last: i64 = db
                .prepare_cached("SELECT ifnull(max(last_id), 0) FROM turns WHERE session_id = ?")?
                .query_row([Id(session)], |row| row.get(0))?;
            Ok(u64::try_from(last).unwrap_or(0))
        })
        .await
    }

    /// A session's turns, in order.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for another user's session.
    pub async fn turns(&self, owner: Uuid, session: Uuid) -> Result<Vec<Turn>> {
        self.read(move |db| {
            if SessionRow::load(db, session)?.owner != owner {
                return Err(Error::not_found("session", session));
            }
            let mut query = db.prepare_cached(
                "SELECT * FROM turns WHERE session_id = ? AND number > 0 ORDER BY number",
            )?;
            let turns = query.query_map([Id(session)], |row| {
                TurnRecord::from_row(row).map(|record| record.turn)
            })?;
            Ok(turns.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// The numbers of a session's turns that have ended and whose CLI was started, in order.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn turns_that_ran(&self, session: Uuid) -> Result<Vec<u32>> {
        self.read(move |db| {
            let mut query = db.prepare_cached(
                "SELECT number FROM turns WHERE session_id = ? AND started_at IS NOT NULL
                     AND ended_at IS NOT NULL ORDER BY number",
            )?;
            let numbers = query.query_map([Id(session)], |row| row.get(0))?;
            Ok(numbers.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// All that is known of one turn, whoever owns its session.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn turn_record(&self, session: Uuid, turn: u32) -> Result<TurnRecord> {
        self.read_row(move |db| turn_record(db, session, turn))
            .await
    }

    /// What a start of the host must look at, in order of the sessions' creation.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn list_unsettled(&self) -> Result<Vec<Unsettled>> {
        self.read(|db| {
            let mut query = db.prepare_cached(
                "SELECT turns.*, sessions.status AS session_status, sessions.owner AS owner
                 FROM turns JOIN sessions ON sessions.id = turns.session_id
                 WHERE turns.terminal_logged = 0 ORDER BY sessions.seq, turns.number",
            )?;
            let rows = query.query_map([], |row| {
                Ok(Unsettled {
                    status: sql::word(row, "session_status")?,
                    owner: sql::id(row, "owner")?,
                    turn: TurnRecord::from_row(row)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

/// What decides over a session's transitions.
pub(crate) struct SessionRow {
    pub(crate) owner: Uuid,
    pub(crate) state: SessionState,
    turn_count: u32,
    timeout: u32,
    /// The turn whose end it went back to.
    restored_to: Option<u32>,
    files_removed_at: Option<Timestamp>,
}

impl SessionRow {
    pub(crate) fn load(db: &Connection, session: Uuid) -> Result<Self> {
        db.prepare_cached(
            "SELECT owner, status, provisioned, turn_count, timeout, restored_to, files_removed_at
             FROM sessions WHERE id = ?",
        )?
        .query_row([Id(session)], |row| {
            Ok(Self {
                owner: sql::id(row, "owner")?,
                state: SessionState {
                    status: sql::word(row, "status")?,
                    provisioned: row.get("provisioned")?,
                },
                turn_count: row.get("turn_count")?,
                timeout: row.get("timeout")?,
                restored_to: row.get("restored_to")?,
                files_removed_at: sql::at_opt(row, "files_removed_at")?,
            })
        })
        .optional()?
        .ok_or_else(|| Error::not_found("session", session))
    }

    /// Checks that it takes a prompt.
    pub(crate) fn takes_prompts(&self) -> Result<()> {
        if let Some(at) = self.files_removed_at {
            return Err(Error::FilesRemoved { at });
        }
        self.state.apply(SessionEvent::Prompt)?;
        Ok(())
    }

    /// The same, when `turn` is the session's current one.
    fn load_at(db: &Connection, session: Uuid, turn: u32) -> Result<Self> {
        let row = Self::load(db, session)?;
        if row.turn_count != turn {
            return Err(Error::NotCurrentTurn {
                session,
                turn,
                current: row.turn_count,
            });
        }
        Ok(row)
    }
}

/// Moves a session to its next turn; `queued` is what that was in the queue.
pub(crate) fn begin(
    db: &Connection,
    id: Uuid,
    session: &SessionRow,
    ask: &Ask,
    queued: Option<Uuid>,
    at: Timestamp,
) -> Result<Turn> {
    let state = session.state.apply(SessionEvent::Prompt)?;
    let turn = session.turn_count + 1;
    db.prepare_cached(
        "UPDATE sessions SET status = :status, turn_count = :turn, exit_code = NULL,
             error = NULL, result = NULL, restored_to = NULL, expires_at = NULL,
             updated_at = :at
         WHERE id = :id",
    )?
    .execute(named_params! {
        ":id": Id(id),
        ":status": state.status.as_str(),
        ":turn": turn,
        ":at": At(at),
    })?;
    let timeout = ask.timeout.unwrap_or(session.timeout);
    insert(db, id, turn, ask, timeout, queued, at)?;
    if let Some(before) = session.restored_to.filter(|before| before + 1 != turn) {
        db.prepare_cached("UPDATE turns SET continues = ?3 WHERE session_id = ?1 AND number = ?2")?
            .execute((Id(id), turn, before))?;
    }
    turn_record(db, id, turn).map(|record| record.turn)
}

/// Adds a turn's row.
pub(crate) fn insert(
    db: &Connection,
    session: Uuid,
    number: u32,
    ask: &Ask,
    timeout: u32,
    queued: Option<Uuid>,
    at: Timestamp,
) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO turns (session_id, number, prompt, blocks, timeout, settings, output_schema,
             limits, queued_id, phase, created_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending', ?)",
    )?
    .execute((
        Id(session),
        number,
        &ask.prompt,
        ask.blocks.as_ref().map(Json),
        timeout,
        Json(&ask.settings),
        ask.output_schema.as_ref().map(Json),
        Json(&ask.limits),
        queued.map(Id),
        At(at),
    ))?;
    Ok(())
}

/// Ends a turn; says whose session it is, and how that stands.
fn end(db: &Connection, end: &TurnEnd) -> Result<(Uuid, Session)> {
    let row = SessionRow::load_at(db, end.session, end.turn)?;
    let state = row.state.apply(match (end.is_broken, end.outcome) {
        (true, Outcome::Failed) => SessionEvent::Break,
        (_, Outcome::Completed) if end.turn == 0 => SessionEvent::Provisioned,
        (_, outcome) => SessionEvent::End(outcome),
    })?;
    db.prepare_cached(
        "UPDATE turns SET phase = 'ended', outcome = :outcome, exit_code = :exit_code,
             error = :error, ended_at = :at, input_tokens = :input, output_tokens = :output,
             cached_tokens = :cached, cost_usd = :cost, rounds = :rounds,
             terminal = :terminal, result = :result, provider_usage = :provider_usage
         WHERE session_id = :id AND number = :turn",
    )?
    .execute(named_params! {
        ":id": Id(end.session),
        ":turn": end.turn,
        ":outcome": end.outcome.as_str(),
        ":exit_code": end.exit_code,
        ":error": end.error,
        ":at": At(end.at),
        ":input": sql::count(end.usage.input_tokens),
        ":output": sql::count(end.usage.output_tokens),
        ":cached": sql::count(end.usage.cached_tokens),
        ":cost": end.usage.cost_usd,
        ":rounds": end.rounds,
        ":provider_usage": end.provider_usage.map(Json),
        ":terminal": Json(&end.terminal),
        ":result": end.result.as_ref().map(Json),
    })?;
    spending::add(db, row.owner, &Spent::of(end.rounds, &end.usage), end.at)?;
    if !state.resumable() {
        // None of them could ever run.
        queue::clear(db, end.session)?;
    }
    let mut usage = db
        .prepare_cached("SELECT * FROM sessions WHERE id = ?")?
        .query_row([Id(end.session)], sql::usage)?;
    usage += end.usage;
    let session = db
        .prepare_cached(
            "UPDATE sessions SET status = :status, provisioned = :provisioned,
                 exit_code = :exit_code, error = :error, result = :result,
                 input_tokens = :input, output_tokens = :output, cached_tokens = :cached,
                 cost_usd = :cost, resume_token = ifnull(:resume_token, resume_token),
                 home_bytes = ifnull(:home, home_bytes),
                 workspace_bytes = ifnull(:workspace, workspace_bytes),
                 log_bytes = ifnull(:log, log_bytes),
                 sizes_partial = ifnull(:partial, sizes_partial),
                 updated_at = :at
             WHERE id = :id RETURNING *",
        )?
        .query_row(
            named_params! {
                ":id": Id(end.session),
                ":status": state.status.as_str(),
                ":provisioned": state.provisioned,
                ":exit_code": end.exit_code,
                ":error": end.error,
                ":result": end.result.as_ref().map(Json),
                ":input": sql::count(usage.input_tokens),
                ":output": sql::count(usage.output_tokens),
                ":cached": sql::count(usage.cached_tokens),
                ":cost": usage.cost_usd,
                ":resume_token": end.resume_token,
                ":home": end.sizes.map(|it| sql::count(it.home)),
                ":workspace": end.sizes.map(|it| sql::count(it.workspace)),
                ":log": end.sizes.map(|it| sql::count(it.log)),
                ":partial": end.sizes.map(|it| it.partial),
                ":at": At(end.at),
            },
            session_from_row,
        )?;
    questions::forget(db, end.session)?;
    if end.checkpoint && session.resumable {
        checkpoints::want(db, end.session, end.turn, end.at)?;
    }
    let turn = || turn_record(db, end.session, end.turn).map(|record| record.turn);
    let how = (end.turn, end.outcome);
    outbox::turn_ended(db, row.owner, &session, how, turn, end.at)?;
    Ok((row.owner, session))
}

fn turn_record(db: &Connection, session: Uuid, turn: u32) -> Result<TurnRecord> {
    db.prepare_cached("SELECT * FROM turns WHERE session_id = ? AND number = ?")?
        .query_row((Id(session), turn), TurnRecord::from_row)
        .optional()?
        .ok_or_else(|| Error::not_found("turn", format!("{session}/{turn}")))
}

impl TurnRecord {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let outcome: Option<sql::Word<Outcome>> = row.get("outcome")?;
        let outcome = outcome.map(|sql::Word(outcome)| outcome);
        let phase: String = row.get("phase")?;
        let status = match outcome {
            Some(outcome) => outcome.turn_status(),
            None if phase == "running" => Status::Running,
            None => Status::Pending,
        };
        let terminal: Option<Json<Value>> = row.get("terminal")?;
        let blocks: Option<Json<Vec<PromptBlock>>> = row.get("blocks")?;
        let output_schema: Option<Json<Value>> = row.get("output_schema")?;
        let result: Option<Json<Value>> = row.get("result")?;
        let provider_usage: Option<Json<ProviderUsage>> = row.get("provider_usage")?;
        let Json(settings) = row.get("settings")?;
        let Json(limits) = row.get("limits")?;
        let stop_requested: Option<sql::Word<StopRequest>> = row.get("stop_requested")?;
        Ok(Self {
            session: sql::id(row, "session_id")?,
            turn: Turn {
                turn_number: row.get("number")?,
                prompt: row.get("prompt")?,
                blocks: blocks.map(|Json(blocks)| blocks),
                status,
                exit_code: row.get("exit_code")?,
                created_at: sql::at(row, "created_at")?,
                started_at: sql::at_opt(row, "started_at")?,
                ended_at: sql::at_opt(row, "ended_at")?,
                usage: sql::usage(row)?,
                provider_usage: provider_usage.map(|Json(usage)| usage),
                outcome,
                error: row.get("error")?,
                timeout: row.get("timeout")?,
                settings,
                limits,
                queued_id: sql::id_opt(row, "queued_id")?,
                output_schema: output_schema.map(|Json(schema)| schema),
                result: result.map(|Json(result)| result),
                continues: row.get("continues")?,
                undone: row.get("undone")?,
            },
            adapter_digest: row.get("adapter_digest")?,
            stop_requested: stop_requested.map(|sql::Word(request)| request),
            terminal: terminal.map(|Json(terminal)| terminal),
            terminal_logged: row.get("terminal_logged")?,
            last_id: row
                .get::<_, Option<i64>>("last_id")?
                .and_then(|id| u64::try_from(id).ok()),
        })
    }
}
