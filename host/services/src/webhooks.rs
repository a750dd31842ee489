//! Webhooks, as their users see them: made, changed, tested, and what became of each message.

use aod_metrics::{as_gauge, metrics};
use aod_resources::{
    DeliveryState, NewSessionWebhook, NewWebhook, Timestamp, Webhook, WebhookChanges,
    WebhookDelivery, WebhookRotation,
};
use aod_store::{
    DeliveryFilter, Page, SealedKey, Store, WEBHOOK_SECRET, WEBHOOK_SECRET_BEFORE, WebhookUpdate,
};
use aod_turns::Seals;
use aod_webhooks::SigningSecret;
use secrecy::SecretString;
use serde_json::Value;
use uuid::Uuid;

use crate::{Error, Kind, Result};

/// How many webhooks a user may have that belong to no session.
const MOST: u32 = 100;
/// Seconds in which messages are signed with the old secret, too, where nothing is said.
const OVERLAP: u32 = 86_400;

/// The webhooks of all users.
#[derive(Clone, Debug)]
pub struct Webhooks {
    pub(crate) store: Store,
    pub(crate) seals: Seals,
    pub(crate) outgoing: aod_webhooks::Webhooks,
}

/// A session's own webhook, to be added along with it.
pub(crate) struct SessionWebhook {
    pub(crate) new: aod_store::NewWebhook,
    /// The secret, where it was made here.
    pub(crate) made: Option<SecretString>,
}

impl Webhooks {
    /// A user's webhooks, newest first; or those of one session alone.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the page begins after none of theirs.
    pub async fn list(
        &self,
        owner: Uuid,
        session: Option<Uuid>,
        page: Page,
    ) -> Result<Vec<Webhook>> {
        Ok(self.store.list_webhooks(owner, session, page).await?)
    }

