//! The task that sends what is due.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use aod_metrics::metrics;
use aod_resources::Timestamp;
use aod_store::{
    AttemptEnd, DueDelivery, SealedKey, SealedKind, Store, WEBHOOK_SECRET, WEBHOOK_SECRET_BEFORE,
};
use aod_vault::{Binding, Sealed, Vault};
use hyper::header::HeaderName;
use rand::seq::SliceRandom as _;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Config;
use crate::outbound::{Answer, Outbound};
use crate::schedule;
use crate::sign::{SigningSecret, signatures};

/// How often what is old is deleted, and the longest that nothing is looked at.
const SWEEP: Duration = Duration::from_secs(60);
/// How soon a store that does not answer is asked again.
const STORE_RETRY: Duration = Duration::from_secs(5);

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

pub(crate) struct Sender {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) vault: Vault,
    pub(crate) outbound: Arc<Outbound>,
    pub(crate) shutdown: CancellationToken,
}

/// What is on its way.
#[derive(Default)]
struct InFlight {
    tasks: JoinSet<bool>,
    /// The delivery of each task, and its webhook.
    of: HashMap<tokio::task::Id, (Uuid, Uuid)>,
    deliveries: HashSet<Uuid>,
    per_hook: HashMap<Uuid, usize>,
    /// Webhooks whose last try failed.
    failing: HashSet<Uuid>,
}

impl InFlight {
    /// Takes note of a task that has ended.
    fn ended(&mut self, ended: Result<(tokio::task::Id, bool), tokio::task::JoinError>) {
        let (task, is_taken) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(%error, "a webhook's delivery panicked");
                (error.id(), false)
            }
        };
        let Some((delivery, hook)) = self.of.remove(&task) else {
            return;
        };
        self.deliveries.remove(&delivery);
        match self.per_hook.get_mut(&hook) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.per_hook.remove(&hook)),
        }
        match is_taken {
            true => self.failing.remove(&hook),
            false => self.failing.insert(hook),
        };
    }

    fn has_room(&self, hook: Uuid, config: &Config) -> bool {
        let limit = match self.failing.contains(&hook) {
            true => 1,
            false => config.in_flight_per_hook,
        };
        self.tasks.len() < config.in_flight && self.per_hook.get(&hook).unwrap_or(&0) < &limit
    }
}

