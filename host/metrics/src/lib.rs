//! What the server counts and measures, for Prometheus.
//!
//! There is one set for the process, as there is one `/metrics`: whoever has something to count does
//! so where it happens, by [`metrics`]. What is a state of the server, such as how many sessions
//! there are, is looked up when somebody asks. `docs/metrics.md` lists all of them.

mod family;
mod process;

use std::sync::LazyLock;

use prometheus::core::Collector;
use prometheus::{
    Encoder as _, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, Registry,
    TextEncoder,
};

pub use family::{Family, Kind};
/// What callers set by label.
pub use prometheus::IntGaugeVec;

use family::Families;

/// From a request that the store answers at once to an upload.
const REQUEST_SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// From a demo that is over at once to the longest turn there may be.
const TURN_SECONDS: &[f64] = &[
    0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0,
];
/// From a stage with nothing to do to the installation of a CLI.
const STAGE_SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0,
];

/// The process's metrics.
pub fn metrics() -> &'static Metrics {
    static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);
    &METRICS
}

/// All metrics.
#[derive(Debug)]
#[allow(
    missing_docs,
    reason = "each has its help, which is in docs/metrics.md as well"
)]
pub struct Metrics {
    registry: Registry,
    families: Vec<Family>,

    pub http_requests: IntCounterVec,
    pub http_request_seconds: HistogramVec,
    pub connections: IntGauge,
    pub connections_limit: IntGauge,
    pub connections_refused: IntCounter,

    pub sessions: IntGaugeVec,
    pub session_bytes: IntGaugeVec,
    pub checkpoints: IntGaugeVec,

    pub turns: IntCounterVec,
    pub turns_active: IntGauge,
    pub turns_waiting: IntGauge,
    pub turn_seconds: HistogramVec,
    pub turn_start_seconds: HistogramVec,
    pub turn_first_event_seconds: HistogramVec,
    pub admission_wait_seconds: Histogram,
    pub stage_seconds: HistogramVec,
    pub tokens: IntCounterVec,
    pub cost_usd: prometheus::CounterVec,
    pub tool_calls: IntCounterVec,

    pub runtimes: IntGaugeVec,
    pub adapter_failures: IntCounterVec,

    pub egress_refused: IntCounter,
    pub egress_failed: IntCounter,

    pub vault_operations: IntCounterVec,

    pub webhook_pending: IntGauge,
    pub webhook_oldest_pending_seconds: IntGauge,
    pub webhook_attempts: IntCounterVec,
    pub webhook_attempt_seconds: Histogram,
    pub webhook_given_up: IntCounter,

    pub telemetry_turns: IntCounterVec,

    build: IntGaugeVec,
    open_files: IntGauge,
    open_files_limit: IntGauge,
    resident_bytes: IntGauge,
    start_time_seconds: IntGauge,
}

