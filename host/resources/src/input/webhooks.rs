//! Bodies that make and change webhooks.

use secrecy::SecretString;
use serde::Deserialize;

use super::parts::{WEBHOOK_EVENTS, WEBHOOK_SECRET, WEBHOOK_URL};
use super::shape::{Shape, Text};
use crate::WebhookEvent;

const DESCRIPTION: Shape = Text::new(0, 1000).shape();

input! {
    /// A new webhook.
    example r#"{
        "url": "https://example.com/hooks/aod",
        "events": ["turn.completed", "turn.failed", "permission.requested"],
        "description": "tells the team"
    }"#
    pub struct NewWebhook {
        /// Where messages are sent: an http or https URL without user, password and fragment.
        required url: String = WEBHOOK_URL,
        /// What it is told of; everything where nothing is said.
        optional events: Option<Vec<WebhookEvent>> = WEBHOOK_EVENTS,
        /// What it is for.
        optional description: Option<String> = DESCRIPTION,
        /// What messages are signed with: `whsec_` and 24 to 64 bytes in base64. One is made where
        /// nothing is said.
        optional secret: Option<SecretString> = WEBHOOK_SECRET,
        /// Whether messages are sent; they are where nothing is said.
        optional enabled: Option<bool> = Shape::Boolean,
    }
}

input! {
    /// Changes to a webhook. What is left out stays as it is.
    example r#"{"enabled": false}"#
    pub struct WebhookChanges {
        /// Where messages are sent.
        optional url: Option<String> = WEBHOOK_URL,
        /// What it is told of; an empty list stands for everything.
        optional events: Option<Vec<WebhookEvent>> = WEBHOOK_EVENTS,
        /// What it is for; `null` clears it.
        nullable description: Option<Option<String>> = DESCRIPTION,
        /// Whether messages are sent. What waits when it is disabled is not sent any more.
        optional enabled: Option<bool> = Shape::Boolean,
    }
}

input! {
    /// How a webhook gets another secret.
    example r#"{"overlap": 3600}"#
    pub struct WebhookRotation {
        /// The new secret; one is made where nothing is said.
        optional secret: Option<SecretString> = WEBHOOK_SECRET,
        /// Seconds in which messages are signed with the old secret, too: a day where nothing is
        /// said, at most a week.
        optional overlap: Option<u32> = Shape::Integer { min: 0, max: 7 * 86_400 },
    }
}

/// A webhook that is told what happens to one session, made along with that.
#[derive(Debug, Deserialize)]
pub struct NewSessionWebhook {
    /// Where messages are sent.
    pub url: String,
    /// What it is told of; everything where nothing is said.
    #[serde(default)]
    pub events: Vec<WebhookEvent>,
    /// What messages are signed with.
    #[serde(default)]
    pub secret: Option<SecretString>,
}
