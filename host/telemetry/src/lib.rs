//! Tells an OpenTelemetry collector of turns that have ended (`docs/metrics.md`).
//!
//! All of it is made of what is stored, when a turn is over, by a task of its own: turns neither
//! wait for it nor do anything for it but name themselves.

mod client;
mod content;
mod meters;
mod spans;
mod tell;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aod_metrics::metrics;
use aod_store::Store;
use opentelemetry_otlp::{ExporterBuildError, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanExporter as _;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use url::Url;
use uuid::Uuid;

use client::Client;
use meters::Meters;
use tell::Teller;

/// So many ended turns wait for a collector; what finds no room is counted and let go.
const WAITING: usize = 1024;
/// How long what waits may still be sent when the server stops.
const LAST: Duration = Duration::from_secs(2);

/// Settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the collector takes OTLP over HTTP: `/v1/traces` and `/v1/metrics` are added.
    pub endpoint: Url,
    /// What the server calls itself.
    pub service_name: String,
    /// Whether prompts, answers, and what tools are given and give are sent.
    pub content: bool,
    /// How long it may take to send something, tries again included.
    pub timeout: Duration,
    /// How often metrics are sent.
    pub interval: Duration,
    /// Certificate authorities that are trusted beside the system's, in PEM.
    pub ca_file: Option<PathBuf>,
}

/// Why it cannot be begun.
#[derive(Debug, Error)]
pub enum StartError {
    /// The connection to it cannot be prepared.
    #[error("the collector {endpoint} cannot be sent to: {problem}")]
    Client {
        /// Where it is.
        endpoint: Url,
        /// What is wrong.
        problem: String,
    },
    /// It cannot be made.
    #[error("telemetry cannot be sent to {endpoint}: {source}")]
    Exporter {
        /// Where it is.
        endpoint: Url,
        /// What is wrong.
        source: ExporterBuildError,
    },
}

/// Where a session's events are.
pub type EventsOf = Arc<dyn Fn(Uuid) -> PathBuf + Send + Sync>;

/// Takes the names of turns that have ended. Clones share the task behind it.
#[derive(Clone, Debug)]
pub struct Telemetry(mpsc::Sender<(Uuid, u32)>);

/// The task that tells of them.
#[derive(Debug)]
pub struct TelemetryTask {
    task: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

impl Telemetry {
    /// Begins.
    ///
    /// # Errors
    /// Where the exporters cannot be made; whether anybody takes what they send is not looked at.
    pub fn start(
        config: Config,
        store: Store,
        events: EventsOf,
    ) -> Result<(Self, TelemetryTask), StartError> {
        let endpoint = config.endpoint.clone();
        let client = Client::new(config.timeout, config.ca_file.as_deref()).map_err(|problem| {
            StartError::Client {
                endpoint: endpoint.clone(),
                problem,
            }
        })?;
        let failed = |source| StartError::Exporter {
            endpoint: endpoint.clone(),
            source,
        };
        let resource = Resource::builder_empty()
            .with_service_name(config.service_name.clone())
            .with_attribute(opentelemetry::KeyValue::new(
                "service.version",
                env!("CARGO_PKG_VERSION"),
            ))
            .build();
        let at = |path: &str| {
            let base = endpoint.as_str().trim_end_matches('/');
            format!("{base}/v1/{path}")
        };
        let mut spans = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(client.clone())
            .with_timeout(config.timeout)
            .with_endpoint(at("traces"))
            .build()
            .map_err(failed)?;
        spans.set_resource(&resource);
        let exporter = opentelemetry_otlp::MetricExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_timeout(config.timeout)
            .with_endpoint(at("metrics"))
            .build()
            .map_err(failed)?;
        let teller = Teller {
            store,
            events,
            spans,
            meters: Meters::new(exporter, resource, config.interval),
            content: config.content,
        };
        let (names, ended) = mpsc::channel(WAITING);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(teller.run(ended, stopped));
        Ok((Self(names), TelemetryTask { task, stop }))
    }

    /// A turn has ended. Neither waits nor fails.
    pub fn turn_ended(&self, session: Uuid, turn: u32) {
        if self.0.try_send((session, turn)).is_err() {
            metrics()
                .telemetry_turns
                .with_label_values(&["dropped"])
                .inc();
        }
    }
}

impl TelemetryTask {
    /// Sends what waits, for a moment at most, and stops.
    pub async fn stop(mut self) {
        // It may have panicked, which was logged where it happened.
        let _ = self.stop.send(());
        if tokio::time::timeout(LAST, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}
