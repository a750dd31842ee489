//! What webhooks are told, written in the transaction that makes it so.
//!
//! A message's id follows from what it tells of, so that telling the same twice adds nothing.

use aod_resources::{Outcome, Session, Timestamp, Turn, WebhookEvent};
use rusqlite::{Connection, named_params};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Result,
    sql::{At, Id, Json},
};

/// Texts in messages are cut at this many bytes, and other values left out: receivers take a
/// megabyte or less.
const FIELD: usize = 64 << 10;

/// What is told of.
pub(crate) struct NewMessage<'a> {
    pub(crate) owner: Uuid,
    pub(crate) session: Uuid,
    pub(crate) turn: u32,
    pub(crate) event: WebhookEvent,
    /// Tells it from others of its kind in the same turn.
    pub(crate) name: &'a str,
    pub(crate) at: Timestamp,
}

impl NewMessage<'_> {
    fn id(&self) -> Uuid {
        let Self { turn, name, .. } = self;
        let told = format!("{}/{turn}/{name}", self.event.as_str());
        Uuid::new_v5(&self.session, told.as_bytes())
    }
}

/// Adds a message for each webhook that wants it. `data` is asked for where there is one.
pub(crate) fn tell(
    db: &Connection,
    told: &NewMessage<'_>,
    data: impl FnOnce() -> Result<Value>,
) -> Result<()> {
    let hooks = wanting(db, told)?;
    if hooks.is_empty() {
        return Ok(());
    }
    let message = told.id();
    let payload = payload(told.event.as_str(), told.at, data()?);
    let message = Message {
        id: message,
        event: told.event.as_str(),
        about: Some((told.session, told.turn)),
        payload: &payload,
        at: told.at,
    };
    for hook in hooks {
        insert(db, hook, &message)?;
    }
    Ok(())
}

/// A message as it is sent.
pub(crate) struct Message<'a> {
    pub(crate) id: Uuid,
    pub(crate) event: &'a str,
    pub(crate) about: Option<(Uuid, u32)>,
    pub(crate) payload: &'a str,
    pub(crate) at: Timestamp,
}

/// A message's body, as the Standard Webhooks lay it out.
pub(crate) fn payload(event: &str, at: Timestamp, data: Value) -> String {
    json!({ "type": event, "timestamp": at, "data": data }).to_string()
}

/// The id of the delivery of a message to a webhook.
pub(crate) fn delivery_id(hook: Uuid, message: Uuid) -> Uuid {
    Uuid::new_v5(&hook, message.as_bytes())
}

/// Adds a message, unless the webhook was told before.
pub(crate) fn insert(db: &Connection, hook: Uuid, message: &Message<'_>) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO webhook_deliveries (id, webhook_id, message_id, event, session_id, turn,
             payload, state, next_attempt_at, since, created_at)
         VALUES (:id, :hook, :message, :event, :session, :turn, :payload, 'pending', :at, :at, :at)
         ON CONFLICT (webhook_id, message_id) DO NOTHING",
    )?
    .execute(named_params! {
        ":id": Id(delivery_id(hook, message.id)),
        ":hook": Id(hook),
        ":message": Id(message.id),
        ":event": message.event,
        ":session": message.about.map(|(session, _)| Id(session)),
        ":turn": message.about.map(|(_, turn)| turn),
        ":payload": message.payload,
        ":at": At(message.at),
    })?;
    Ok(())
}

/// The webhooks that want to be told.
fn wanting(db: &Connection, told: &NewMessage<'_>) -> Result<Vec<Uuid>> {
    let mut query = db.prepare_cached(
        "SELECT id, events FROM webhooks
         WHERE owner = ?1 AND session_id IS NULL AND enabled
         UNION ALL
         SELECT id, events FROM webhooks WHERE session_id = ?2 AND owner = ?1 AND enabled",
    )?;
    let rows = query.query_map((Id(told.owner), Id(told.session)), |row| {
        let Json(events): Json<Vec<WebhookEvent>> = row.get("events")?;
        let Id(id) = row.get("id")?;
        Ok((id, events))
    })?;
    let mut wanting = Vec::new();
    for row in rows {
        let (id, events) = row?;
        if events.is_empty() || events.contains(&told.event) {
            wanting.push(id);
        }
    }
    Ok(wanting)
}

