//! The task that tells of turns, one after the other.

use std::io;

use aod_metrics::metrics;
use aod_resources::event::Event;
use aod_resources::{Outcome, Turn};
use aod_store::{SessionRecord, Store};
use opentelemetry::KeyValue;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::EventsOf;
use crate::meters::Meters;
use crate::spans::TurnSpans;

/// Names of the types of events that spans are made of.
const TOLD: [&[u8]; 3] = [b"tool.call", b"tool.result", b"usage"];

pub(crate) struct Teller {
    pub(crate) store: Store,
    pub(crate) events: EventsOf,
    pub(crate) spans: opentelemetry_otlp::SpanExporter,
    pub(crate) meters: Meters,
    pub(crate) content: bool,
}

impl Teller {
    /// Tells of each turn that is named, and of those that wait when it is to stop.
    pub(crate) async fn run(
        self,
        mut ended: mpsc::Receiver<(Uuid, u32)>,
        mut stop: oneshot::Receiver<()>,
    ) {
        let mut is_refused = false;
        loop {
            let next = tokio::select! {
                next = ended.recv() => next,
                _ = &mut stop, if !ended.is_closed() => {
                    ended.close();
                    continue;
                }
            };
            let Some((session, turn)) = next else { break };
            let told = self.tell(session, turn).await;
            let failed = told.is_err();
            let word = if failed { "failed" } else { "sent" };
            let turns = &metrics().telemetry_turns;
            turns.with_label_values(&[word]).inc();
            match told {
                Ok(()) if is_refused => {
                    tracing::info!("the telemetry collector takes what it is sent again");
                }
                // Once, however long it lasts: the metric counts them.
                Err(error) if !is_refused => tracing::warn!(
                    %session, turn, %error, "a turn could not be told to the telemetry collector"
                ),
                _ => {}
            }
            is_refused = failed;
        }
        // It waits for a thread.
        let _ = tokio::task::spawn_blocking(move || self.meters.stop()).await;
    }

    async fn tell(&self, session: Uuid, number: u32) -> Result<(), String> {
        let session = match self.store.session_record(session).await {
            Ok(session) => session,
            // Deleted meanwhile.
            Err(aod_store::Error::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error.to_string()),
        };
        let turn = self.store.turn_record(session.session.id, number).await;
        let turn = turn.map_err(|error| error.to_string())?.turn;
        let attributes = common(&session);
        let failed = turn.outcome == Some(Outcome::Failed);
        self.meters.take(&attributes, &turn, failed);
        let spans = self.spans_of(session, turn, attributes).await;
        let spans = spans.map_err(|error| error.to_string())?;
        let sent = self.spans.export(spans).await;
        sent.map_err(|error| error.to_string())
    }

    async fn spans_of(
        &self,
        session: SessionRecord,
        turn: Turn,
        attributes: Vec<KeyValue>,
    ) -> io::Result<Vec<SpanData>> {
        let events = (self.events)(session.session.id);
        let content = self.content;
        let made = tokio::task::spawn_blocking(move || {
            let number = turn.turn_number;
            let mut spans = TurnSpans::new(session, turn, attributes, content);
            aod_streams::events::read_turn(&events, number, |line| {
                if !is_told(line) {
                    return true;
                }
                let event = std::str::from_utf8(line)
                    .ok()
                    .and_then(|text| Event::from_json(text).ok());
                match event {
                    Some(event) if event.turn > Some(number) => false,
                    Some(event) => {
                        if event.turn == Some(number) {
                            spans.take(event);
                        }
                        true
                    }
                    None => true,
                }
            })?;
            Ok(spans.finish())
        });
        made.await.map_err(io::Error::other)?
    }
}

/// Whether spans are made of an event, by its stored line. No text in it can hold the key before
/// the key itself: quotation marks are escaped there.
fn is_told(line: &[u8]) -> bool {
    const KEY: &[u8] = b"\"type\":\"";
    let Some(at) = memchr::memmem::find(line, KEY) else {
        return false;
    };
    let rest = &line[at + KEY.len()..];
    TOLD.iter().any(|kind| {
        rest.strip_prefix(*kind)
            .is_some_and(|rest| rest.starts_with(b"\""))
    })
}

/// What all spans and metrics of a session have.
fn common(session: &SessionRecord) -> Vec<KeyValue> {
    let model = &session.session.model;
    // `anthropic/claude-sonnet-4-6`: the provider's name is in the model's.
    let (provider, name) = model.split_once('/').unwrap_or(("", model));
    let mut attributes = vec![
        KeyValue::new("gen_ai.operation.name", "invoke_agent"),
        KeyValue::new("gen_ai.request.model", name.to_owned()),
        KeyValue::new("aod.runtime", session.session.runtime.clone()),
    ];
    if !provider.is_empty() {
        let provider = provider.to_owned();
        attributes.push(KeyValue::new("gen_ai.provider.name", provider));
    }
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_spans_are_made_of_is_read() {
        let line = |kind: &str, more: &str| {
            format!(
                "{{\"id\":\"7.0\",\"turn\":1,\"ordinal\":1,\"at\":\"1970-01-01T00:00:00Z\",\
                 \"type\":\"{kind}\"{more}}}"
            )
        };
        assert!(is_told(line("tool.call", "").as_bytes()));
        assert!(is_told(line("usage", "").as_bytes()));
        assert!(!is_told(line("tool.call.more", "").as_bytes()));
        assert!(!is_told(line("message", ",\"type\":\"usage\"").as_bytes()));
        assert!(!is_told(b"no event"));
    }
}