impl Sender {
    /// Sends until the server stops.
    pub(crate) async fn run(self) {
        let sender = Arc::new(self);
        let mut in_flight = InFlight::default();
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let next = sender.dispatch(&mut in_flight).await;
            tokio::select! {
                () = sender.store.outbox_grown() => {}
                Some(ended) = in_flight.tasks.join_next_with_id() => in_flight.ended(ended),
                () = tokio::time::sleep_until(next) => {}
                _ = sweep.tick() => sender.sweep(&mut in_flight).await,
                () = sender.shutdown.cancelled() => return,
            }
        }
    }

    /// Begins to send what is due and has room; says when to look again at the latest.
    async fn dispatch(self: &Arc<Self>, in_flight: &mut InFlight) -> Instant {
        let later = Instant::now() + SWEEP;
        if in_flight.tasks.len() >= self.config.in_flight {
            return later;
        }
        let now = Timestamp::now();
        let per_hook = u32::try_from(self.config.in_flight_per_hook).unwrap_or(u32::MAX);
        let (mut due, next) = match self.store.due_deliveries(now, per_hook).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "it cannot be seen which webhooks are to be told");
                return Instant::now() + STORE_RETRY;
            }
        };
        // Nobody is always first.
        due.shuffle(&mut rand::rng());
        for delivery in due {
            if in_flight.deliveries.contains(&delivery.id)
                || !in_flight.has_room(delivery.hook, &self.config)
            {
                continue;
            }
            let (id, hook) = (delivery.id, delivery.hook);
            let task = in_flight.tasks.spawn(self.clone().deliver(delivery));
            in_flight.of.insert(task.id(), (id, hook));
            in_flight.deliveries.insert(id);
            *in_flight.per_hook.entry(hook).or_default() += 1;
        }
        next.map_or(later, |next| {
            let micros = next.as_micros().saturating_sub(now.as_micros());
            later.min(Instant::now() + Duration::from_micros(u64::try_from(micros).unwrap_or(0)))
        })
    }

    /// Sends a message once, and notes what came of it; says whether it was taken.
    async fn deliver(self: Arc<Self>, delivery: DueDelivery) -> bool {
        let begun = Instant::now();
        let sent = tokio::select! {
            sent = self.send(&delivery) => sent,
            // The next server sends it again.
            () = self.shutdown.cancelled() => return false,
        };
        let (status, error, retry_after) = match sent {
            Ok(Answer { status, .. }) if (200..300).contains(&status) => (Some(status), None, None),
            Ok(answer) => (
                Some(answer.status),
                Some(refusal(answer.status)),
                answer.retry_after,
            ),
            Err(error) => (None, Some(error), None),
        };
        let is_taken = error.is_none();
        let is_gone = status == Some(410);
        let at = Timestamp::now();
        let again = match is_taken || is_gone {
            true => None,
            false => self.again(&delivery, retry_after, at),
        };
        Self::count(is_taken, again.is_some(), begun.elapsed());
        tracing::debug!(
            hook = %delivery.hook, message = %delivery.message, ?status, error, "told a webhook"
        );
        let end = AttemptEnd {
            id: delivery.id,
            status,
            error,
            again,
            at,
        };
        self.note(end, is_gone.then_some(delivery.hook)).await;
        is_taken
    }

    fn count(is_taken: bool, is_tried_again: bool, took: Duration) {
        let word = if is_taken { "delivered" } else { "failed" };
        let attempts = &metrics().webhook_attempts;
        attempts.with_label_values(&[word]).inc();
        metrics()
            .webhook_attempt_seconds
            .observe(took.as_secs_f64());
        if !is_taken && !is_tried_again {
            metrics().webhook_given_up.inc();
        }
    }

    /// When to try again; not at all where that would be too late.
    fn again(
        &self,
        delivery: &DueDelivery,
        retry_after: Option<Duration>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let wait = schedule::wait(&self.config, delivery.attempts + 1, retry_after);
        let add = |to: Timestamp, wait: Duration| {
            let micros = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
            Timestamp::from_micros(to.as_micros().saturating_add(micros))
        };
        let again = add(now, wait);
        (again.as_micros() <= add(delivery.since, self.config.give_up).as_micros()).then_some(again)
    }

    async fn send(&self, delivery: &DueDelivery) -> Result<Answer, String> {
        let secrets = self.secrets(delivery).await?;
        let id = delivery.message.to_string();
        let timestamp = Timestamp::now().as_micros().div_euclid(1_000_000);
        let signature = signatures(&secrets, &id, timestamp, delivery.payload.as_bytes());
        drop(secrets);
        let headers = [
            (ID, id),
            (TIMESTAMP, timestamp.to_string()),
            (SIGNATURE, signature),
        ];
        let body = delivery.payload.clone().into();
        let sent = self.outbound.post(&delivery.url, &headers, body).await;
        sent.map_err(|error| error.to_string())
    }

    /// What the message is signed with: the present secret, and for a while the one before it.
    async fn secrets(&self, delivery: &DueDelivery) -> Result<Vec<SigningSecret>, String> {
        let mut secrets = vec![self.secret(delivery, WEBHOOK_SECRET).await?];
        let is_overlapping = delivery
            .overlap_until
            .is_some_and(|until| until.as_micros() > Timestamp::now().as_micros());
        if is_overlapping {
            secrets.push(self.secret(delivery, WEBHOOK_SECRET_BEFORE).await?);
        }
        Ok(secrets)
    }

    async fn secret(&self, delivery: &DueDelivery, name: &str) -> Result<SigningSecret, String> {
        let kind = SealedKind::WebhookSecret;
        let key = SealedKey {
            owner: delivery.owner,
            kind,
            record: delivery.hook,
            name: name.to_owned(),
        };
        let binding = Binding::new(key.owner, kind.as_str(), key.record, name);
        let broken = || {
            "the message could not be signed: the webhook's secret cannot be opened; rotate it"
                .to_owned()
        };
        let record = match self.store.sealed(key).await {
            Ok(record) => record.ok_or_else(broken)?,
            Err(_) => return Err("the server's store did not answer".to_owned()),
        };
        let opened = self.vault.open_sealed(&binding, &Sealed::from(record.blob));
        let text = opened.map_err(|error| {
            tracing::error!(%error, hook = %delivery.hook, "a webhook's secret cannot be opened");
            broken()
        })?;
        SigningSecret::read(&text).map_err(|_| broken())
    }

    /// Notes how a try ended, as often as that takes: without it the message would be sent again at
    /// once. A webhook whose receiver is gone is disabled.
    async fn note(&self, end: AttemptEnd, gone: Option<Uuid>) {
        let at = end.at;
        loop {
            let noted = async {
                self.store.end_attempt(end.clone()).await?;
                match gone {
                    Some(hook) => {
                        let reason = "the receiver answered 410 Gone".to_owned();
                        self.store.disable_webhook(hook, reason, at).await
                    }
                    None => Ok(()),
                }
            };
            let Err(error) = noted.await else { return };
            tracing::warn!(%error, "it cannot be noted what became of a webhook's message");
            tokio::select! {
                () = tokio::time::sleep(STORE_RETRY) => {}
                () = self.shutdown.cancelled() => return,
            }
        }
    }

    /// Deletes what is old.
    async fn sweep(&self, in_flight: &mut InFlight) {
        // Those with nothing on its way are given a fresh chance.
        in_flight
            .failing
            .retain(|hook| in_flight.per_hook.contains_key(hook));
        let keep = i64::try_from(self.config.keep.as_micros()).unwrap_or(i64::MAX);
        let before = Timestamp::now().as_micros().saturating_sub(keep);
        let before = Timestamp::from_micros(before);
        loop {
            match self.store.purge_deliveries(before).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(%error, "old deliveries of webhooks cannot be deleted");
                    return;
                }
            }
        }
    }
}

/// What is said of an answer that is no success.
fn refusal(status: u16) -> String {
    match status {
        300..400 => format!("the receiver answered {status}: redirects are not followed"),
        410 => "the receiver answered 410 Gone, and the webhook was disabled".to_owned(),
        _ => format!("the receiver answered {status}"),
    }
}
