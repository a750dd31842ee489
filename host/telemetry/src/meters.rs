//! Metrics after OpenTelemetry's conventions for generative AI.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, MeterProvider as _};
use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};

/// The buckets that the conventions advise.
const TOKENS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];
const SECONDS: [f64; 14] = [
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
];

/// What is measured of turns.
#[derive(Debug)]
pub(crate) struct Meters {
    provider: SdkMeterProvider,
    tokens: Histogram<u64>,
    seconds: Histogram<f64>,
    cost: Counter<f64>,
}

impl Meters {
    /// Sent every so often.
    pub(crate) fn new(exporter: MetricExporter, resource: Resource, interval: Duration) -> Self {
        let reader = PeriodicReader::builder(exporter)
            .with_interval(interval)
            .build();
        let provider = SdkMeterProvider::builder()
            .with_resource(resource)
            .with_reader(reader)
            .build();
        let meter = provider.meter("aod");
        Self {
            tokens: meter
                .u64_histogram("gen_ai.client.token.usage")
                .with_unit("{token}")
                .with_description("Tokens that turns used.")
                .with_boundaries(TOKENS.to_vec())
                .build(),
            seconds: meter
                .f64_histogram("gen_ai.client.operation.duration")
                .with_unit("s")
                .with_description("How long turns took.")
                .with_boundaries(SECONDS.to_vec())
                .build(),
            cost: meter
                .f64_counter("aod.turn.cost")
                .with_unit("USD")
                .with_description("What turns cost, where their CLIs tell.")
                .build(),
            provider,
        }
    }

    /// A turn with these attributes used so much.
    pub(crate) fn take(&self, attributes: &[KeyValue], turn: &aod_resources::Turn, failed: bool) {
        for (kind, tokens) in [
            ("input", turn.usage.input_tokens + turn.usage.cached_tokens),
            ("output", turn.usage.output_tokens),
        ] {
            let mut attributes = attributes.to_vec();
            attributes.push(KeyValue::new("gen_ai.token.type", kind));
            if tokens > 0 {
                self.tokens.record(tokens, &attributes);
            }
        }
        if let (Some(from), Some(to)) = (turn.started_at, turn.ended_at) {
            let mut attributes = attributes.to_vec();
            if failed {
                attributes.push(KeyValue::new("error.type", "failed"));
            }
            let micros = to.as_micros().saturating_sub(from.as_micros()).max(0);
            #[allow(clippy::cast_precision_loss, reason = "no turn takes a century")]
            self.seconds.record(micros as f64 / 1e6, &attributes);
        }
        if let Some(cost) = turn.usage.cost_usd.filter(|cost| *cost > 0.0) {
            self.cost.add(cost, attributes);
        }
    }

    /// Sends what there is, for the last time. Blocks.
    pub(crate) fn stop(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(Duration::from_secs(1)) {
            tracing::debug!(%error, "the last metrics were not sent");
        }
    }
}