impl Metrics {
    fn new() -> Self {
        let mut all = Families::default();
        let metrics = Self {
            http_requests: all.counters(
                "aod_http_requests_total",
                "Requests that were answered. The route is the pattern of its path, and `other` where there is none.",
                &["method", "route", "status"],
            ),
            http_request_seconds: all.histograms(
                "aod_http_request_duration_seconds",
                "How long a request took until its reply began: streams go on after that.",
                &["method", "route"],
                REQUEST_SECONDS,
            ),
            connections: all.gauge("aod_connections", "Open connections of clients."),
            connections_limit: all.gauge(
                "aod_connections_limit",
                "How many connections of clients there may be.",
            ),
            connections_refused: all.counter(
                "aod_connections_refused_total",
                "Connections that were turned away since there were too many.",
            ),
            sessions: all.gauges("aod_sessions", "Sessions by status.", &["status"]),
            session_bytes: all.gauges(
                "aod_session_bytes",
                "What sessions take of the disk, as it was at the end of their last turns.",
                &["part"],
            ),
            checkpoints: all.gauges(
                "aod_checkpoints",
                "Checkpoints of sessions that are kept, and turns of which none could be made.",
                &["state"],
            ),
            turns: all.counters(
                "aod_turns_total",
                "Turns that have ended, by how.",
                &["runtime", "outcome"],
            ),
            turns_active: all.gauge(
                "aod_turns_active",
                "Turns that wait or run under this process.",
            ),
            turns_waiting: all.gauge("aod_turns_waiting", "Turns that wait for room."),
            turn_seconds: all.histograms(
                "aod_turn_duration_seconds",
                "From the start of a turn's CLI, or its prompt to one that stayed, to its end.",
                &["runtime", "outcome"],
                TURN_SECONDS,
            ),
            turn_start_seconds: all.histograms(
                "aod_turn_start_seconds",
                "From an accepted prompt to the start of the turn: waiting for room, and provisioning.",
                &["runtime"],
                STAGE_SECONDS,
            ),
            turn_first_event_seconds: all.histograms(
                "aod_turn_first_event_seconds",
                "From the start of a turn to the first that its agent says or does.",
                &["runtime"],
                STAGE_SECONDS,
            ),
            admission_wait_seconds: all.histogram(
                "aod_admission_wait_seconds",
                "How long turns waited for room.",
                STAGE_SECONDS,
            ),
            stage_seconds: all.histograms(
                "aod_provisioning_duration_seconds",
                "How long stages of provisioning took, by how they ended: done, failed or cancelled.",
                &["stage", "result"],
                STAGE_SECONDS,
            ),
            tokens: all.counters(
                "aod_tokens_total",
                "Tokens that ended turns used, as their CLIs tell: `input` without those read from a cache, which are `cached`, and `output`.",
                &["runtime", "kind"],
            ),
            cost_usd: all.sums(
                "aod_cost_usd_total",
                "US dollars that ended turns cost, where their CLIs tell.",
                &["runtime"],
            ),
            tool_calls: all.counters(
                "aod_client_tool_calls_total",
                "Calls of tools that clients answer, by how they ended: `answered`, or `default` where nobody did in time.",
                &["result"],
            ),
            runtimes: all.gauges("aod_runtimes", "Declared runtimes by health.", &["health"]),
            adapter_failures: all.counters(
                "aod_adapter_failures_total",
                "Calls of adapters that failed: traps, and limits of time and memory.",
                &["runtime"],
            ),
            egress_refused: all.counter(
                "aod_egress_refused_total",
                "Connections of sandboxes that were refused, each target once in a process of a turn.",
            ),
            egress_failed: all.counter(
                "aod_egress_failed_total",
                "Connections of sandboxes that were allowed and failed, each target once in a process of a turn.",
            ),
            vault_operations: all.counters(
                "aod_vault_operations_total",
                "Secrets that were sealed and opened.",
                &["operation", "result"],
            ),
            webhook_pending: all.gauge(
                "aod_webhook_deliveries_pending",
                "Messages that webhooks have not taken yet.",
            ),
            webhook_oldest_pending_seconds: all.gauge(
                "aod_webhook_oldest_pending_seconds",
                "Age of the oldest of them.",
            ),
            webhook_attempts: all.counters(
                "aod_webhook_attempts_total",
                "Tries to send a message, by how they ended.",
                &["result"],
            ),
            webhook_attempt_seconds: all.histogram(
                "aod_webhook_attempt_duration_seconds",
                "How long tries to send a message took.",
                REQUEST_SECONDS,
            ),
            webhook_given_up: all.counter(
                "aod_webhook_given_up_total",
                "Messages that are not tried any more.",
            ),
            telemetry_turns: all.counters(
                "aod_telemetry_turns_total",
                "Turns that an OpenTelemetry collector was told of, or was not: `sent`, `failed`, or `dropped` since too many waited.",
                &["result"],
            ),
            build: all.gauges("aod_build_info", "1, with the version.", &["version"]),
            open_files: all.gauge("aod_open_files", "Open descriptors of this process."),
            open_files_limit: all.gauge(
                "aod_open_files_limit",
                "How many descriptors this process may open.",
            ),
            resident_bytes: all.gauge(
                "process_resident_memory_bytes",
                "Memory that this process holds; turns and their supervisors are processes of their own.",
            ),
            start_time_seconds: all.gauge(
                "process_start_time_seconds",
                "When this process began, in seconds since 1970.",
            ),
            registry: all.registry,
            families: all.families,
        };
        metrics
            .build
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        // What is counted by few words is there from the beginning, so that rates can be had of it.
        for result in ["delivered", "failed"] {
            metrics.webhook_attempts.with_label_values(&[result]);
        }
        for operation in ["seal", "open"] {
            for result in ["done", "failed"] {
                metrics
                    .vault_operations
                    .with_label_values(&[operation, result]);
            }
        }
        metrics
    }

    /// What there is, by name.
    pub fn families(&self) -> &[Family] {
        &self.families
    }

    /// All figures in the Prometheus text format. What is a state was set before.
    pub fn text(&self) -> String {
        self.look_at_process();
        let mut text = Vec::new();
        // Writing to memory does not fail, and the encoder finds nothing wrong with families that
        // it made.
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            debug_assert!(false, "{error}");
        }
        String::from_utf8(text).unwrap_or_default()
    }
}

/// Counts a seal or an opening.
pub fn count_vault<T, E>(operation: &str, result: &Result<T, E>) {
    let word = if result.is_ok() { "done" } else { "failed" };
    let counters = &metrics().vault_operations;
    counters.with_label_values(&[operation, word]).inc();
}

/// A number as a gauge has it.
pub fn as_gauge(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: &C) {
    // Names differ, and all are made here: `every_family_is_there_once` would not pass otherwise.
    if let Err(error) = registry.register(Box::new(collector.clone())) {
        debug_assert!(false, "{error}");
    }
}

#[cfg(test)]
mod tests;
