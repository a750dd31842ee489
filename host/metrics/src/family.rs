//! Making families of metrics, and what is told of each.

use prometheus::{
    CounterVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};

use crate::register;

/// What kind of metric it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, and begins at zero with the process.
    Counter,
    /// It stands where it stands.
    Gauge,
    /// Counts by size.
    Histogram,
}

impl Kind {
    /// The word that Prometheus has for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric, with whatever labels.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What kind it is.
    pub kind: Kind,
    /// What it says.
    pub help: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
}

#[derive(Default)]
pub(crate) struct Families {
    pub(crate) registry: Registry,
    pub(crate) families: Vec<Family>,
}

/// Names and labels are constants of this crate: whether they are good is seen by its tests, which
/// make all of them.
#[allow(clippy::unwrap_used, reason = "made of constants, by every test")]
impl Families {
    fn add(
        &mut self,
        kind: Kind,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
    ) {
        self.families.push(Family {
            name,
            kind,
            help,
            labels,
        });
    }

    pub(crate) fn counter(&mut self, name: &'static str, help: &'static str) -> IntCounter {
        self.add(Kind::Counter, name, help, &[]);
        let made = IntCounter::new(name, help).unwrap();
        register(&self.registry, &made);
        made
    }

    pub(crate) fn counters(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> IntCounterVec {
        self.add(Kind::Counter, name, help, labels);
        let made = IntCounterVec::new(Opts::new(name, help), labels).unwrap();
        register(&self.registry, &made);
        made
    }

    pub(crate) fn sums(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> CounterVec {
        self.add(Kind::Counter, name, help, labels);
        let made = CounterVec::new(Opts::new(name, help), labels).unwrap();
        register(&self.registry, &made);
        made
    }

    pub(crate) fn gauge(&mut self, name: &'static str, help: &'static str) -> IntGauge {
        self.add(Kind::Gauge, name, help, &[]);
        let made = IntGauge::new(name, help).unwrap();
        register(&self.registry, &made);
        made
    }

    pub(crate) fn gauges(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> IntGaugeVec {
        self.add(Kind::Gauge, name, help, labels);
        let made = IntGaugeVec::new(Opts::new(name, help), labels).unwrap();
        register(&self.registry, &made);
        made
    }

    pub(crate) fn histogram(
        &mut self,
        name: &'static str,
        help: &'static str,
        buckets: &[f64],
    ) -> Histogram {
        self.add(Kind::Histogram, name, help, &[]);
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        let made = Histogram::with_opts(options).unwrap();
        register(&self.registry, &made);
        made
    }

    pub(crate) fn histograms(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        buckets: &[f64],
    ) -> HistogramVec {
        self.add(Kind::Histogram, name, help, labels);
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        let made = HistogramVec::new(options, labels).unwrap();
        register(&self.registry, &made);
        made
    }
}
