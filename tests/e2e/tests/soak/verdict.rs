//! What a soak comes to.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::good::{Latencies, Wait};
use crate::hostile::Attack;
use crate::leftovers::{DESCRIPTOR_MARGIN, Footprint, MEMORY_MARGIN};

/// How many times as long good sessions may wait beside hostile ones.
const SLOWER: f64 = 2.0;
/// How many of the slowest waits are told one by one.
const SLOWEST_TOLD: usize = 8;

pub(crate) struct Verdict {
    pub(crate) baseline: Latencies,
    pub(crate) mixed: Latencies,
    pub(crate) hostile: Vec<Attack>,
    pub(crate) before: Footprint,
    pub(crate) after: Footprint,
    pub(crate) zombies: usize,
    /// How many processes of sessions were seen, and which of them run on.
    pub(crate) survivors: (usize, Vec<String>),
}

impl Verdict {
    pub(crate) fn table(&self) -> String {
        let mut text =
            String::from("\n| what | before | with hostile sessions | bar |\n|---|---|---|---|\n");
        // Writing to a string cannot fail.
        let mut row = |what: &str, before: String, after: String, bar: String| {
            let _ = writeln!(text, "| {what} | {before} | {after} | {bar} |");
        };
        for (what, before, after) in self.waits() {
            for rank in [50, 99] {
                let (then, now) = (percentile(before, rank), percentile(after, rank));
                let bar = match rank {
                    99 => format!("{:.2}×, at most {SLOWER}×", ratio(now, then)),
                    _ => format!("{:.2}×", ratio(now, then)),
                };
                let sample = format!("{what}, p{rank} of {} and {}", before.len(), after.len());
                row(&sample, milliseconds(then), milliseconds(now), bar);
            }
        }
        let lines = |seen: &Latencies| seen.lines.to_string();
        row(
            "lines, each once",
            lines(&self.baseline),
            lines(&self.mixed),
            "all".to_owned(),
        );
        let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
        row(
            "the server's memory",
            mib(self.before.memory),
            mib(self.after.memory),
            format!("+{}", mib(MEMORY_MARGIN)),
        );
        let count = |footprint: &Footprint| match footprint.descriptors {
            Some(count) => count.to_string(),
            None => "not to be seen by this user".to_owned(),
        };
        row(
            "its descriptors",
            count(&self.before),
            count(&self.after),
            format!("+{DESCRIPTOR_MARGIN}"),
        );
        let (seen, alive) = &self.survivors;
        row(
            "processes of deleted sessions",
            format!("{seen} seen"),
            format!("{} alive", alive.len()),
            "0".to_owned(),
        );
        row(
            "zombies",
            String::new(),
            self.zombies.to_string(),
            "0".to_owned(),
        );
        row(
            "folders of deleted sessions",
            String::new(),
            "0".to_owned(),
            "0".to_owned(),
        );
        let mut kinds = BTreeMap::<_, usize>::new();
        for attack in &self.hostile {
            *kinds.entry(attack.kind).or_default() += 1;
        }
        let _ = writeln!(text, "\nHostile: {}.", counted(kinds));
        let _ = writeln!(
            text,
            "Beside the slowest waits: {}.",
            counted(self.suspects())
        );
        let _ = writeln!(
            text,
            "The slowest waits, and until when the server took them:"
        );
        for wait in slowest(&self.mixed.further).iter().take(SLOWEST_TOLD) {
            let (took, accepted) = (milliseconds(wait.took), milliseconds(wait.accepted));
            let _ = writeln!(text, "- {took}, taken after {accepted}");
        }
        text
    }

    /// How many of the slowest waits each kind of hostile session ran beside: where to look.
    fn suspects(&self) -> BTreeMap<&'static str, usize> {
        let mut suspects = BTreeMap::new();
        let waits = [&self.mixed.first, &self.mixed.further];
        for waits in waits {
            for wait in slowest(waits).iter().take(waits.len().div_ceil(100) * 2) {
                let end = wait.begun + wait.took;
                let beside = |attack: &&Attack| attack.begun < end && wait.begun < attack.ended;
                for attack in self.hostile.iter().filter(beside) {
                    *suspects.entry(attack.kind).or_default() += 1;
                }
            }
        }
        suspects
    }

    /// What is not as it should be; latencies only where they are judged.
    pub(crate) fn faults(&self, judges_waits: bool) -> Vec<String> {
        let mut faults = Vec::new();
        if judges_waits {
            for (what, before, after) in self.waits() {
                let slower = ratio(percentile(after, 99), percentile(before, 99));
                if slower > SLOWER {
                    faults.push(format!(
                        "{what}: good sessions wait {slower:.2} times as long"
                    ));
                }
            }
        }
        if !self.after.fits(&self.before) {
            faults.push(format!(
                "the server has grown: {:?}, then {:?}",
                self.before, self.after
            ));
        }
        if self.zombies > 0 {
            faults.push(format!("{} zombies", self.zombies));
        }
        for command in &self.survivors.1 {
            faults.push(format!("it outlived its session: {command}"));
        }
        faults
    }

    fn waits(&self) -> [(&'static str, &[Wait], &[Wait]); 2] {
        let (before, after) = (&self.baseline, &self.mixed);
        [
            (
                "`POST /sessions` to first output",
                &before.first,
                &after.first,
            ),
            (
                "a further prompt to first output",
                &before.further,
                &after.further,
            ),
        ]
    }
}

fn slowest(waits: &[Wait]) -> Vec<Wait> {
    let mut waits = waits.to_vec();
    waits.sort_by_key(|wait| std::cmp::Reverse(wait.took));
    waits
}

/// `kind 3, other 2`, the most frequent first.
fn counted(kinds: BTreeMap<&'static str, usize>) -> String {
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let texts = kinds.iter().map(|(kind, count)| format!("{kind} {count}"));
    texts.collect::<Vec<_>>().join(", ")
}

fn percentile(waits: &[Wait], rank: usize) -> Duration {
    let mut times: Vec<_> = waits.iter().map(|wait| wait.took).collect();
    times.sort();
    let at = (times.len() * rank).div_ceil(100).saturating_sub(1);
    times.get(at).copied().unwrap_or_default()
}

fn ratio(now: Duration, then: Duration) -> f64 {
    now.as_secs_f64() / then.as_secs_f64().max(f64::EPSILON)
}

fn milliseconds(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1000.0)
}