/// Tells of a turn's end, and of its session's where it is that, too. `turn` reads the turn as it
/// has ended.
pub(crate) fn turn_ended(
    db: &Connection,
    owner: Uuid,
    session: &Session,
    (number, outcome): (u32, Outcome),
    turn: impl Fn() -> Result<Turn>,
    at: Timestamp,
) -> Result<()> {
    let tell_of = |event| {
        let told = NewMessage {
            owner,
            session: session.id,
            turn: number,
            event,
            name: "",
            at,
        };
        tell(db, &told, || Ok(ended(session, &turn()?)))
    };
    // What only provisions a sandbox is turn 0, which nobody asked for.
    if number > 0 {
        tell_of(match outcome {
            Outcome::Completed => WebhookEvent::TurnCompleted,
            Outcome::Failed => WebhookEvent::TurnFailed,
            Outcome::Interrupted => WebhookEvent::TurnInterrupted,
            Outcome::Terminated => WebhookEvent::TurnTerminated,
        })?;
    }
    match outcome {
        Outcome::Terminated => tell_of(WebhookEvent::SessionTerminated),
        Outcome::Failed if !session.resumable => tell_of(WebhookEvent::SessionFailed),
        _ => Ok(()),
    }
}

/// What is told of a turn that has ended.
fn ended(session: &Session, turn: &Turn) -> Value {
    let mut truncated = false;
    let data = json!({
        "session_id": session.id,
        "agent_id": session.agent_id,
        "runtime": session.runtime,
        "model": session.model,
        "session_status": session.status,
        "resumable": session.resumable,
        "turn": turn.turn_number,
        "outcome": turn.outcome,
        "exit_code": turn.exit_code,
        "error": bounded(turn.error.as_ref().map(|error| json!(error)), &mut truncated),
        "result": result(turn.result.as_ref(), &mut truncated),
        "usage": turn.usage,
        "session_usage": session.usage,
        "created_at": turn.created_at,
        "started_at": turn.started_at,
        "ended_at": turn.ended_at,
    });
    with_mark(data, truncated)
}

/// What is told of a question.
pub(crate) fn asked(session: Uuid, turn: u32, question: &Value) -> Value {
    let mut truncated = false;
    let data = json!({
        "session_id": session,
        "turn": turn,
        "question": each_bounded(question, &mut truncated),
    });
    with_mark(data, truncated)
}

fn with_mark(mut data: Value, truncated: bool) -> Value {
    data["truncated"] = json!(truncated);
    data
}

fn result(result: Option<&Value>, truncated: &mut bool) -> Value {
    result.map_or(Value::Null, |result| each_bounded(result, truncated))
}

/// An object whose large fields are cut.
fn each_bounded(value: &Value, truncated: &mut bool) -> Value {
    let Value::Object(fields) = value else {
        return bounded(Some(value.clone()), truncated);
    };
    let fields = fields
        .iter()
        .map(|(name, value)| (name.clone(), bounded(Some(value.clone()), truncated)));
    Value::Object(fields.collect())
}

/// A text that is too long is cut; another value that is too large is left out.
fn bounded(value: Option<Value>, truncated: &mut bool) -> Value {
    match value {
        None => Value::Null,
        Some(Value::String(mut text)) => {
            if text.len() > FIELD {
                text.truncate(text.floor_char_boundary(FIELD));
                *truncated = true;
            }
            Value::String(text)
        }
        Some(value @ (Value::Array(_) | Value::Object(_))) if value.to_string().len() > FIELD => {
            *truncated = true;
            Value::Null
        }
        Some(value) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_large_is_cut_and_marked() {
        let long = "é".repeat(FIELD);
        let question = json!({"title": long, "detail": {"a": long}, "choices": [], "n": 1});
        let told = asked(Uuid::nil(), 1, &question);
        assert_eq!(told["truncated"], true);
        assert_eq!(told["question"]["title"].as_str().unwrap().len(), FIELD);
        assert_eq!(told["question"]["detail"], Value::Null);
        assert_eq!(told["question"]["n"], 1);
        assert_eq!(
            asked(Uuid::nil(), 1, &json!({"a": "b"}))["truncated"],
            false
        );
    }

    #[test]
    fn the_same_is_told_under_the_same_id() {
        let told = |turn, name| {
            NewMessage {
                owner: Uuid::nil(),
                session: Uuid::max(),
                turn,
                event: WebhookEvent::PermissionRequested,
                name,
                at: Timestamp::now(),
            }
            .id()
        };
        assert_eq!(told(1, "a"), told(1, "a"));
        assert_ne!(told(1, "a"), told(2, "a"));
        assert_ne!(told(1, "a"), told(1, "b"));
    }
}