    /// One of them.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn get(&self, owner: Uuid, id: Uuid) -> Result<Webhook> {
        Ok(self.store.webhook(owner, id).await?)
    }

    /// Adds one, and gives its secret.
    ///
    /// # Errors
    /// [`Error::WebhookUrl`]; [`Error::TooManyWebhooks`].
    pub async fn create(&self, owner: Uuid, new: NewWebhook) -> Result<(Webhook, SecretString)> {
        self.check_url("url", &new.url)?;
        let id = Uuid::new_v4();
        let secret = new.secret.unwrap_or_else(SigningSecret::generate);
        let new = aod_store::NewWebhook {
            id,
            owner,
            session: None,
            url: new.url,
            events: new.events.unwrap_or_default(),
            description: new.description,
            enabled: new.enabled.unwrap_or(true),
            secret: self.seal(owner, id, WEBHOOK_SECRET, &secret)?,
            limit: MOST,
            at: Timestamp::now(),
        };
        Ok((self.store.create_webhook(new).await?, secret))
    }

    /// What is to be added along with a session.
    pub(crate) fn of_session(
        &self,
        owner: Uuid,
        session: Uuid,
        new: NewSessionWebhook,
    ) -> Result<SessionWebhook> {
        self.check_url("webhook.url", &new.url)?;
        let id = Uuid::new_v4();
        let made = new.secret.is_none().then(SigningSecret::generate);
        let secret = new.secret.or_else(|| made.clone());
        let secret = secret.unwrap_or_else(SigningSecret::generate);
        Ok(SessionWebhook {
            new: aod_store::NewWebhook {
                id,
                owner,
                session: Some(session),
                url: new.url,
                events: new.events,
                description: None,
                enabled: true,
                secret: self.seal(owner, id, WEBHOOK_SECRET, &secret)?,
                limit: MOST,
                at: Timestamp::now(),
            },
            made,
        })
    }

    /// Changes one.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::WebhookUrl`].
    pub async fn update(&self, owner: Uuid, id: Uuid, changes: WebhookChanges) -> Result<Webhook> {
        self.store.webhook(owner, id).await?;
        if let Some(url) = &changes.url {
            self.check_url("url", url)?;
        }
        let update = WebhookUpdate {
            url: changes.url,
            events: changes.events,
            description: changes.description,
            enabled: changes.enabled,
        };
        Ok(self
            .store
            .update_webhook(owner, id, update, Timestamp::now())
            .await?)
    }

    /// Deletes one, with what was to be sent to it.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn delete(&self, owner: Uuid, id: Uuid) -> Result<()> {
        Ok(self.store.delete_webhook(owner, id).await?)
    }

    /// Gives one another secret, and gives that.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Sealed`] where the present one cannot be opened, unless
    /// nothing is to be signed with it any more.
    pub async fn rotate(
        &self,
        owner: Uuid,
        id: Uuid,
        rotation: WebhookRotation,
    ) -> Result<(Webhook, SecretString)> {
        self.store.webhook(owner, id).await?;
        let overlap = rotation.overlap.unwrap_or(OVERLAP);
        let secret = rotation.secret.unwrap_or_else(SigningSecret::generate);
        let before = match overlap {
            0 => secret.clone(),
            _ => self.open(owner, id).await?,
        };
        let sealed = (
            self.seal(owner, id, WEBHOOK_SECRET, &secret)?,
            self.seal(owner, id, WEBHOOK_SECRET_BEFORE, &before)?,
        );
        let at = Timestamp::now();
        let until = Timestamp::from_micros(at.as_micros() + i64::from(overlap) * 1_000_000);
        let webhook = self
            .store
            .rotate_webhook(owner, id, sealed, until, at)
            .await?;
        Ok((webhook, secret))
    }

    /// Has one be sent a message that tells of nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::WebhookDisabled`].
    pub async fn test(&self, owner: Uuid, id: Uuid) -> Result<WebhookDelivery> {
        let message = Uuid::new_v4();
        Ok(self
            .store
            .test_webhook(owner, id, message, Timestamp::now())
            .await?)
    }

    /// What became of its messages, newest first.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn deliveries(
        &self,
        owner: Uuid,
        id: Uuid,
        state: Option<DeliveryState>,
        page: Page,
    ) -> Result<Vec<WebhookDelivery>> {
        let filter = DeliveryFilter { state, page };
        Ok(self.store.list_deliveries(owner, id, filter).await?)
    }

    /// What became of one of its messages, and what that says.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn delivery(
        &self,
        owner: Uuid,
        id: Uuid,
        delivery: Uuid,
    ) -> Result<(WebhookDelivery, Value)> {
        Ok(self.store.delivery(owner, id, delivery).await?)
    }

    /// Has a message be sent once more.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::WebhookDisabled`].
    pub async fn redeliver(
        &self,
        owner: Uuid,
        id: Uuid,
        delivery: Uuid,
    ) -> Result<WebhookDelivery> {
        Ok(self
            .store
            .redeliver(owner, id, delivery, Timestamp::now())
            .await?)
    }

    /// Sets the metrics that say what waits.
    pub(crate) async fn measure(&self) -> Result<()> {
        let counts = self.store.delivery_counts().await?;
        let now = Timestamp::now().as_micros();
        let age = counts.oldest.map_or(0, |oldest| now - oldest.as_micros());
        let metrics = metrics();
        metrics.webhook_pending.set(as_gauge(counts.pending));
        let oldest = &metrics.webhook_oldest_pending_seconds;
        oldest.set((age / 1_000_000).max(0));
        Ok(())
    }

    fn check_url(&self, field: &'static str, url: &str) -> Result<()> {
        self.outgoing
            .check_url(url)
            .map_err(|problem| Error::WebhookUrl { field, problem })
    }

    fn seal(&self, owner: Uuid, hook: Uuid, name: &str, secret: &SecretString) -> Result<Vec<u8>> {
        Ok(self
            .seals
            .seal(&SealedKey::of_webhook(owner, hook, name), secret)?)
    }

    async fn open(&self, owner: Uuid, hook: Uuid) -> Result<SecretString> {
        let sealed = self
            .store
            .sealed(SealedKey::of_webhook(owner, hook, WEBHOOK_SECRET))
            .await?;
        let sealed = sealed.ok_or(Error::NotFound(Kind::Webhook))?;
        Ok(self.seals.open(&sealed)?)
    }
}
