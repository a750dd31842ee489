//! The section `[webhooks]`.

use std::time::Duration;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use super::Egress;

/// How users' webhooks are told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Webhooks {
    /// Whether messages may go to loopback, private and link-local addresses.
    allow_private: bool,
    /// How long a try may take.
    #[serde(with = "humantime_serde")]
    timeout: Duration,
    /// How long after the first try the second comes; each later one comes after twice the time.
    #[serde(with = "humantime_serde")]
    first_retry: Duration,
    /// The longest time between two tries.
    #[serde(with = "humantime_serde")]
    longest_retry: Duration,
    /// A message that was not taken for so long is given up.
    #[serde(with = "humantime_serde")]
    give_up: Duration,
    /// How long what became of messages can be seen.
    #[serde(with = "humantime_serde")]
    keep: Duration,
    /// How many messages are sent at once.
    max_in_flight: usize,
    /// How many of them to one webhook.
    max_in_flight_per_webhook: usize,
}

impl Default for Webhooks {
    fn default() -> Self {
        let settings = aod_services::WebhooksConfig::default();
        Self {
            allow_private: settings.allow_private,
            timeout: settings.timeout,
            first_retry: settings.first_retry,
            longest_retry: settings.longest_retry,
            give_up: settings.give_up,
            keep: settings.keep,
            max_in_flight: settings.in_flight,
            max_in_flight_per_webhook: settings.in_flight_per_hook,
        }
    }
}

impl Webhooks {
    pub(super) fn check(&self) -> Result<()> {
        if self.timeout.is_zero() || self.first_retry.is_zero() || self.longest_retry.is_zero() {
            bail!("webhooks.timeout, .first_retry and .longest_retry should be longer than 0s");
        }
        if self.max_in_flight == 0 || self.max_in_flight_per_webhook == 0 {
            bail!(
                "webhooks.max_in_flight and webhooks.max_in_flight_per_webhook should be 1 or more"
            );
        }
        Ok(())
    }

    /// What the services need.
    pub(super) fn config(&self, egress: &Egress) -> Result<aod_services::WebhooksConfig> {
        Ok(aod_services::WebhooksConfig {
            allow_private: self.allow_private,
            hosts: egress.pairs()?,
            ca_file: egress.ca_file()?,
            timeout: self.timeout,
            first_retry: self.first_retry,
            longest_retry: self.longest_retry,
            give_up: self.give_up,
            keep: self.keep,
            in_flight: self.max_in_flight,
            in_flight_per_hook: self.max_in_flight_per_webhook,
        })
    }
}
