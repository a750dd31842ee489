//! The section `[telemetry]`.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use url::Url;

use super::Egress;

/// The OpenTelemetry collector that is told of ended turns.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Telemetry {
    /// Where it takes OTLP over HTTP; nothing: nobody is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    /// What the server calls itself.
    service_name: String,
    /// Whether prompts, answers, and what tools are given and give are sent.
    content: bool,
    /// How long it may take to send something, tries again included.
    #[serde(with = "humantime_serde")]
    timeout: Duration,
    /// How often metrics are sent.
    #[serde(with = "humantime_serde")]
    interval: Duration,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            endpoint: None,
            service_name: "aod".to_owned(),
            content: false,
            timeout: Duration::from_secs(10),
            interval: Duration::from_secs(60),
        }
    }
}

impl Telemetry {
    pub(super) fn check(&self) -> Result<()> {
        if self.timeout.is_zero() || self.interval.is_zero() {
            bail!("telemetry.timeout and .interval should be longer than 0s");
        }
        self.url().map(drop)
    }

    /// What the services need; none where nobody is told.
    pub(super) fn config(&self, egress: &Egress) -> Result<Option<aod_services::TelemetryConfig>> {
        let Some(endpoint) = self.url()? else {
            return Ok(None);
        };
        Ok(Some(aod_services::TelemetryConfig {
            endpoint,
            service_name: self.service_name.clone(),
            content: self.content,
            timeout: self.timeout,
            interval: self.interval,
            ca_file: egress.ca_file()?,
        }))
    }

    fn url(&self) -> Result<Option<Url>> {
        let Some(text) = &self.endpoint else {
            return Ok(None);
        };
        let url =
            Url::parse(text).with_context(|| format!("telemetry.endpoint {text:?} is no URL"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            bail!("telemetry.endpoint should begin with http:// or https://");
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            bail!(
                "telemetry.endpoint should have no credentials and no query: headers come from the \
                 environment variable OTEL_EXPORTER_OTLP_HEADERS"
            );
        }
        Ok(Some(url))
    }
}
