//! What turns are measured by (`docs/metrics.md`).

use aod_metrics::metrics;
use aod_resources::{Outcome, Session, Timestamp, Turn};

use super::Turns;
use crate::placement::WorkerId;

/// Seconds from one moment to another; none where the clock was set back between them.
fn seconds(from: Timestamp, to: Timestamp) -> Option<f64> {
    let micros = to.as_micros().checked_sub(from.as_micros())?;
    #[allow(clippy::cast_precision_loss, reason = "no turn takes a century")]
    (micros >= 0).then_some(micros as f64 / 1e6)
}

/// A turn has begun.
pub(super) fn started(session: &Session, turn: &Turn, at: Timestamp) {
    if let Some(seconds) = seconds(turn.created_at, at) {
        let times = &metrics().turn_start_seconds;
        times
            .with_label_values(&[session.runtime.as_str()])
            .observe(seconds);
    }
}

/// The agent has said or done its first in a turn that began at `began`, by the log's clock.
pub(super) fn first_event(runtime: &str, began: Timestamp, at: Timestamp) {
    if let Some(seconds) = seconds(began, at) {
        let times = &metrics().turn_first_event_seconds;
        times.with_label_values(&[runtime]).observe(seconds);
    }
}

/// A turn's end was committed.
pub(super) async fn ended(turns: &Turns, id: WorkerId, session: &Session, outcome: Outcome) {
    if id.turn == 0 {
        return;
    }
    let runtime = session.runtime.as_str();
    let labels = [runtime, outcome.as_str()];
    metrics().turns.with_label_values(&labels).inc();
    let Ok(record) = turns.store.turn_record(id.session, id.turn).await else {
        // It has ended all the same.
        return;
    };
    let turn = record.turn;
    if let (Some(from), Some(to)) = (turn.started_at, turn.ended_at)
        && let Some(seconds) = seconds(from, to)
    {
        let times = &metrics().turn_seconds;
        times.with_label_values(&labels).observe(seconds);
    }
    let usage = turn.usage;
    for (kind, tokens) in [
        ("input", usage.input_tokens),
        ("output", usage.output_tokens),
        ("cached", usage.cached_tokens),
    ] {
        let counter = metrics().tokens.with_label_values(&[runtime, kind]);
        counter.inc_by(tokens);
    }
    if let Some(cost) = usage.cost_usd.filter(|cost| *cost > 0.0) {
        let sum = metrics().cost_usd.with_label_values(&[runtime]);
        sum.inc_by(cost);
    }
    if let Some(ended) = &turns.ended {
        ended(id.session, id.turn);
    }
}
